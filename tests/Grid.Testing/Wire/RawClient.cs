using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using System.Threading.Channels;

namespace Grid.Testing.Wire;

/// <summary>
/// A WebSocket client written from the wire contract alone, sharing nothing with the server's code, so that a mistake in the server's
/// codec is not repeated here. It records every frame in order; waits fail with the transcript.
/// </summary>
public sealed partial class RawClient : IAsyncDisposable
{
    private readonly ClientWebSocket _socket = new();
    private readonly RawClientOptions _options;
    private readonly Lock _gate = new();
    private readonly List<RawFrame> _frames = [];
    private readonly List<string> _notes = [];
    private readonly List<(Func<RawFrame, bool> Match, TaskCompletionSource<RawFrame> Found)> _waiters = [];
    private readonly Dictionary<long, TaskCompletionSource<RawFrame>> _replies = [];
    private readonly Channel<(byte[] Bytes, string Note)> _outgoing =
        Channel.CreateUnbounded<(byte[] Bytes, string Note)>(new() { SingleReader = true });
    private readonly TaskCompletionSource<RawClose> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _mayRead = CompletedGate();
    private Socket? _tcp;
    private RawClose? _end;
    private long _nextId;
    private long _count;
    private int _consumed;
    private Task _reading = Task.CompletedTask;
    private Task _writing = Task.CompletedTask;
    private Task _watching = Task.CompletedTask;

    private RawClient(RawClientOptions options) => _options = options;

    /// <summary>Completes when the connection has ended, with how.</summary>
    public Task<RawClose> Closed => _closed.Task;

    /// <summary>What <c>welcome</c> said; null before it.</summary>
    public RawWelcome? Welcome { get; private set; }

    /// <summary>The subprotocol that the server chose.</summary>
    public string? Subprotocol => _socket.SubProtocol;

    /// <summary>The next request number.</summary>
    public long NextId() => Interlocked.Increment(ref _nextId);

    /// <summary>A copy of the frames kept so far.</summary>
    public IReadOnlyList<RawFrame> Frames
    {
        get
        {
            lock (_gate) return [.. _frames];
        }
    }

    /// <summary>Opens a socket to <c>/v1/ws</c> of a host, without saying hello.</summary>
    /// <exception cref="WebSocketException">The upgrade was refused.</exception>
    public static async Task<RawClient> ConnectAsync(Uri host, RawClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        var client = new RawClient(options ?? new RawClientOptions());
        try
        {
            await client.OpenSocketAsync(host).ConfigureAwait(false);
            return client;
        }
        catch
        {
            client._socket.Dispose();
            throw;
        }
    }

    /// <summary>Opens a socket, says hello and waits for the welcome.</summary>
    public static async Task<RawClient> OpenAsync(Uri host, RawClientOptions options, RawResume? resume = null)
    {
        var client = await ConnectAsync(host, options).ConfigureAwait(false);
        try
        {
            await client.HelloAsync(resume).ConfigureAwait(false);
            return client;
        }
        catch
        {
            await client.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Says hello and waits for the welcome.</summary>
    public async Task<RawWelcome> HelloAsync(RawResume? resume = null)
    {
        Send(ClientFrames.Hello(_options.TokenPlace == TokenPlace.Hello ? _options.Token : null, _options.Name, resume));
        var frame = await WaitAsync(f => f.Type == "welcome", "welcome").ConfigureAwait(false);
        return Welcome ??= new RawWelcome(frame);
    }

    /// <summary>
    /// Queues a frame, written as JSON and sent in the form of the subprotocol; frames leave in the order of these calls.
    /// </summary>
    public void Send(string text) => Send(IsBinary ? ProtoFrames.FromJson(text) : Encoding.UTF8.GetBytes(text), text);

    /// <summary>Queues the bytes of a frame as they are.</summary>
    public void Send(byte[] bytes) => Send(bytes, Convert.ToHexString(bytes));

    private bool IsBinary => _options.Subprotocol == Subprotocols.Proto;

    private void Send(byte[] bytes, string note) => _outgoing.Writer.TryWrite((bytes, note));

    /// <summary>Sends a frame that carries <paramref name="id"/> and waits for the frame that answers it (an <c>error</c>, too).</summary>
    public async Task<RawFrame> RequestAsync(long id, string text)
    {
        var reply = new TaskCompletionSource<RawFrame>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_end is not null) throw Fail($"the answer to {id} (the connection had ended)");
            _replies.Add(id, reply);
        }

        Send(text);
        return await WithinAsync(reply.Task, () => $"the answer to {RawFrame.Shorten(text, 200)}").ConfigureAwait(false);
    }

    /// <summary>Subscribes and waits for the answer (<c>subscribed</c> or <c>error</c>).</summary>
    public Task<RawFrame> SubscribeAsync(string channel, string? from = null)
    {
        var id = NextId();
        return RequestAsync(id, ClientFrames.Subscribe(id, channel, from));
    }

    /// <summary>Unsubscribes and waits for the answer.</summary>
    public Task<RawFrame> UnsubscribeAsync(string channel)
    {
        var id = NextId();
        return RequestAsync(id, ClientFrames.Unsubscribe(id, channel));
    }

    /// <summary>
    /// Publishes and waits for the answer (<c>published</c> or <c>error</c>). Calls may be made without awaiting the earlier ones: the
    /// frames leave in the order of the calls.
    /// </summary>
    public Task<RawFrame> PublishAsync(
        string channel, string payload, string? key = null, string? eventName = null, long? ifOffset = null)
    {
        var id = NextId();
        return RequestAsync(id, ClientFrames.Publish(id, channel, payload, key, eventName, ifOffset));
    }

    /// <summary>Acknowledges everything up to <paramref name="offset"/>.</summary>
    public void Ack(string channel, long offset) => Send(ClientFrames.Ack([new(channel, offset)]));

    /// <summary>Sends <c>ping</c> and waits for a <c>pong</c> that comes after.</summary>
    public async Task PingAsync()
    {
        var seen = Interlocked.Read(ref _count);
        Send(ClientFrames.Ping);
        await WaitAsync(f => f.Type == "pong" && f.Index >= seen, "pong").ConfigureAwait(false);
    }

    /// <summary>Waits for a frame, among those kept and those to come.</summary>
    /// <param name="match">Which one.</param>
    /// <param name="what">What it is, for the failure's message.</param>
    /// <exception cref="TestFailedException">The connection ended, or the time ran out, before it came.</exception>
    public Task<RawFrame> WaitAsync(Func<RawFrame, bool> match, string what)
    {
        ArgumentNullException.ThrowIfNull(match);
        TaskCompletionSource<RawFrame> found;
        lock (_gate)
        {
            foreach (var frame in _frames)
            {
                if (match(frame)) return Task.FromResult(frame);
            }

            if (_end is not null) throw Fail(what);
            found = new TaskCompletionSource<RawFrame>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((match, found));
        }

        return WithinAsync(found.Task, () => what);
    }

    /// <summary>The next frame in the order of arrival that this method has not yet given; needs all frames to be kept.</summary>
    public async Task<RawFrame> NextAsync(string what)
    {
        var index = _consumed;
        var frame = await WaitAsync(f => f.Index == index, what).ConfigureAwait(false);
        _consumed++;
        return frame;
    }

    /// <summary>Makes <see cref="NextAsync"/> go on after everything that has arrived up to <paramref name="frame"/>.</summary>
    public void ContinueAfter(RawFrame frame)
    {
        ArgumentNullException.ThrowIfNull(frame);
        _consumed = (int)frame.Index + 1;
    }

    /// <summary>Waits for the message at an offset of a channel.</summary>
    public Task<RawFrame> MessageAsync(string channel, long offset) =>
        WaitAsync(f => f.Type == "message" && f.Channel == channel && f.Offset == offset, $"message {offset} of {channel}");

    /// <summary>The messages of a channel received so far, in order.</summary>
    public IReadOnlyList<RawFrame> Messages(string channel) => [.. Frames.Where(f => f.Type == "message" && f.Channel == channel)];

    /// <summary>Waits until the connection has ended.</summary>
    public Task<RawClose> ClosedAsync() => WithinAsync(_closed.Task, () => "the end of the connection");

    /// <summary>Stops reading: what the server sends piles up, first in the system's buffers, then at the server.</summary>
    public void StopReading() => _mayRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Reads on.</summary>
    public void ReadOn() => _mayRead.TrySetResult();

    /// <summary>Ends the connection the hard way: a TCP reset, no close frame.</summary>
    public void Abort()
    {
        ReadOn();
        try
        {
            if (_tcp is { } tcp)
            {
                tcp.LingerState = new LingerOption(true, 0);
                tcp.Close();
            }
        }
        catch (ObjectDisposedException)
        {
            // It is gone already.
        }

        _socket.Abort();
    }

    /// <summary>Ends the connection with the closing handshake and waits for its end.</summary>
    public async Task<RawClose> CloseAsync()
    {
        try
        {
            await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is WebSocketException or ObjectDisposedException or IOException or InvalidOperationException)
        {
            // The other side was faster.
        }

        return await ClosedAsync().ConfigureAwait(false);
    }

    /// <summary>Everything seen so far, shortened, for failure messages.</summary>
    public string Transcript()
    {
        lock (_gate)
        {
            var text = new StringBuilder($"Transcript of {_options.Name} ({_count} frames received");
            if (_end is { } end) text.Append($", closed {end.Code} '{end.Reason}'");
            text.AppendLine("):");
            foreach (var note in _notes.TakeLast(30)) text.Append("  → ").AppendLine(note);
            if (_frames.Count > 30) text.AppendLine("  …");
            foreach (var frame in _frames.TakeLast(30)) text.Append("  ← ").AppendLine(frame.ToString());
            return text.ToString();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Abort();
        _outgoing.Writer.TryComplete();
        await Task.WhenAll(_reading, _writing, _watching).ConfigureAwait(false);
        _socket.Dispose();
    }

    private static TaskCompletionSource CompletedGate()
    {
        var gate = new TaskCompletionSource();
        gate.SetResult();
        return gate;
    }

    private async Task<T> WithinAsync<T>(Task<T> task, Func<string> what)
    {
        try
        {
            return await task.WaitAsync(_options.Timeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Fail($"{what()} (within {_options.Timeout.TotalSeconds:0} s)");
        }
        catch (OperationCanceledException)
        {
            throw Fail($"{what()} (the connection ended)");
        }
    }

    private TestFailedException Fail(string what) => new($"Did not come: {what}\n{Transcript()}");
}

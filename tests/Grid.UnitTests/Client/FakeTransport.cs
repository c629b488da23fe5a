using System.Buffers;
using System.Threading.Channels;
using Grid.Client;
using Grid.Protocol;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Client;

/// <summary>A transport in memory: the test takes the server's part of each connection, frame by frame.</summary>
internal sealed class FakeTransport : IGridTransport
{
    private readonly Channel<FakePeer> _accepted = Channel.CreateUnbounded<FakePeer>();

    /// <summary>Thrown by attempts to connect, one each, before any succeeds.</summary>
    public Queue<Exception> Failures { get; } = new();

    public Task<IGridConnection> ConnectAsync(Uri uri, string subprotocol, CancellationToken cancellationToken)
    {
        if (Failures.TryDequeue(out var failure)) throw failure;
        var peer = new FakePeer();
        _accepted.Writer.TryWrite(peer);
        return Task.FromResult<IGridConnection>(peer);
    }

    public async Task<FakePeer> AcceptAsync() => await _accepted.Reader.ReadAsync().AsTask().WaitAsync(Harness.Patience);
}

/// <summary>Both ends of one connection.</summary>
internal sealed class FakePeer : IGridConnection
{
    private readonly Channel<byte[]> _fromClient = Channel.CreateUnbounded<byte[]>();
    private readonly Channel<Incoming> _toClient = Channel.CreateUnbounded<Incoming>();

    /// <summary>Completes with the code with which the client closed, or null when it just left.</summary>
    public TaskCompletionSource<CloseCode?> Left { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ValueTask SendAsync(ReadOnlyMemory<byte> frame, bool isText, CancellationToken cancellationToken) =>
        _fromClient.Writer.TryWrite(frame.ToArray()) ? ValueTask.CompletedTask : throw new IOException("cut");

    public ValueTask<Incoming> ReceiveAsync(CancellationToken cancellationToken) => _toClient.Reader.ReadAsync(cancellationToken);

    public ValueTask CloseAsync(CloseCode code, string reason, CancellationToken cancellationToken)
    {
        Left.TrySetResult(code);
        _fromClient.Writer.TryComplete();
        _toClient.Writer.TryWrite(Incoming.Closed((int)code, reason));
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        Left.TrySetResult(null);
        Cut();
        return ValueTask.CompletedTask;
    }

    public void Send(params ServerFrame[] frames)
    {
        foreach (var frame in frames)
        {
            var buffer = new ArrayBufferWriter<byte>();
            JsonWireCodec.Instance.Encode(frame, buffer);
            SendRaw(buffer.WrittenSpan.ToArray());
        }
    }

    public void SendRaw(byte[] frame) => _toClient.Writer.TryWrite(Incoming.FromFrame(frame));

    /// <summary>The server closes. What was sent before still arrives.</summary>
    public void Close(int code)
    {
        _toClient.Writer.TryWrite(Incoming.Closed(code, "test"));
        _fromClient.Writer.TryComplete();
    }

    /// <summary>The socket breaks, without a close. What was sent before still arrives.</summary>
    public void Cut()
    {
        _toClient.Writer.TryComplete(new IOException("cut"));
        _fromClient.Writer.TryComplete();
    }

    /// <summary>The client's next frame, or null after the end.</summary>
    public async Task<ClientFrame?> ReadAsync()
    {
        try
        {
            var decoded = JsonWireCodec.Instance.DecodeClient(await _fromClient.Reader.ReadAsync().AsTask().WaitAsync(Harness.Patience));
            Assert.Equal(DecodeStatus.Ok, decoded.Status);
            return decoded.Frame;
        }
        catch (ChannelClosedException)
        {
            return null;
        }
    }

    public async Task<T> ExpectAsync<T>()
        where T : ClientFrame => Assert.IsType<T>(await ReadAsync());

    /// <summary>Whether nothing that the client sent waits to be read.</summary>
    public bool IsQuiet => _fromClient.Reader.Count == 0;

    public void Welcome(WelcomeState state = WelcomeState.New, string session = "s-1", params SubscriptionState[] subscriptions) =>
        Send(new WelcomeFrame
        {
            Session = session,
            ResumeToken = "r-" + session,
            State = state,
            ResumeWindowMs = 300_000,
            HeartbeatMs = 15_000,
            MaxFrameBytes = 65_536,
            Subscriptions = subscriptions,
        });

    public async Task AnswerSubscribeAsync(string epoch, long head, long cursor)
    {
        var frame = await ExpectAsync<SubscribeFrame>();
        Send(new SubscribedFrame(frame.Id, frame.Channel, epoch, head, cursor));
    }

    public void Message(string channel, params long[] offsets) => Send([.. offsets.Select(offset => new MessageFrame(channel, new Message
    {
        Offset = offset,
        At = 1_795_452_674_123 + offset,
        Payload = Payload.Json(System.Text.Encoding.UTF8.GetBytes($"{{\"n\":{offset}}}")),
    }))]);
}

/// <summary>No jitter: every backoff is zero, so that reconnects need no clock.</summary>
internal sealed class ZeroRandom : Random
{
    public override double NextDouble() => 0;

    protected override double Sample() => 0;
}

/// <summary>Always the longest delay.</summary>
internal sealed class FullRandom : Random
{
    public override double NextDouble() => 1;

    protected override double Sample() => 1;
}

/// <summary>A clock that the test turns, and that tells which timers the client sets.</summary>
internal sealed class TestClock : FakeTimeProvider
{
    private readonly Channel<TimeSpan> _timers = Channel.CreateUnbounded<TimeSpan>();

    public TestClock()
        : base(new DateTimeOffset(2026, 11, 24, 0, 0, 0, TimeSpan.Zero))
    {
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(base.CreateTimer(callback, state, dueTime, period), _timers.Writer);
        _timers.Writer.TryWrite(dueTime);
        return timer;
    }

    /// <summary>Waits until somebody waits for exactly this long.</summary>
    public async Task TimerAsync(TimeSpan dueTime)
    {
        while (await _timers.Reader.ReadAsync().AsTask().WaitAsync(Harness.Patience) != dueTime)
        {
        }
    }

    private sealed class Timer(ITimer inner, ChannelWriter<TimeSpan> set) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            var changed = inner.Change(dueTime, period);
            set.TryWrite(dueTime);
            return changed;
        }

        public void Dispose() => inner.Dispose();

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}

/// <summary>A client with a fake server and a fake clock.</summary>
internal sealed class Harness : IAsyncDisposable
{
    /// <summary>How long a test waits for what must come; only a failing test ever waits so long.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public Harness(Func<GridClientOptions, GridClientOptions>? configure = null)
    {
        var options = new GridClientOptions
        {
            Uri = new Uri("ws://localhost:1"),
            Token = "t",
            TimeProvider = Clock,
            Random = new ZeroRandom(),
            Transport = Transport,
        };
        Client = new GridClient(configure is null ? options : configure(options));
        Client.StateChanged += (_, e) => States.Add(e.State);
        Client.Error += (_, e) => Errors.Writer.TryWrite(e.Error);
    }

    public TestClock Clock { get; } = new();

    public FakeTransport Transport { get; } = new();

    public GridClient Client { get; }

    public List<ConnectionState> States { get; } = [];

    public Channel<GridException> Errors { get; } = Channel.CreateUnbounded<GridException>();

    public async Task<FakePeer> ConnectAsync()
    {
        var connecting = Client.ConnectAsync();
        var peer = await Transport.AcceptAsync();
        await peer.ExpectAsync<HelloFrame>();
        peer.Welcome();
        await connecting.WaitAsync(Patience);
        return peer;
    }

    public async Task<(FakePeer Peer, HelloFrame Hello)> AcceptAsync()
    {
        var peer = await Transport.AcceptAsync();
        return (peer, await peer.ExpectAsync<HelloFrame>());
    }

    /// <summary>Subscribes to a channel at <c>e1:0</c>, with a handler that writes to the channel returned.</summary>
    public async Task<(Subscription Subscription, ChannelReader<GridMessage> Messages)> SubscribeAsync(
        FakePeer peer, string channel = "room:1", long cursor = 0, SubscribeOptions? options = null)
    {
        var messages = Channel.CreateUnbounded<GridMessage>();
        var subscribing = Client.SubscribeAsync(channel, StartPoint.Now, (message, ct) => messages.Writer.WriteAsync(message, ct), options);
        await peer.AnswerSubscribeAsync("e1", cursor, cursor);
        return (await subscribing.WaitAsync(Patience), messages.Reader);
    }

    /// <summary>The next error with this code; others are passed over.</summary>
    public async Task<GridException> ErrorAsync(string code)
    {
        while (true)
        {
            var error = await Errors.Reader.ReadAsync().AsTask().WaitAsync(Patience);
            if (error.Code == code) return error;
        }
    }

    public async ValueTask DisposeAsync()
    {
        var closing = Client.DisposeAsync().AsTask();
        // A test that failed half-way leaves handlers behind, for which the client waits by this clock.
        while (!closing.IsCompleted)
        {
            Clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        await closing;
    }
}

internal static class TestExtensions
{
    public static async Task<T> NextAsync<T>(this ChannelReader<T> reader) => await reader.ReadAsync().AsTask().WaitAsync(Harness.Patience);

    public static async Task<long[]> OffsetsAsync(this ChannelReader<GridMessage> reader, int count)
    {
        var offsets = new long[count];
        for (var i = 0; i < count; i++) offsets[i] = (await reader.NextAsync()).Offset;
        return offsets;
    }

    public static async Task ExpectOffsetsAsync(this ChannelReader<GridMessage> reader, params long[] offsets) =>
        Assert.Equal(offsets, await reader.OffsetsAsync(offsets.Length));

    public static async Task<GridException> FailureAsync(this Task task) =>
        await Assert.ThrowsAsync<GridException>(() => task.WaitAsync(Harness.Patience));
}

using System.Collections.Concurrent;
using System.Diagnostics;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Load;

/// <summary>
/// A consumer: one session on some channels, across any number of sockets, resuming with its own cursors or with the server's.
/// Everything that it is told is recorded for the checker, in order.
/// </summary>
public sealed class LoadConsumer : IAsyncDisposable
{
    private readonly LoadHosts _hosts;
    private readonly string _token;
    private readonly CursorOwner _owner;
    private readonly Dictionary<string, ConsumerRecord> _records;
    private readonly ConcurrentDictionary<string, RawPosition?> _asked = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _unacked = new(StringComparer.Ordinal);
    private readonly HashSet<string> _begun = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Stopwatch _age = new();
    private RawWelcome? _welcome;
    private long _welcomedAt;
    private volatile RawClient? _client;
    private Task _running = Task.CompletedTask;

    /// <summary>Makes a consumer; <see cref="Start"/> begins its life.</summary>
    public LoadConsumer(
        Uri host, string name, string token, HistoryRecorder recorder, IEnumerable<string> channels, CursorOwner owner, bool mayDrop = false)
        : this(LoadHosts.One(host), name, token, recorder, channels, owner, mayDrop)
    {
    }

    /// <inheritdoc cref="LoadConsumer(Uri, string, string, HistoryRecorder, IEnumerable{string}, CursorOwner, bool)"/>
    public LoadConsumer(
        LoadHosts hosts, string name, string token, HistoryRecorder recorder, IEnumerable<string> channels, CursorOwner owner, bool mayDrop = false)
    {
        ArgumentNullException.ThrowIfNull(recorder);
        _hosts = hosts;
        _token = token;
        _owner = owner;
        Name = name;
        _records = channels.ToDictionary(c => c, c => recorder.Consumer(name, c, owner, mayDrop), StringComparer.Ordinal);
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What <c>from</c> its first subscriptions have; null for none. Default: the start.</summary>
    public string? From { get; init; } = ClientFrames.Start;

    /// <summary>It acknowledges every so many messages of a channel. Default: 16.</summary>
    public int AckEvery { get; init; } = 16;

    /// <summary>The form of its frames. Default: <see cref="Subprotocols.Default"/>.</summary>
    public string Subprotocol { get; init; } = Subprotocols.Default;

    /// <summary>The socket's receive buffer; null for the system's.</summary>
    public int? ReceiveBufferBytes { get; init; }

    /// <summary>
    /// How long after its subscription a session that relies on the server's cursors may still be unknown after a crash, because its
    /// first checkpoint was not due. The consumer then goes on from where it was.
    /// </summary>
    public TimeSpan FirstCheckpoint { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often that happened.</summary>
    public int EarlyLosses { get; private set; }

    /// <summary>
    /// Whether the servers may have lost what they knew of sessions since a moment (of <see cref="Stopwatch.GetTimestamp"/>). Then a
    /// session that relies on the server's cursors may be unknown, and its consumer goes on from where it was. Default: never.
    /// </summary>
    public Func<long, bool> MayHaveLostStateSince { get; init; } = _ => false;

    /// <summary>How often that happened.</summary>
    public int StateLosses { get; private set; }

    /// <summary>How often each state of a session came with a welcome.</summary>
    public ConcurrentDictionary<string, int> Welcomes { get; } = new();

    /// <summary>How often sockets ended with each code.</summary>
    public ConcurrentDictionary<int, int> Closes { get; } = new();

    /// <summary>The longest time from the end of a socket to the next welcome.</summary>
    public TimeSpan LongestAway { get; private set; }

    /// <summary>What should not have happened: errors, and closes that no kill, cut or drain explains.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>Completes when every channel has been subscribed for the first time.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Its record of each channel.</summary>
    public IReadOnlyDictionary<string, ConsumerRecord> Records => _records;

    /// <summary>Its present socket, if it has one.</summary>
    public RawClient? Client => _client;

    /// <summary>Begins.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Cuts its socket; it reconnects and resumes.</summary>
    public void Cut() => _client?.Abort();

    /// <summary>Whether it has got to <paramref name="head"/> of a channel.</summary>
    public bool HasReached(string channel, long head) => _records[channel].Position is { } position && position.Offset >= head;

    /// <summary>Says that it is over: at each channel's head.</summary>
    public void Finish()
    {
        foreach (var record in _records.Values) record.Finished();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        Cut();
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        var options = new RawClientOptions
        {
            Token = _token, Name = Name, KeptFrames = 50, OnFrame = Received, ReceiveBufferBytes = ReceiveBufferBytes,
            Subprotocol = Subprotocol,
        };
        var endedAt = 0L;
        try
        {
            while (!_stop.IsCancellationRequested)
            {
                await using var client = await _hosts.ConnectAsync(options, Resume, Oddities, _stop.Token).ConfigureAwait(false);
                _client = client;
                if (endedAt != 0 && Stopwatch.GetElapsedTime(endedAt) is var away && away > LongestAway) LongestAway = away;
                if (_stop.IsCancellationRequested) return;
                SubscribeMissing(client, client.Welcome!);
                var close = await client.Closed.WaitAsync(_stop.Token).ConfigureAwait(false);
                endedAt = Stopwatch.GetTimestamp();
                Closes.AddOrUpdate(close.Code, 1, static (_, n) => n + 1);
                if (_hosts.OddClose(Name, close) is { } odd) Oddities.Enqueue(odd);
            }
        }
        catch (OperationCanceledException)
        {
            // Its time is over.
        }
        catch (Exception e)
        {
            Oddities.Enqueue($"{Name}: {e}");
        }
    }

    private RawResume? Resume()
    {
        if (_welcome is not { } welcome) return null;
        var cursors = _owner == CursorOwner.Client
            ? _records.Where(r => r.Value.Position is not null).ToDictionary(r => r.Key, r => r.Value.Position!.Value)
            : null;
        return new RawResume(welcome.Session, welcome.ResumeToken, cursors);
    }

    private void SubscribeMissing(RawClient client, RawWelcome welcome)
    {
        foreach (var (channel, record) in _records)
        {
            if (welcome.Subscriptions.ContainsKey(channel)) continue;
            if (record.Position is { } position)
            {
                _asked[channel] = position;
                client.Send(ClientFrames.Subscribe(client.NextId(), channel, ClientFrames.At(position)));
            }
            else
            {
                _asked[channel] = null;
                client.Send(ClientFrames.Subscribe(client.NextId(), channel, From));
            }
        }
    }

    private void Received(RawFrame frame)
    {
        switch (frame.Type)
        {
            case "welcome":
                Welcomed(new RawWelcome(frame));
                break;
            case "subscribed":
                _records[frame.Channel!].Subscribed(frame.Epoch, frame.Cursor, _asked[frame.Channel!]);
                Begun(frame.Channel!);
                break;
            case "message":
                _records[frame.Channel!].Message(frame.Offset, frame.String("key"), frame.Payload);
                Finished(frame.Channel!, frame.Offset);
                break;
            case "gap":
                _records[frame.Channel!].Gap(frame.Epoch, frame.Number("from"), frame.Number("to"), frame.String("reason") ?? "");
                break;
            case "error" when _hosts.MayBeUnavailable && frame.Code == "unavailable":
                // A subscribe that could not be served is asked for again on the next socket; an answered hello closes by itself.
                if (frame.Id is not null) _client?.Abort();
                break;
            case "error":
                Oddities.Enqueue($"{Name}: {frame}");
                break;
        }
    }

    private void Welcomed(RawWelcome welcome)
    {
        var first = _welcome is null;
        _welcome = welcome;
        Welcomes.AddOrUpdate(welcome.State, 1, static (_, n) => n + 1);
        foreach (var (channel, record) in _records)
        {
            if (welcome.Subscriptions.TryGetValue(channel, out var subscription)) record.Resumed(subscription.Epoch, subscription.Cursor);
            else if (!first && _begun.Contains(channel)) Lost(channel, record, welcome);
        }

        _welcomedAt = Stopwatch.GetTimestamp();
        if (welcome.State == "resumed" && first) Oddities.Enqueue($"{Name}: resumed without asking: {welcome.Frame}");
    }

    private void Lost(string channel, ConsumerRecord record, RawWelcome welcome)
    {
        if (_owner == CursorOwner.Server && _age.Elapsed < FirstCheckpoint) EarlyLosses++;
        else if (_owner == CursorOwner.Server && MayHaveLostStateSince(_welcomedAt)) StateLosses++;
        else record.Lost($"the welcome's state is '{welcome.State}' and it does not list {channel}");
    }

    private void Begun(string channel)
    {
        if (!_begun.Add(channel) || _begun.Count < _records.Count) return;
        _age.Start();
        _ready.TrySetResult();
    }

    private void Finished(string channel, long offset)
    {
        var count = _unacked.GetValueOrDefault(channel) + 1;
        if (count >= AckEvery)
        {
            count = 0;
            _client?.Ack(channel, offset);
        }

        _unacked[channel] = count;
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Load;

/// <summary>
/// A publisher that pipelines messages with keys over one socket at a time, and after every loss of its socket sends again, in order
/// and with the same keys, whatever was not answered. Where something behind the host may be away, so does it with what was answered
/// by <c>unavailable</c> (<see cref="PublishLanes"/>). Everything is recorded for the checker.
/// </summary>
public sealed class LoadPublisher : IDisposable
{
    private readonly LoadHosts _hosts;
    private readonly string _token;
    private readonly HistoryRecorder _recorder;
    private readonly IReadOnlyList<string> _channels;
    private readonly Random _random;
    private readonly Lock _gate = new();
    private readonly PublishLanes _lanes = new();
    private readonly SemaphoreSlim _progress = new(0);
    private readonly Action _acknowledged;
    private volatile bool _goaway;
    private volatile bool _finishing;
    private volatile RawClient? _client;

    /// <summary>Makes a publisher.</summary>
    /// <param name="host">The host.</param>
    /// <param name="name">Its name, part of its keys.</param>
    /// <param name="token">Its client token.</param>
    /// <param name="recorder">Where everything is recorded.</param>
    /// <param name="channels">The channels it picks from at random.</param>
    /// <param name="random">Its own source of chance.</param>
    /// <param name="acknowledged">Called at each acknowledgement.</param>
    public LoadPublisher(
        Uri host, string name, string token, HistoryRecorder recorder, IReadOnlyList<string> channels, Random random,
        Action? acknowledged = null)
        : this(LoadHosts.One(host), name, token, recorder, channels, random, acknowledged)
    {
    }

    /// <inheritdoc cref="LoadPublisher(Uri, string, string, HistoryRecorder, IReadOnlyList{string}, Random, Action?)"/>
    public LoadPublisher(
        LoadHosts hosts, string name, string token, HistoryRecorder recorder, IReadOnlyList<string> channels, Random random,
        Action? acknowledged = null)
    {
        _hosts = hosts;
        Name = name;
        _token = token;
        _recorder = recorder;
        _channels = channels;
        _random = random;
        _acknowledged = acknowledged ?? (() => { });
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>The most messages in flight. Default: 32.</summary>
    public int Window { get; init; } = 32;

    /// <summary>The form of its frames. Default: <see cref="Subprotocols.Default"/>.</summary>
    public string Subprotocol { get; init; } = Subprotocols.Default;

    /// <summary>The pause after each message; zero, the default, for as fast as answers come.</summary>
    public TimeSpan Pace { get; init; }

    /// <summary>
    /// The longest that a publish on a living socket may go without any answer; longer is noted as odd, and the socket is cut.
    /// Null, the default: not watched.
    /// </summary>
    public TimeSpan? AnswerWithin { get; init; }

    /// <summary>Makes the payload of a message; by default a small object. Must be unique.</summary>
    public Func<string, long, string> Payload { get; init; } = (name, n) => $$"""{"by":"{{name}}","n":{{n}}}""";

    /// <summary>What should not have happened: errors, and closes that no kill or drain explains.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>How often an attempt was answered by <c>unavailable</c>.</summary>
    public int Unavailable => _lanes.Refusals;

    /// <summary>How many messages were given up, because a later one had been stored when they could have been sent again.</summary>
    public int GivenUp => _lanes.GivenUp;

    /// <summary>The longest time from sending a publish to its answer on the same socket, whatever the answer was.</summary>
    public TimeSpan LongestAnswer { get; private set; }

    /// <summary>The longest time from first sending a message to its acknowledgement, over all attempts and sockets.</summary>
    public TimeSpan LongestPublish { get; private set; }

    /// <summary>How often sockets ended with each code.</summary>
    public ConcurrentDictionary<int, int> Closes { get; } = new();

    /// <summary>Cuts its socket.</summary>
    public void Cut() => _client?.Abort();

    /// <summary>Lets <see cref="RunAsync"/> publish nothing new, and return when all that was published is answered.</summary>
    public void Finish()
    {
        _finishing = true;
        _progress.Release();
    }

    /// <summary>Publishes <paramref name="count"/> messages and returns when each has been acknowledged (or had to be given up).</summary>
    public async Task RunAsync(int count, CancellationToken cancellationToken)
    {
        long next = 0;
        while (true)
        {
            await using var client = await ConnectAsync(cancellationToken).ConfigureAwait(false);
            _client = client;
            while (!client.Closed.IsCompleted && !_goaway)
            {
                SendDue(client);
                int open;
                lock (_gate) open = _lanes.Count;
                var done = _finishing || next == count;
                if (open == 0 && done) return;
                if (open < Window && !done)
                {
                    Add(next++);
                    SendDue(client);
                    if (Pace > TimeSpan.Zero) await Task.Delay(Pace, cancellationToken).ConfigureAwait(false);
                    continue;
                }

                await _progress.WaitAsync(100, cancellationToken).ConfigureAwait(false);
                CutWhenUnanswered();
            }

            var close = await client.Closed.WaitAsync(cancellationToken).ConfigureAwait(false);
            Closes.AddOrUpdate(close.Code, 1, static (_, n) => n + 1);
            if (_hosts.OddClose(Name, close) is { } odd) Oddities.Enqueue(odd);
            lock (_gate) _lanes.Disconnected();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _progress.Dispose();

    private Task<RawClient> ConnectAsync(CancellationToken cancellationToken)
    {
        _goaway = false;
        var options = new RawClientOptions
        {
            Token = _token, Name = Name, KeptFrames = 50, OnFrame = Received, OnEnd = _ => _progress.Release(),
            Subprotocol = Subprotocol,
        };
        return _hosts.ConnectAsync(options, () => null, Oddities, cancellationToken);
    }

    private void Add(long number)
    {
        var channel = _channels[_random.Next(_channels.Count)];
        var record = _recorder.Publish(Name, channel, $"{Name}-{number}", number, Payload(Name, number));
        lock (_gate) _lanes.Add(record);
    }

    private void SendDue(RawClient client)
    {
        lock (_gate)
        {
            foreach (var pending in _lanes.Due(Stopwatch.GetTimestamp()))
            {
                var id = client.NextId();
                var record = pending.Record.Sending();
                _lanes.Sent(pending, id);
                client.Send(ClientFrames.Publish(id, record.Channel, record.Payload, record.Key));
            }
        }
    }

    private void CutWhenUnanswered()
    {
        if (AnswerWithin is not { } limit) return;
        lock (_gate)
        {
            if (_lanes.OldestSentAt is not { } at || Stopwatch.GetElapsedTime(at) < limit) return;
        }

        Oddities.Enqueue($"{Name}: a publish was not answered within {limit.TotalSeconds:0} s on a living socket");
        Cut();
    }

    private void Received(RawFrame frame)
    {
        switch (frame.Type)
        {
            case "published":
                Answered(frame);
                break;
            case "error" when _hosts.MayBeUnavailable && frame.Code == "unavailable":
                Refused(frame);
                break;
            case "error":
                Oddities.Enqueue($"{Name}: {frame}");
                // Its outcome is unknown; a new socket sends it again, in order.
                _client?.Abort();
                break;
            case "goaway":
                _goaway = true;
                _progress.Release();
                break;
        }
    }

    private void Answered(RawFrame frame)
    {
        lock (_gate)
        {
            if (Take(frame) is not { } pending) return;
            var record = pending.Record;
            if (record.Channel != frame.Channel) Oddities.Enqueue($"{Name}: the answer names another channel: {frame}");
            record.Acknowledged(frame.Epoch, frame.Offset, frame.Json.GetProperty("duplicate").GetBoolean());
            _lanes.Stored(pending);
            LongestPublish = Longer(LongestPublish, Stopwatch.GetElapsedTime(pending.FirstSentAt));
        }

        _acknowledged();
        _progress.Release();
    }

    private void Refused(RawFrame frame)
    {
        // Without a number it answers the hello; then the socket closes by itself.
        if (frame.Id is null) return;
        lock (_gate)
        {
            if (Take(frame) is not { } pending) return;
            var pause = frame.Has("retryAfterMs") ? frame.Number("retryAfterMs") : 250;
            _lanes.Refused(pending, Stopwatch.GetTimestamp() + (pause * Stopwatch.Frequency / 1000));
        }

        _progress.Release();
    }

    private PendingPublish? Take(RawFrame frame)
    {
        var pending = _lanes.Answered(frame.Id ?? -1);
        if (pending is null) Oddities.Enqueue($"{Name}: an answer to nothing: {frame}");
        else LongestAnswer = Longer(LongestAnswer, Stopwatch.GetElapsedTime(pending.SentAt));
        return pending;
    }

    private static TimeSpan Longer(TimeSpan a, TimeSpan b) => a > b ? a : b;
}

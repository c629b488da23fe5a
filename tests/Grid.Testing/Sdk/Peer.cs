using System.Collections.Concurrent;
using Grid.Testing.History;
using Grid.Testing.Hosting;

namespace Grid.Testing.Sdk;

/// <summary>What a publish through an SDK came to.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Sequence">Its place in the publisher's order.</param>
/// <param name="Payload">What was published; unique.</param>
/// <param name="Epoch">The epoch of the answer; null when there was none.</param>
/// <param name="Offset">The offset of the answer.</param>
/// <param name="Duplicate">Whether the answer said duplicate.</param>
/// <param name="Error">The error's code; null for an answer.</param>
/// <param name="OutcomeUnknown">Whether the error leaves open if it was stored.</param>
public sealed record PublishOutcome(
    string Channel, long Sequence, string Payload, string? Epoch, long Offset, bool Duplicate, string? Error = null, bool OutcomeUnknown = false);

/// <summary>
/// One user of an SDK, in this process or in Node: it follows channels from the start, publishes to them through the SDK with the
/// SDK's own idempotency keys, and notes everything that reaches the application.
/// </summary>
public abstract class Peer(string name, HistoryRecorder history) : IAsyncDisposable
{
    private readonly Dictionary<string, ConsumerRecord> _records = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<PublishOutcome> _outcomes = new();
    private readonly HashSet<string> _begun = new(StringComparer.Ordinal);
    private int _acknowledged;
    private int _unavailable;
    private volatile bool _finishing;

    /// <summary>Its name.</summary>
    public string Name => name;

    /// <summary>How many publishes were answered.</summary>
    public int Acknowledged => _acknowledged;

    /// <summary>The peer whose session and place this one takes over; its records go on here.</summary>
    public Peer? Earlier { get; init; }

    /// <summary>Called at each answer to a publish.</summary>
    public Action OnAcknowledged { get; init; } = () => { };

    /// <summary>Whether what is behind the host may be away, so that <c>unavailable</c> is a legitimate outcome. Default: false.</summary>
    public bool MayBeUnavailable { get; init; }

    /// <summary>The pause after each publish; zero, the default, for as fast as answers come.</summary>
    public TimeSpan Pace { get; init; }

    /// <summary>How many publishes ended with <c>unavailable</c>, their outcome unknown.</summary>
    public int Unavailable => _unavailable;

    /// <summary>How many messages reached the application.</summary>
    public long Delivered => _records.Values.Sum(r => r.Received);

    /// <summary>What should not have happened.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>How every publish came out.</summary>
    public IReadOnlyCollection<PublishOutcome> Outcomes => _outcomes;

    /// <summary>What it publishes.</summary>
    public static string PayloadOf(string name, long sequence) => $$"""{"by":"{{name}}","n":{{sequence}}}""";

    /// <summary>Connects and subscribes to the channels from their start.</summary>
    public abstract Task StartAsync(IReadOnlyList<string> channels, TestDeadline deadline);

    /// <summary>Publishes messages to the channels in turn, many at a time; ends when each has been answered.</summary>
    public abstract Task PublishAsync(int count, TestDeadline deadline);

    /// <summary>Lets <see cref="PublishAsync"/> publish nothing new.</summary>
    public virtual void FinishPublishing() => _finishing = true;

    /// <summary>Breaks its connection.</summary>
    public abstract void Cut();

    /// <summary>Whether it has got to an offset of a channel.</summary>
    public bool HasReached(string channel, long offset) => _records[channel].Position?.Offset >= offset;

    /// <summary>How far it is, for failure messages.</summary>
    public override string ToString() =>
        $"{name}: {_acknowledged} acknowledged, {string.Join(", ", _records.Select(r => $"{r.Key} at {r.Value.Position?.Offset}"))}";

    /// <summary>Says that it has seen all that it will.</summary>
    public void Finish()
    {
        foreach (var record in _records.Values) record.Finished();
    }

    /// <summary>Hands the publishes over to the judge, with the keys that the SDK gave them, which the store knows.</summary>
    public void Report(IReadOnlyDictionary<string, StoredChannel> stored)
    {
        var keys = new Dictionary<(string Channel, string Payload), string?>();
        foreach (var channel in stored.Values)
        {
            foreach (var message in channel.Messages) keys.TryAdd((channel.Channel, message.Payload), message.Key);
        }

        foreach (var outcome in _outcomes)
        {
            var key = keys.GetValueOrDefault((outcome.Channel, outcome.Payload));

            // How often an SDK sends is its own affair; that it may be more than once makes "duplicate" a legal answer.
            var record = history.Publish(name, outcome.Channel, key ?? $"never stored: {outcome.Payload}", outcome.Sequence, outcome.Payload)
                .Sending().Sending();
            if (outcome.Epoch is not null) record.Acknowledged(outcome.Epoch, outcome.Offset, outcome.Duplicate);
            else if (outcome.OutcomeUnknown) record.OutcomeUnknown();
            else record.Refused(outcome.Error!);
        }
    }

    public abstract ValueTask DisposeAsync();

    /// <summary>Whether nothing new is to be published.</summary>
    protected bool Finishing => _finishing;

    /// <summary>A subscription begins, from the start.</summary>
    protected void Following(string channel)
    {
        if (Earlier?._records.GetValueOrDefault(channel) is { } record)
        {
            _records[channel] = record;
            _begun.Add(channel);
        }
        else
        {
            _records[channel] = history.Consumer(name, channel, CursorOwner.Client);
        }
    }

    /// <summary>A message reached the application.</summary>
    protected void Received(string channel, string epoch, long offset, string? key, string payload)
    {
        var record = Begun(channel, epoch);
        record.Message(offset, key, payload);
    }

    /// <summary>A gap reached the application.</summary>
    protected void ReceivedGap(string channel, string epoch, long from, long to, string reason) =>
        Begun(channel, epoch).Gap(epoch, from, to, reason);

    /// <summary>A publish was answered, or failed.</summary>
    protected void Answered(PublishOutcome outcome)
    {
        _outcomes.Enqueue(outcome);
        if (outcome is { Error: "unavailable", OutcomeUnknown: true } && MayBeUnavailable) Interlocked.Increment(ref _unavailable);
        else if (outcome.Epoch is null) Oddities.Enqueue($"{name}: {outcome}");
        else Interlocked.Increment(ref _acknowledged);
        OnAcknowledged();
    }

    private ConsumerRecord Begun(string channel, string epoch)
    {
        var record = _records[channel];
        bool first;
        lock (_begun) first = _begun.Add(channel);
        if (first) record.Subscribed(epoch, 0);
        return record;
    }
}

/// <summary>Judges what peers saw.</summary>
public static class PeerJudge
{
    /// <summary>Waits until every peer is at the head of every channel, then judges everything.</summary>
    public static async Task<HistoryReport> JudgeAsync(
        HistoryRecorder history, HostProcess host, IReadOnlyList<string> channels, IReadOnlyList<Peer> peers, TestDeadline deadline)
    {
        using var http = host.Http();
        foreach (var channel in channels)
        {
            var stored = await http.HistoryAsync(channel);
            history.Stored(stored);
            foreach (var peer in peers)
                await deadline.UntilAsync(() => peer.HasReached(channel, stored.Head), () => $"{peer} reaches {stored.Head} of {channel}");
        }

        foreach (var peer in peers)
        {
            peer.Report(history.StoredChannels);
            peer.Finish();
        }

        return HistoryChecker.Check(history);
    }
}

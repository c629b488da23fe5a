using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Load;

namespace Grid.ClusterTests.Focused;

/// <summary>One channel with a publisher and consumers on silos of the test's choice, and one history for the checker.</summary>
internal sealed class Scene(string channel) : IAsyncDisposable
{
    /// <summary>The key of what a test publishes by itself to wake the channel.</summary>
    public const string WakeKey = "wake";

    private readonly HistoryRecorder _history = new() { IsDistributed = true };
    private readonly List<LoadConsumer> _consumers = [];
    private readonly List<LoadPublisher> _publishers = [];
    private int _acknowledged;

    public IReadOnlyList<LoadConsumer> Consumers => _consumers;

    public int Acknowledged => _acknowledged;

    /// <summary>Adds a consumer from the next message on, on one silo, or wherever <paramref name="pick"/> says; returns when it is subscribed.</summary>
    public async Task ConsumeAsync(TestSilo silo, Func<Uri>? pick = null, CursorOwner owner = CursorOwner.Client)
    {
        var name = $"consumer-{_consumers.Count}";
        using var http = silo.Http();
        var consumer = new LoadConsumer(Hosts(pick ?? (() => silo.Address)), name, await http.TokenAsync(name), _history, [channel], owner)
        {
            From = Grid.Testing.Wire.ClientFrames.Now,
        };
        _consumers.Add(consumer);
        consumer.Start();
        await consumer.Ready.WaitAsync(TimeSpan.FromSeconds(60));
    }

    /// <summary>Makes a publisher; the scene disposes it.</summary>
    public async Task<LoadPublisher> PublisherAsync(TestSilo silo, Func<Uri>? pick = null, TimeSpan pace = default)
    {
        using var http = silo.Http();
        var name = $"publisher-{_publishers.Count}";
        var publisher = new LoadPublisher(
            Hosts(pick ?? (() => silo.Address)), name, await http.TokenAsync(name), _history, [channel], new Random(1),
            () => Interlocked.Increment(ref _acknowledged))
        {
            Pace = pace,
            AnswerWithin = TimeSpan.FromSeconds(60),
        };
        _publishers.Add(publisher);
        return publisher;
    }

    /// <summary>Waits for a number of acknowledgements.</summary>
    public Task AcknowledgedAsync(int count, Task publishing, TestDeadline deadline) => deadline.UntilAsync(
        () => publishing.IsFaulted ? throw publishing.Exception : _acknowledged >= count, () => $"{count} acknowledgements instead of {_acknowledged}");

    /// <summary>Waits until every consumer is at the head, and judges the history.</summary>
    public async Task JudgeAsync(TestSilo silo, TestDeadline deadline)
    {
        using var http = silo.Http();
        var stored = await http.HistoryAsync(channel);
        foreach (var consumer in _consumers)
            await deadline.UntilAsync(() => consumer.HasReached(channel, stored.Head), () => $"{consumer.Name} reaches {stored.Head}, it is at {consumer.Records[channel].Position}");

        // Part of the store, but of no publisher's history.
        foreach (var message in stored.Messages.Where(m => m.Key == WakeKey))
            _history.Publish("the test", channel, WakeKey, 0, message.Payload).Sending().Acknowledged(stored.Epoch, message.Offset, false);
        _history.Stored(stored);
        foreach (var consumer in _consumers) consumer.Finish();
        HistoryChecker.Check(_history).ThrowIfBroken();
        Assert.Empty(_consumers.SelectMany(c => c.Oddities).Concat(_publishers.SelectMany(p => p.Oddities)));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var publisher in _publishers)
        {
            publisher.Finish();
            publisher.Cut();
        }

        foreach (var consumer in _consumers) await consumer.DisposeAsync();
        foreach (var publisher in _publishers) publisher.Dispose();
    }

    private static LoadHosts Hosts(Func<Uri> pick) => new(pick) { MayBeUnavailable = true, Silence = TimeSpan.FromSeconds(10), Patience = TimeSpan.FromSeconds(10) };
}

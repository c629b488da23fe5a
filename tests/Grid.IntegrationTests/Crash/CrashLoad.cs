using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Load;

namespace Grid.IntegrationTests.Crash;

/// <summary>Many publishers and consumers on one host, with one history for the checker.</summary>
internal sealed class CrashLoad(HostProcess host, int seed) : IAsyncDisposable
{
    private readonly HistoryRecorder _history = new();
    private readonly List<LoadPublisher> _publishers = [];
    private readonly List<LoadConsumer> _consumers = [];
    private readonly CancellationTokenSource _stop = new();
    private string[] _channels = [];
    private Task _publishing = Task.CompletedTask;
    private int _acknowledged;

    public int Seed => seed;

    public int Acknowledged => _acknowledged;

    /// <summary>What nobody expected: errors and closes without a reason.</summary>
    public IReadOnlyList<string> Oddities => [.. _publishers.SelectMany(p => p.Oddities), .. _consumers.SelectMany(c => c.Oddities)];

    /// <summary>Connects everybody, waits until all consumers are subscribed, and begins to publish.</summary>
    public async Task StartAsync(int publishers, int channels, int consumers, int channelsPerConsumer, int messages, TestDeadline deadline)
    {
        _channels = [.. Enumerable.Range(0, channels).Select(i => $"room:{i}")];
        using var http = host.Http();
        for (var i = 0; i < consumers; i++)
        {
            // Neighbours share channels, so that each channel has several consumers of both kinds.
            var mine = Enumerable.Range(0, channelsPerConsumer).Select(k => _channels[((i * channelsPerConsumer / 2) + k) % channels]);
            var owner = i % 2 == 0 ? CursorOwner.Client : CursorOwner.Server;
            var name = $"consumer-{i}";
            _consumers.Add(new LoadConsumer(host.Address, name, await http.TokenAsync(name), _history, mine, owner));
            _consumers[i].Start();
        }

        await Task.WhenAll(_consumers.Select(c => c.Ready)).WaitAsync(deadline.Token);
        for (var i = 0; i < publishers; i++)
        {
            var name = $"publisher-{i}";
            _publishers.Add(new LoadPublisher(
                host.Address, name, await http.TokenAsync(name), _history, _channels, new Random(seed + i), () => Interlocked.Increment(ref _acknowledged)));
        }

        _publishing = Task.WhenAll(_publishers.Select(p => Task.Run(() => p.RunAsync(messages, _stop.Token))));
    }

    /// <summary>Waits for a number of acknowledgements.</summary>
    public Task AcknowledgedAsync(int count, TestDeadline deadline) => deadline.UntilAsync(
        () => _publishing.IsFaulted ? throw _publishing.Exception : _acknowledged >= count, () => $"{count} acknowledgements; {Describe()}");

    /// <summary>Waits until every publisher has all its acknowledgements.</summary>
    public Task PublishedAsync(TestDeadline deadline) => _publishing.WaitAsync(deadline.Token);

    /// <summary>Waits until every consumer is at the head of each of its channels.</summary>
    public async Task CaughtUpAsync(TestDeadline deadline)
    {
        using var http = host.Http();
        foreach (var channel in _channels)
        {
            var head = (await http.HistoryAsync(channel)).Head;
            foreach (var consumer in _consumers.Where(c => c.Records.ContainsKey(channel)))
            {
                await deadline.UntilAsync(() => consumer.HasReached(channel, head), () => $"{consumer.Name} reaches {head} of {channel}; {Describe()}");
            }
        }
    }

    /// <summary>Reads the store and judges everything.</summary>
    public async Task<HistoryReport> JudgeAsync()
    {
        using var http = host.Http();
        foreach (var channel in _channels) _history.Stored(await http.HistoryAsync(channel));
        foreach (var consumer in _consumers) consumer.Finish();
        return HistoryChecker.Check(_history);
    }

    /// <summary>Cuts the sockets of a few.</summary>
    public void CutSome(Random random)
    {
        for (var i = 0; i < 5; i++)
        {
            _consumers[random.Next(_consumers.Count)].Cut();
            _publishers[random.Next(_publishers.Count)].Cut();
        }
    }

    /// <summary>How far everybody is, for failure messages.</summary>
    public string Describe() =>
        $"{_acknowledged} acknowledged, {_consumers.Sum(c => c.Records.Values.Sum(r => r.Received))} delivered, "
        + $"{_consumers.Sum(c => c.EarlyLosses)} sessions lost before their first checkpoint\n{string.Join('\n', Oddities.Take(20))}";

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach (var publisher in _publishers) publisher.Cut();
        await _publishing.ContinueWith(_ => { }, TaskScheduler.Default);
        foreach (var consumer in _consumers) await consumer.DisposeAsync();
        foreach (var publisher in _publishers) publisher.Dispose();
        _stop.Dispose();
    }
}

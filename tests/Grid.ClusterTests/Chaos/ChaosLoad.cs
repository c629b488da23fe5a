using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Load;
using Grid.Testing.Sdk;

namespace Grid.ClusterTests.Chaos;

/// <summary>How much is going on while a cluster is hurt.</summary>
internal sealed record LoadSize
{
    public int Channels { get; init; } = 8;

    public int Publishers { get; init; } = 6;

    public int Consumers { get; init; } = 24;

    public int ChannelsPerConsumer { get; init; } = 3;

    public int EventStreams { get; init; } = 4;

    public int DotNetPeers { get; init; } = 2;

    public int NodePeers { get; init; } = 1;

    /// <summary>The pause of each publisher between two messages.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromMilliseconds(40);
}

/// <summary>
/// Clients of every kind on a cluster, each on whichever silo the balancer gives it: pipelining publishers, sessions with their own
/// cursors and with the server's, readers of event streams, applications on both SDKs, and webhooks. One history for the checker.
/// </summary>
internal sealed class ChaosLoad(TestCluster cluster, int seed, LoadSize size) : IAsyncDisposable
{
    private static readonly string[] PeerChannels = ["peers:1", "peers:2"];
    private readonly List<LoadPublisher> _publishers = [];
    private readonly List<LoadConsumer> _consumers = [];
    private readonly List<SseConsumer> _streams = [];
    private readonly List<Peer> _peers = [];
    private readonly ChaosWebhooks _webhooks = new(cluster.Network!.Bridge);
    private readonly CancellationTokenSource _stop = new();
    private readonly string[] _channels = [.. Enumerable.Range(0, size.Channels).Select(i => $"room:{i}")];
    private readonly LoadHosts _hosts = new(cluster.Pick)
    {
        MayBeUnavailable = true,

        // Besides a drain: a silo that went on after it had stood still misses its sockets' heartbeats, and one whose stores are away
        // cannot take sessions up.
        Reconnects = new HashSet<int> { 1006, 4000, 4001, 4003 },
        Silence = TimeSpan.FromSeconds(10),
        Patience = TimeSpan.FromSeconds(10),
    };

    private Task _publishing = Task.CompletedTask;
    private int _acknowledged;

    public HistoryRecorder History { get; } = new() { IsDistributed = true };

    public IReadOnlyList<LoadPublisher> Publishers => _publishers;

    public IReadOnlyList<LoadConsumer> Consumers => _consumers;

    public IReadOnlyList<SseConsumer> Streams => _streams;

    public IReadOnlyList<Peer> Peers => _peers;

    public ChaosWebhooks Webhooks => _webhooks;

    /// <summary>How many publishes were acknowledged.</summary>
    public int Acknowledged => _acknowledged + _peers.Sum(p => p.Acknowledged);

    /// <summary>How many messages reached clients.</summary>
    public long Delivered =>
        _consumers.Sum(c => c.Records.Values.Sum(r => r.Received)) + _streams.Sum(s => s.Received) + _peers.Sum(p => p.Delivered);

    /// <summary>What nobody expected.</summary>
    public IReadOnlyList<string> Oddities =>
    [
        .. _publishers.SelectMany(p => p.Oddities), .. _consumers.SelectMany(c => c.Oddities), .. _streams.SelectMany(s => s.Oddities),
        .. _peers.SelectMany(p => p.Oddities), .. _webhooks.Oddities,
    ];

    /// <summary>Connects everybody and begins to publish.</summary>
    public async Task StartAsync(TestDeadline deadline)
    {
        using var http = cluster.Running[0].Http();
        for (var i = 0; i < size.Consumers; i++)
        {
            // Neighbours share channels, so that each channel has several consumers of both kinds.
            var mine = Enumerable.Range(0, size.ChannelsPerConsumer).Select(k => _channels[(i + k) % _channels.Length]);
            var owner = i % 2 == 0 ? CursorOwner.Client : CursorOwner.Server;
            _consumers.Add(new LoadConsumer(_hosts, $"consumer-{i}", await http.TokenAsync($"consumer-{i}"), History, mine, owner)
            {
                MayHaveLostStateSince = cluster.MayHaveLostStateSince,
            });
            _consumers[i].Start();
        }

        for (var i = 0; i < size.EventStreams; i++)
        {
            _streams.Add(new SseConsumer(_hosts, $"stream-{i}", await http.TokenAsync($"stream-{i}"), History, _channels[i % _channels.Length]));
            _streams[i].Start();
        }

        await MakePeersAsync(http);
        await _webhooks.StartAsync(http, _channels);
        await Task.WhenAll([.. _consumers.Select(c => c.Ready), .. _streams.Select(s => s.Ready), .. _peers.Select(p => p.StartAsync(PeerChannels, deadline))])
            .WaitAsync(deadline.Token);
        for (var i = 0; i < size.Publishers; i++)
        {
            _publishers.Add(new LoadPublisher(
                _hosts, $"publisher-{i}", await http.TokenAsync($"publisher-{i}"), History, _channels, new Random(seed + i),
                () => Interlocked.Increment(ref _acknowledged))
            {
                Pace = size.Pace,
                AnswerWithin = TimeSpan.FromSeconds(60),
            });
        }

        _publishing = Task.WhenAll(
        [
            .. _publishers.Select(p => Task.Run(() => p.RunAsync(int.MaxValue, _stop.Token))),
            .. _peers.Select(p => Task.Run(() => p.PublishAsync(int.MaxValue, deadline))),
        ]);
    }

    /// <summary>Waits until so many more publishes were acknowledged: the load is under way.</summary>
    public async Task MoreAsync(int count, TestDeadline deadline)
    {
        var target = Acknowledged + count;
        await deadline.UntilAsync(
            () => _publishing.IsFaulted ? throw _publishing.Exception : Acknowledged >= target, () => $"{target} acknowledgements; {Describe()}");
    }

    /// <summary>Publishes nothing new, and waits until all that was published is answered.</summary>
    public async Task FinishAsync(TestDeadline deadline)
    {
        foreach (var publisher in _publishers) publisher.Finish();
        foreach (var peer in _peers) peer.FinishPublishing();
        try
        {
            await _publishing.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TestFailedException($"Not every publish was answered. {Describe()}");
        }
    }

    /// <summary>Waits until everybody is at the head of each channel, and judges the whole history.</summary>
    public async Task<HistoryReport> JudgeAsync(TestDeadline deadline)
    {
        using var http = cluster.Running[0].Http();
        foreach (var channel in _channels.Concat(PeerChannels))
        {
            var stored = await http.HistoryAsync(channel);
            History.Stored(stored);
            foreach (var consumer in _consumers.Where(c => c.Records.ContainsKey(channel)))
                await deadline.UntilAsync(() => consumer.HasReached(channel, stored.Head), () => $"{consumer.Name} reaches {stored.Head} of {channel}; it is at {consumer.Records[channel].Position}; {Describe()}");
            foreach (var stream in _streams.Where(s => s.Channel == channel))
                await deadline.UntilAsync(() => stream.HasReached(stored.Head), () => $"{stream.Name} reaches {stored.Head} of {channel}; {Describe()}");
            await _webhooks.ReachAsync(stored, deadline);
            foreach (var peer in PeerChannels.Contains(channel) ? _peers : [])
                await deadline.UntilAsync(() => peer.HasReached(channel, stored.Head), () => $"{peer} reaches {stored.Head} of {channel}; {Describe()}");
        }

        foreach (var consumer in _consumers) consumer.Finish();
        foreach (var stream in _streams) stream.Finish();
        foreach (var peer in _peers)
        {
            peer.Report(History.StoredChannels);
            peer.Finish();
        }

        return HistoryChecker.Check(History);
    }

    /// <summary>How far everybody is, for failure messages.</summary>
    public string Describe() => $"{Acknowledged} acknowledged, {Delivered} delivered\n{string.Join('\n', _peers)}\n{string.Join('\n', Oddities.Take(20))}";

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach (var publisher in _publishers) publisher.Cut();
        foreach (var peer in _peers) await peer.DisposeAsync();
        await _publishing.ContinueWith(static t => t.Exception, TaskScheduler.Default);
        await Task.WhenAll(_consumers.Select(c => c.DisposeAsync().AsTask()).Concat(_streams.Select(s => s.DisposeAsync().AsTask())));
        foreach (var publisher in _publishers) publisher.Dispose();
        await _webhooks.DisposeAsync();
        _stop.Dispose();
    }

    private async Task MakePeersAsync(GridHttp http)
    {
        for (var i = 0; i < size.DotNetPeers; i++)
        {
            _peers.Add(new DotNetPeer($"dotnet-{i}", History, cluster.Pick, await http.TokenAsync($"dotnet-{i}"))
            {
                MayBeUnavailable = true,
                Pace = size.Pace * 2,
            });
        }

        for (var i = 0; i < size.NodePeers; i++)
        {
            _peers.Add(new NodePeer($"node-{i}", History, [.. cluster.Running.Select(s => s.Address)], await http.TokenAsync($"node-{i}"))
            {
                MayBeUnavailable = true,
                Pace = size.Pace * 2,
            });
        }
    }
}

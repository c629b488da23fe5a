using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Acknowledged durable publishes: one connection for each channel, each with so many publishes unanswered; by HTTP, each with one
/// request under way that carries so many messages.
/// </summary>
internal sealed class Publishing : Load
{
    private readonly long[][] _sentAt;
    private readonly LoadConnection[] _publishers;
    private readonly int _pipeline;
    private readonly int _perRequest;
    private bool _running;
    private long _inFlight;

    private Publishing(int channels, int pipeline, int perRequest, Func<Publishing, int, LoadConnection> connect)
    {
        (_pipeline, _perRequest) = (pipeline, perRequest);
        _publishers = [.. Enumerable.Range(0, channels).Select(i => connect(this, i))];
        _sentAt = [.. Enumerable.Range(0, channels).Select(_ => new long[pipeline])];
    }

    private long Acknowledged { get; set; }

    /// <summary>The verb <c>publish</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (channels, size) = (options.Int("channels", 500), options.Int("size", 128));
        var pipelines = options.Ints("pipeline", 1, 16, 256);
        var pairs = options.Int("pairs", 2);
        var (time, warmUp) = (options.Seconds("seconds", 5), options.Seconds("warmup", 2));
        var http = options.Has("http");
        var servers = Rig.Servers(options, [Peers.JetStream]);
        using var loop = new EventLoop();
        try
        {
            foreach (var pipeline in pipelines)
            {
                var row = $"acknowledged publishes, {channels} channels, {(http ? "HTTP batch" : "pipeline")} {pipeline}";
                for (var pair = 0; pair < pairs; pair++)
                {
                    foreach (var server in servers)
                    {
                        var viaHttp = http && server is IGridServer;
                        var load = new Publishing(
                            channels, viaHttp ? 1 : pipeline, viaHttp ? pipeline : 1, (l, i) => Connect(l, server, i, size, viaHttp ? pipeline : 0));
                        summary.Add(load.Measure(loop, server, warmUp, time, row));
                    }
                }
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        Acknowledged += count;
        _inFlight -= count;
        var now = Stopwatch.GetTimestamp();
        var slots = _sentAt[connection.Index];
        ref var sent = ref slots[id % slots.Length];
        if ((Acknowledged & 3) == 0 || slots.Length == 1) Latency.Record(sent, now);
        if (!_running) return;
        sent = now;
        _inFlight += _perRequest;
        connection.Publish(now);
    }

    private static LoadConnection Connect(Publishing load, IServer server, int index, int size, int httpBatch)
    {
        var channel = $"pub:{index}";
        return httpBatch > 0
            ? new HttpConnection(load, index, ((IGridServer)server).ApiKey) { Channel = channel, Size = size, Batch = httpBatch }
            : server.Connection(load, index, channel, subscribes: false, size, acknowledged: true);
    }

    private Figure Measure(EventLoop loop, IServer server, TimeSpan warmUp, TimeSpan time, string row)
    {
        Rig.Open(loop, server, this, _publishers);
        _running = true;
        foreach (var publisher in _publishers)
        {
            for (var i = 0; i < _pipeline; i++)
            {
                var now = Stopwatch.GetTimestamp();
                _sentAt[publisher.Index][i] = now;
                _inFlight += _perRequest;
                publisher.Publish(now);
            }
        }

        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Acknowledged, row, "acks/s");
        _running = false;
        Rig.Drain(loop, this, server, () => _inFlight == 0);
        foreach (var publisher in _publishers) loop.Close(publisher);
        return figure;
    }
}

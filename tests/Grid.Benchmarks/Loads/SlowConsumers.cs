using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// What subscribers that stop reading cost the others: the same fan-out without and with them, in turns. Afterwards they read again
/// and have to get every message that they missed, in order.
/// </summary>
internal sealed class SlowConsumers : Load
{
    private const int SmallReceiveBuffer = 4096;

    /// <summary>The verb <c>slow</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (subscribers, slow, size) = (options.Int("subscribers", 1000), options.Int("slow", 20), options.Int("size", 128));
        var window = options.Int("window", 64);
        var pairs = options.Int("pairs", 2);
        var (time, warmUp) = (options.Seconds("seconds", 5), options.Seconds("warmup", 2));
        if (time + warmUp > TimeSpan.FromSeconds(20)) throw new BenchmarkException("--seconds: consumers silent for 30 s are disconnected.");
        options.RefuseOthers(["url", "key", "perf", "env"]);
        using var server = GridServer.Start(options);
        using var loop = new EventLoop();
        var load = FanOut.Prepare(loop, server, subscribers, size, "slow:1");
        var row = $"fan-out 1→{subscribers}, window {window}";
        for (var pair = 0; pair < pairs; pair++)
        {
            summary.Add(load.Measure(loop, server, window, warmUp, time, row) with { Side = "none slow" });
            var sleepers = Open(loop, server, slow, size);
            foreach (var connection in sleepers.Connections) connection.Pause(true);
            var before = server.Usage().Rss;
            var figure = load.Measure(loop, server, window, warmUp, time, row);
            var after = server.Usage().Rss;
            foreach (var connection in sleepers.Connections) connection.Pause(false);
            var watch = System.Diagnostics.Stopwatch.StartNew();
            var expected = load.LastOffset;
            Rig.Drain(loop, sleepers, server, () => Array.TrueForAll(sleepers.Connections, c => c.Cursor == expected));
            summary.Add(figure with
            {
                Side = "grid",
                Row = row,
                Note = FormattableString.Invariant(
                    $"{slow} consumers did not read; they caught up whole in {watch.Elapsed.TotalSeconds:0.0} s; RSS {(after - before) / 1048576.0:+0;-0} MiB"),
            });
            foreach (var connection in sleepers.Connections) loop.Close(connection);
        }
    }

    private GridConnection[] Connections { get; set; } = [];

    private static SlowConsumers Open(EventLoop loop, GridServer server, int count, int size)
    {
        var load = new SlowConsumers();
        load.Connections = [.. Enumerable.Range(0, count).Select(
            i => (GridConnection)server.Connection(load, i, "slow:1", true, size, false))];
        Rig.Open(loop, server, load, load.Connections, receiveBuffer: SmallReceiveBuffer);
        return load;
    }
}

using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>The verb <c>curve</c>: the same load at places that lie far apart, to see how cost, latency and memory grow.</summary>
internal sealed class Curves
{
    private const int Publishers = 100;
    private const int Pipeline = 16;
    private const int HistoryChannels = 100;
    private const int Page = 100;
    private const int Readers = 50;

    private readonly Options _options;
    private readonly Summary _summary;
    private readonly TimeSpan _time;
    private readonly TimeSpan _warmUp;
    private readonly int _pairs;
    private readonly int _size;

    private Curves(Options options, Summary summary)
    {
        (_options, _summary) = (options, summary);
        (_time, _warmUp) = (options.Seconds("seconds", 3), options.Seconds("warmup", 1));
        (_pairs, _size) = (options.Int("pairs", 1), options.Int("size", 128));

        // The first curve refuses what nobody asked for, and these may be the next one's.
        foreach (var name in (string[])["over", "points", "most", "window", "subscribers", "peer", "silos", "embedded"]) options.Has(name);
    }

    /// <summary>The verb <c>curve</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var curves = new Curves(options, summary);
        foreach (var over in (options.Text("over") ?? "subscribers,channels,size,silos,history").Split(','))
        {
            Action run = over switch
            {
                "subscribers" => curves.OverSubscribers,
                "channels" => curves.OverChannels,
                "size" => curves.OverSize,
                "silos" => curves.OverSilos,
                "history" => curves.OverHistory,
                _ => throw new BenchmarkException($"--over {over}: known are subscribers, channels, size, silos, history."),
            };
            run();
        }
    }

    private void OverSubscribers()
    {
        var points = Points(10, 100, 1000, 10_000);
        if (points[^1] >= Rig.MaxOpen) throw new BenchmarkException($"--points: fewer than {Rig.MaxOpen} subscribers, for want of files.");
        var window = _options.Int("window", 64);
        var curve = NewCurve($"Fan-out over subscribers, {_size} B, window {window}", "subscribers", "delivery", 0);
        var servers = Rig.Servers(_options, Peers.Known, FanOut.Room(_size));
        FanOuts(servers, curve, points, (server, point, loop) => FanOut.Prepare(loop, server, point, _size, $"fan:s{Text(point)}"), window, "fan-out");
    }

    private void OverSize()
    {
        var points = Points(Stamp.MinSize, 128, 1024, 8 * 1024, 64 * 1024);
        var (window, subscribers) = (_options.Int("window", 8), _options.Int("subscribers", 100));
        var curve = NewCurve($"Fan-out over message size, 1→{subscribers}, window {window}", "bytes", "delivery", 1);
        var servers = Rig.Servers(_options, Peers.Known, FanOut.Room(points[^1]));
        FanOuts(servers, curve, points, (server, point, loop) => FanOut.Prepare(loop, server, subscribers, point, $"fan:b{Text(point)}"), window, "fan-out");
    }

    private void OverChannels()
    {
        var points = Points(1, 10, 100, 1000, 10_000, 100_000);
        if (points[^1] > 9_999_999) throw new BenchmarkException("--points: at most 9,999,999 channels.");
        var curve = NewCurve($"Acknowledged publishes over channels, {Publishers} connections × {Pipeline} unanswered, {_size} B", "channels", "publish", 0);
        var servers = Rig.Servers(_options, []);
        using var loop = new EventLoop();
        try
        {
            foreach (var channels in points)
            {
                for (var pair = 0; pair < _pairs; pair++)
                {
                    foreach (var server in servers) Publish(loop, server, curve, "publish", channels, channels, $"many{Text(channels)}");
                }
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    private void OverSilos()
    {
        var points = Points(1, 2, 3, 4);
        var (window, subscribers) = (_options.Int("window", 64), _options.Int("subscribers", 1000));
        var curve = NewCurve($"Clusters over silos: fan-out 1→{subscribers}, window {window}, and acknowledged publishes on 500 channels", "silos", "delivery or publish", 1);
        _options.RefuseOthers("perf", "env");
        foreach (var silos in points)
        {
            // One cluster at a time: several would take each other's memory and processors.
            using var cluster = GridCluster.Start(_options, silos);
            using var loop = new EventLoop();
            var load = FanOut.Prepare(loop, cluster, subscribers, _size, "fan:1");
            for (var pair = 0; pair < _pairs; pair++)
                curve.Add("fan-out", silos, load.Measure(loop, cluster, window, _warmUp, _time, "fan-out") with { Side = "cluster" });
            load.Close(loop);
            for (var pair = 0; pair < _pairs; pair++) Publish(loop, cluster, curve, "publish", silos, 500, "many", "cluster");
        }
    }

    private void OverHistory()
    {
        var points = Points(10_000, 100_000, 1_000_000, 10_000_000);
        var curve = NewCurve(
            $"Stored history on {HistoryChannels} channels: pages of {Page} over HTTP, and acknowledged publishes behind it", "stored messages", "message read or published", 0);
        if (points[0] < HistoryChannels * Page) throw new BenchmarkException($"--points: at least {HistoryChannels * Page} messages, a page for each channel.");
        _options.RefuseOthers("perf", "env", "url", "key");
        using var server = GridServer.Start(_options, ("Grid__Namespaces__hist__MaxMessages", "100000000"), ("Grid__Namespaces__hist__MaxBytes", "100000000000"));
        using var loop = new EventLoop();
        var channels = HistoryReads.Names(HistoryChannels);
        var stored = 0;
        foreach (var point in points)
        {
            stored += Filler.Fill(loop, server, channels, Math.Max(1, (point / HistoryChannels) - stored), _size);
            var reads = HistoryReads.OverHttp(loop, server, channels, stored, Page, Readers);
            for (var pair = 0; pair < _pairs; pair++)
            {
                curve.Add("pages", point, reads.Measure(loop, server, _warmUp, _time, $"history by HTTP, {point} stored"));
                Publish(loop, server, curve, "publish", point, HistoryChannels, "hist");
            }

            reads.Close(loop);
        }
    }

    private void FanOuts(
        List<IServer> servers, Curve curve, int[] points, Func<IServer, int, EventLoop, FanOut> open, int window, string work)
    {
        using var loop = new EventLoop();
        try
        {
            foreach (var point in points)
            {
                for (var pair = 0; pair < _pairs; pair++)
                {
                    foreach (var server in servers)
                    {
                        var load = open(server, point, loop);
                        curve.Add(work, point, load.Measure(loop, server, window, _warmUp, _time, $"{work}, {curve.Axis} {Text(point)}"));
                        load.Close(loop);
                    }
                }
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    private void Publish(EventLoop loop, IServer server, Curve curve, string work, int point, int channels, string name, string? side = null)
    {
        var load = ManyChannels.Open(loop, (IGridServer)server, Publishers, channels, Pipeline, _size, name);
        var figure = load.Measure(loop, server, _warmUp, _time, $"{work}, {curve.Axis} {Text(point)}");
        curve.Add(work, point, side is null ? figure : figure with { Side = side });
        load.Close(loop);
    }

    private Curve NewCurve(string title, string axis, string cost, double allowed)
    {
        var curve = new Curve(title, axis, cost, allowed);
        _summary.Curves.Add(curve);
        return curve;
    }

    /// <summary>The places: those asked for, in order, or the usual ones up to <c>--most</c>.</summary>
    private int[] Points(params int[] usual)
    {
        var most = _options.Int("most", int.MaxValue);
        int[] points = [.. _options.Ints("points", usual).Order().Where(p => p <= most)];
        return points.Length > 0 ? points : throw new BenchmarkException("--most leaves no place to measure.");
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What endpoints that refuse or hang cost the others of their tenant: the time from publish to arrival at the healthy ones, of a host
/// whose endpoints are all healthy, of another one just like it (their difference is the machine's noise), and of one where some are not,
/// in turns. The first turn is the one in which the bad ones are met.
/// </summary>
internal sealed class Fairness : Load, IDisposable
{
    private const int Publishers = 8;
    private static readonly TimeSpan Look = TimeSpan.FromMicroseconds(500);
    private static readonly TimeSpan Priming = TimeSpan.FromSeconds(8);

    private readonly GridServer _server;
    private readonly HookReceiver _receiver;
    private readonly string _name;
    private readonly int _first;
    private GridConnection[] _publishers = [];
    private int _next;

    private Fairness(GridServer server, HookReceiver receiver, string name, int first) => (_server, _receiver, _name, _first) = (server, receiver, name, first);

    /// <summary>The verb <c>webhooks-fair</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (endpoints, bad, rate, turns) = (options.Int("endpoints", 1_000), options.Int("bad", 20), options.Int("rate", 1_000), options.Int("pairs", 3));
        var time = options.Seconds("seconds", 10);
        options.RefuseOthers("env", "hosts", "perf");
        var count = endpoints * bad / 100;
        using var loop = new EventLoop();
        using var receiver = HookReceiver.Start();
        var sides = new List<Fairness>();
        try
        {
            foreach (var build in GridBuild.Of(options))
            {
                sides.Add(Start(options, build, receiver, sides.Count, endpoints, count, "healthy", isBad: false));
                sides.Add(Start(options, build, receiver, sides.Count, endpoints, count, "healthy too", isBad: false));
                sides.Add(Start(options, build, receiver, sides.Count, endpoints, count, "bad ones", isBad: true));
            }

            // Only the healthy ones: the bad ones are to be met while it is measured.
            foreach (var side in sides) side.Measure(loop, count, endpoints, rate, Priming, "");
            for (var turn = 0; turn < turns; turn++)
            {
                var row = $"webhooks, {endpoints} endpoints at {rate}/s, {bad} % bad, {(turn == 0 ? "when they are met" : "after that")}";
                foreach (var side in sides) summary.Add(side.Measure(loop, 0, endpoints, rate, time, row));
            }
        }
        finally
        {
            foreach (var side in sides) side.Dispose();
        }
    }

    public void Dispose() => _server.Dispose();

    private static Fairness Start(
        Options options, GridBuild build, HookReceiver receiver, int number, int endpoints, int bad, string name, bool isBad)
    {
        var server = GridServer.Start(options, build, ("Grid__Webhooks__AllowPrivateNetworks", "true"));
        var side = new Fairness(server, receiver, build.Name is { } of ? $"{of}: {name}" : name, bad);
        try
        {
            using var api = new HookApi(server);
            api.Create([.. Enumerable.Range(0, endpoints).Select(
                i => new { url = Url(i), channels = new[] { FormattableString.Invariant($"fair:{i:D7}") } })]);
            side._publishers = [.. Enumerable.Range(0, Publishers).Select(
                i => new GridConnection(side, i, ((IGridServer)server).Token) { Channel = "fair:", Numbered = true })];
            return side;
        }
        catch
        {
            side.Dispose();
            throw;
        }

        // Those that are bad on one side are healthy on the others, and not looked at on any.
        Uri Url(int i) => i >= bad ? receiver.Url(number, i, HookPath.Healthy)
            : !isBad ? receiver.Url(number, i, HookPath.Other)
            : i % 2 == 0 ? receiver.Refusing(number, i)
            : receiver.Url(number, i, HookPath.Quiet);
    }

    private Figure Measure(EventLoop loop, int from, int to, int rate, TimeSpan time, string row)
    {
        if (_publishers[0].Fd < 0) Rig.Open(loop, _server, this, _publishers);
        var (due, step) = (Stopwatch.GetTimestamp(), Stopwatch.Frequency / rate);
        var healthy = 0L;
        loop.OnTimer = () =>
        {
            for (; due <= Stopwatch.GetTimestamp(); due += step)
            {
                var endpoint = from + (_next++ % (to - from));
                if (endpoint >= _first) healthy++;
                _publishers[_next % Publishers].PublishTo(endpoint, due);
            }

            loop.NextTimer = Stopwatch.GetTimestamp() + (long)(Look.TotalSeconds * Stopwatch.Frequency);
        };
        var tally = _receiver.Tally;
        var (noted, arrived, used, own, start) =
            (tally.Noted, tally.Of(HookPath.Healthy), _server.Usage(), _receiver.Usage.CpuSeconds, Stopwatch.GetTimestamp());
        loop.NextTimer = 0;
        loop.RunFor(time);
        loop.NextTimer = long.MaxValue;
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var figureOf = _server.Usage().Since(used);
        var done = loop.RunUntil(() => Volatile.Read(ref tally.Of(HookPath.Healthy)) >= arrived + healthy, TimeSpan.FromSeconds(30));
        ThrowOnFault();
        _receiver.ThrowOnFault();
        if (!done) throw new BenchmarkException($"{_name}: {arrived + healthy - tally.Of(HookPath.Healthy)} deliveries to healthy endpoints were missing after 30 s.");
        var latency = new Latencies();
        for (var i = noted; i < Volatile.Read(ref tally.Noted); i++) latency.Record(tally.Latency(i));
        return new Figure
        {
            Row = row,
            Side = _name,
            Value = latency.Percentile(99) ?? double.NaN,
            Unit = "ms (p99)",
            MoreIsBetter = false,
            Seconds = seconds,
            Work = healthy,
            Latency = latency,
            Used = figureOf,
            GeneratorCpu = _receiver.Usage.CpuSeconds - own,
            Note = FormattableString.Invariant($"{_server.Metric("grid_webhooks_active") ?? 0:0} subscriptions in memory, {_server.Metric("grid_webhooks_in_flight") ?? 0:0} requests under way"),
        };
    }
}

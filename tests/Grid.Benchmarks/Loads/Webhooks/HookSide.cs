using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>A Grid process with subscriptions, each with a channel and an endpoint of its own, and a publisher for each channel.</summary>
internal sealed class HookSide : Load, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Look = TimeSpan.FromMicroseconds(200);

    private readonly GridServer _server;
    private readonly HookApi _api;
    private readonly HookReceiver _receiver;
    private readonly int _size;
    private string[] _ids = [];
    private LoadConnection[] _publishers = [];
    private long _published;
    private int _next;

    private HookSide(GridServer server, HookReceiver receiver, int size) =>
        (_server, _api, _receiver, _size) = (server, new HookApi(server), receiver, size);

    private long Arrived => Volatile.Read(ref _receiver.Tally.Of(HookPath.Healthy));

    private double Allocated => _server.Metric("dotnet_gc_heap_total_allocated_bytes_total") ?? double.NaN;

    /// <summary>Starts one.</summary>
    public static HookSide Start(
        Options options, GridBuild build, HookReceiver receiver, int number, (string, string)[] settings, int subscriptions, string mode, int size)
    {
        var side = new HookSide(GridServer.Start(options, build, settings), receiver, size);
        try
        {
            side._ids = side._api.Create([.. Enumerable.Range(0, subscriptions).Select(
                i => new { url = receiver.Url(number, i, HookPath.Healthy), channels = new[] { Channel(i) }, mode })]);
            return side;
        }
        catch
        {
            side.Dispose();
            throw;
        }
    }

    /// <summary>Publishes while nothing is delivered, then measures until all of it has arrived.</summary>
    public Figure Backlog(EventLoop loop, int messages, string row)
    {
        _api.Each(_ids, "pause");
        var each = Filler.Fill(loop, _server, [.. _ids.Select((_, i) => Channel(i))], messages / _ids.Length, _size);
        var (expected, before) = (each * _ids.Length, Arrived);
        var (allocated, used, own, start) = (Allocated, _server.Usage(), _receiver.Usage.CpuSeconds, Stopwatch.GetTimestamp());
        using var profile = Profile(TimeSpan.FromSeconds(2), "backlog");
        _api.Each(_ids, "resume");
        Await(loop, before + expected);
        return Figure(row, expected, start, used, own, allocated);
    }

    /// <summary>Publishes so that a number of messages is always under way, and measures what arrives.</summary>
    public Figure Live(EventLoop loop, int underWay, TimeSpan warmUp, TimeSpan time, string row)
    {
        Open(loop);
        var first = Arrived - _published;
        Every(loop, Look, () =>
        {
            while (_published - (Arrived - first) < underWay) Publish();
        });
        loop.RunFor(warmUp);
        var (before, allocated, used, own, start) = (Arrived, Allocated, _server.Usage(), _receiver.Usage.CpuSeconds, Stopwatch.GetTimestamp());
        using var profile = Profile(time, "live");
        loop.RunFor(time);
        var figure = Figure(row, Arrived - before, start, used, own, allocated);
        loop.NextTimer = long.MaxValue;
        Await(loop, first + _published);
        return figure;
    }

    /// <summary>Publishes at a rate, and measures the time from each publish to its arrival.</summary>
    public Figure AtRate(EventLoop loop, int rate, TimeSpan warmUp, TimeSpan time, string row)
    {
        Open(loop);
        var (first, due, step) = (Arrived - _published, Stopwatch.GetTimestamp(), Stopwatch.Frequency / rate);
        Every(loop, Look, () =>
        {
            for (; due <= Stopwatch.GetTimestamp(); due += step) Publish(due);
        });
        loop.RunFor(warmUp);
        var (before, noted, allocated, used, own, start) =
            (Arrived, _receiver.Tally.Noted, Allocated, _server.Usage(), _receiver.Usage.CpuSeconds, Stopwatch.GetTimestamp());
        loop.RunFor(time);
        var figure = Figure(row, Arrived - before, start, used, own, allocated);
        var latency = new Latencies();
        for (var i = noted; i < Volatile.Read(ref _receiver.Tally.Noted); i++) latency.Record(_receiver.Tally.Latency(i));
        loop.NextTimer = long.MaxValue;
        Await(loop, first + _published);
        return figure with { Latency = latency, Value = latency.Percentile(99) ?? double.NaN, Unit = "ms (p99)", MoreIsBetter = false };
    }

    public void Dispose()
    {
        _api.Dispose();
        _server.Dispose();
    }

    private static string Channel(int index) => FormattableString.Invariant($"hook:{index}");

    private static void Every(EventLoop loop, TimeSpan interval, Action act)
    {
        loop.OnTimer = () =>
        {
            act();
            loop.NextTimer = Stopwatch.GetTimestamp() + (long)(interval.TotalSeconds * Stopwatch.Frequency);
        };
        loop.NextTimer = 0;
    }

    private void Open(EventLoop loop)
    {
        if (_publishers.Length > 0) return;
        _publishers = [.. Enumerable.Range(0, _ids.Length).Select(i => _server.Connection(this, i, Channel(i), subscribes: false, _size, acknowledged: false))];
        Rig.Open(loop, _server, this, _publishers);
    }

    private void Publish(long? due = null)
    {
        _publishers[_next].Publish(due ?? Stopwatch.GetTimestamp());
        _next = (_next + 1) % _publishers.Length;
        _published++;
    }

    private void Await(EventLoop loop, long arrived)
    {
        // A timer, so that the end is seen when it is there.
        Every(loop, Look, static () => { });
        var inTime = loop.RunUntil(() => Arrived >= arrived, Patience);
        loop.NextTimer = long.MaxValue;
        ThrowOnFault();
        _receiver.ThrowOnFault();
        if (_server.Ending is { } ending) throw new BenchmarkException($"{_server.Name} {ending}");
        if (!inTime) throw new BenchmarkException($"{arrived - Arrived} deliveries of {_server.Name} were missing after {Patience.TotalSeconds:0} s.");
    }

    private ChildProcess? Profile(TimeSpan time, string name) =>
        _server is IGridServer { Profile: { } file, Silos: var silos } ? Rig.Profile(silos, $"{file}.{name}", time) : null;

    private Figure Figure(string row, long work, long start, ServerUsage used, double own, double allocated)
    {
        var (seconds, now) = (Stopwatch.GetElapsedTime(start).TotalSeconds, _server.Usage());
        return new Figure
        {
            Row = row,
            Side = _server.Name,
            Value = work / seconds,
            Unit = "deliveries/s",
            Seconds = seconds,
            Work = work,
            Used = now.Since(used),
            GeneratorCpu = _receiver.Usage.CpuSeconds - own,
            Note = FormattableString.Invariant($"{(Allocated - allocated) / work:0} bytes allocated each"),
        };
    }
}

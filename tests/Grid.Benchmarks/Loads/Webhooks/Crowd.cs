using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What subscriptions cost that are left alone: each has a backlog, and an endpoint that asked to be left alone for an hour, which stands for
/// one whose circuit is open for as long. Once all was tried and nothing is under way, CPU time and memory are looked at for a minute.
/// </summary>
internal sealed class Crowd : Load
{
    private const int PerChannel = 1_000;
    private const int Backlog = 3;
    private const int Hosts = 2_000;

    /// <summary>The verb <c>webhooks-dead</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (count, time) = (options.Int("subscriptions", 100_000), options.Seconds("seconds", 60));
        options.RefuseOthers("env", "perf");
        using var loop = new EventLoop();
        using var receiver = HookReceiver.Start();
        using var server = GridServer.Start(
            options, ("Grid__Webhooks__AllowPrivateNetworks", "true"), ("Grid__Webhooks__MaxPerTenant", count.ToString(CultureInfo.InvariantCulture)));
        var empty = Settled(server);
        using var api = new HookApi(server);
        var watch = Stopwatch.StartNew();
        api.Create([.. Enumerable.Range(0, count).Select(
            i => new { url = receiver.Url(0, i % Hosts, HookPath.Later), channels = new[] { Channel(i / PerChannel) } })]);
        Console.WriteLine(FormattableString.Invariant($"{count} subscriptions made in {watch.Elapsed.TotalSeconds:0} s"));
        watch.Restart();
        Filler.Fill(loop, server, [.. Enumerable.Range(0, (count + PerChannel - 1) / PerChannel).Select(Channel)], Backlog, 128);
        Await(loop, () => Volatile.Read(ref receiver.Tally.Of(HookPath.Later)) >= count, "not all subscriptions were tried");
        Console.WriteLine(FormattableString.Invariant($"all tried in {watch.Elapsed.TotalSeconds:0} s"));
        Await(loop, () => server.Metric("grid_webhooks_active") is 0 or null, "subscriptions were still in memory");
        Console.WriteLine(FormattableString.Invariant($"all out of memory after {watch.Elapsed.TotalSeconds:0} s"));
        var full = Settled(server);
        var (used, start, tried) = (server.Usage(), Stopwatch.GetTimestamp(), receiver.Tally.Of(HookPath.Later));
        loop.RunFor(time);
        var (seconds, after) = (Stopwatch.GetElapsedTime(start).TotalSeconds, server.Usage());
        if (server.Ending is { } ending) throw new BenchmarkException(ending);
        summary.Add(new Figure
        {
            Row = $"{count} dead webhooks with a backlog",
            Side = server.Name,
            Value = after.Since(used).CpuSeconds / seconds * 100,
            Unit = "% of a core",
            MoreIsBetter = false,
            Seconds = seconds,
            Used = after.Since(used),
            Note = FormattableString.Invariant(
                $"{server.Metric("grid_webhooks_active") ?? 0:0} in memory, {receiver.Tally.Of(HookPath.Later) - tried} attempts; heap {full.Heap / 1048576.0:0} MiB, {empty.Heap / 1048576.0:0} without any; RSS {full.Rss / 1048576.0:0} MiB, {empty.Rss / 1048576.0:0} without any"),
        });
    }

    private static string Channel(int index) => FormattableString.Invariant($"dead:{index}");

    private static (long Heap, long Rss) Settled(GridServer server)
    {
        var heap = ManagedHeap.Collect(server.ProcessId!.Value);
        return (heap, server.Usage().Rss);
    }

    private static void Await(EventLoop loop, Func<bool> done, string otherwise)
    {
        var next = 0L;
        var ended = loop.RunUntil(
            () =>
            {
                if (Stopwatch.GetTimestamp() < next) return false;
                next = Stopwatch.GetTimestamp() + (Stopwatch.Frequency / 2);
                return done();
            },
            TimeSpan.FromMinutes(3));
        if (!ended) throw new BenchmarkException($"After three minutes {otherwise}.");
    }
}

using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// Deliveries of webhooks per second, of Grid and of a bare <see cref="HttpClient"/> loop with as many requests under way, to the same
/// receiver, in turns; and the time from publish to arrival at a moderate rate.
/// </summary>
internal static class Deliveries
{
    /// <summary>Requests of one subscription under way at once, where many are: what its window begins with.</summary>
    private const int Window = 16;

    private static readonly TimeSpan Priming = TimeSpan.FromSeconds(10);
    private const int PrimingBacklogs = 3;
    private static readonly TimeSpan BarePriming = TimeSpan.FromSeconds(5);

    /// <summary>The verb <c>webhooks</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var concurrency = options.Ints("concurrency", 1, 16, 64, 256);
        var (messages, size, pairs, rate) = (options.Int("messages", 20_000), options.Int("size", 128), options.Int("pairs", 3), options.Int("rate", 500));
        var (time, warmUp) = (options.Seconds("seconds", 3), options.Seconds("warmup", 1));
        var (unsigned, mode) = (options.Has("unsigned"), options.Text("mode") ?? "parallel");
        options.RefuseOthers("perf", "env", "hosts");
        foreach (var count in concurrency)
        {
            using var loop = new EventLoop();
            using var receiver = HookReceiver.Start();
            var subscriptions = mode == "ordered" ? count : Math.Max(1, count / Window);
            using var bare = BareSender.Start(receiver, count, subscriptions, size, !unsigned);
            var sides = new List<HookSide>();
            try
            {
                foreach (var build in GridBuild.Of(options))
                    sides.Add(HookSide.Start(options, build, receiver, sides.Count, Settings(count), subscriptions, mode, size));
                var (few, what) = (Math.Max(1_000, count == 1 ? messages / 5 : messages), mode == "ordered" ? ", ordered" : "");
                receiver.Tally.Workers = count;
                loop.RunFor(BarePriming);
                receiver.Tally.Workers = 0;
                foreach (var side in sides)
                {
                    side.Live(loop, 4 * count, TimeSpan.Zero, Priming, "");
                    for (var i = 0; i < PrimingBacklogs; i++) side.Backlog(loop, few, "");
                }

                for (var pair = 0; pair < pairs; pair++)
                {
                    var alone = Bare(loop, bare, receiver, count, warmUp, time);
                    var backlog = Add(alone, $"webhooks, backlog, {count} at once{what}");
                    foreach (var side in sides) summary.Add(side.Backlog(loop, few, backlog));
                    var live = Add(alone, $"webhooks, live, {count} at once{what}");
                    foreach (var side in sides) summary.Add(side.Live(loop, 4 * count, warmUp, time, live));
                }

                foreach (var side in sides)
                {
                    for (var pair = 0; pair < pairs; pair++) summary.Add(side.AtRate(loop, rate, warmUp, time, $"webhooks, publish to arrival at {rate}/s, {count} at once{what}"));
                }
            }
            finally
            {
                foreach (var side in sides) side.Dispose();
            }
        }

        string Add(Figure alone, string row)
        {
            summary.Add(alone with { Row = row });
            return row;
        }
    }

    /// <summary>Settings with which so many requests are under way at once, as far as there is something to send.</summary>
    private static (string, string)[] Settings(int count)
    {
        var text = count.ToString(CultureInfo.InvariantCulture);
        return
        [
            ("Grid__Webhooks__AllowPrivateNetworks", "true"), ("Grid__Webhooks__FastSlots", text), ("Grid__Webhooks__TenantSlots", text),
            ("Grid__Webhooks__EndpointSlots", Math.Min(count, 64).ToString(CultureInfo.InvariantCulture)),
        ];
    }

    private static Figure Bare(EventLoop loop, BareSender bare, HookReceiver receiver, int count, TimeSpan warmUp, TimeSpan time)
    {
        var tally = receiver.Tally;
        Volatile.Write(ref tally.Workers, count);
        loop.RunFor(warmUp);
        var (before, used, own, allocated, start) = (tally.Of(HookPath.Healthy), bare.Usage(), receiver.Usage.CpuSeconds, tally.Allocated, Stopwatch.GetTimestamp());
        loop.RunFor(time);
        var (work, seconds) = (Volatile.Read(ref tally.Of(HookPath.Healthy)) - before, Stopwatch.GetElapsedTime(start).TotalSeconds);
        var figure = new Figure
        {
            Row = "",
            Side = "httpclient",
            Value = work / seconds,
            Unit = "deliveries/s",
            Seconds = seconds,
            Work = work,
            Used = bare.Usage().Since(used),
            GeneratorCpu = receiver.Usage.CpuSeconds - own,
            Note = FormattableString.Invariant($"{(tally.Allocated - allocated) / (double)work:0} bytes allocated each"),
        };
        Volatile.Write(ref tally.Workers, 0);
        loop.RunFor(TimeSpan.FromMilliseconds(200));
        bare.ThrowOnFault();
        receiver.ThrowOnFault();
        return figure;
    }
}

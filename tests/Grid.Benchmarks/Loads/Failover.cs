using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Publishers on the silos that stay, to channels whose grains live on all; subscribers on every silo. Then one silo is killed, or
/// stopped and let go on. How long until the others know; until every channel answers; how long publishers waited meanwhile; and whether
/// every subscriber that is left got every message once and in order. With <c>--calm</c>, before that: whether silos that lived were
/// taken for dead.
/// </summary>
internal static class Failover
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan FirstWarmUp = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>The verb <c>failover</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (silos, channels, rate) = (options.Int("silos", 3), options.Int("channels", 300), options.Int("rate", 1500));
        var (pairs, burn) = (options.Int("pairs", 3), options.Int("burn", 0));
        var calm = options.Has("calm") ? options.Seconds("calm", 60) : TimeSpan.Zero;
        var (stop, noKill) = (options.Has("stop") ? options.Seconds("stop", 8) : (TimeSpan?)null, options.Has("no-kill"));
        var probes = (options.Text("probe") ?? "00:00:01").Split(',');
        options.RefuseOthers(["perf", "env"]);
        foreach (var probe in probes)
        {
            using var cluster = GridCluster.Start(options, silos, ("Grid__ProbeTimeout", probe));
            using var loop = new EventLoop();
            for (var run = 0; run < pairs; run++)
            {
                var load = new FailoverLoad(cluster, channels, rate, $"fail{run.ToString(CultureInfo.InvariantCulture)}");
                try
                {
                    Rig.Open(loop, cluster, load, load.Connections, address: c => load.HomeOf(c).Address);
                    load.Start(loop);
                    loop.RunFor(run == 0 ? FirstWarmUp : WarmUp);
                    load.ThrowOnFault();
                    if (calm > TimeSpan.Zero) summary.Add(Calm(loop, cluster, load, probe, burn, calm));
                    if (!noKill) summary.Add(Kill(loop, cluster, load, probe, stop));
                    load.Stop();
                    load.AwaitWhole(loop, Patience);
                }
                catch (BenchmarkException e)
                {
                    // On a machine that is too busy a silo may be lost that was not meant to be: that is a result too, and no figure.
                    Console.WriteLine($"probe {probe}, run {run + 1}: {e.Message}");
                    Console.WriteLine(cluster.Faults);
                }

                loop.NextTimer = long.MaxValue;
                foreach (var connection in load.Connections) loop.Close(connection);
                if (run + 1 < pairs) Restart(cluster);
            }
        }
    }

    /// <summary>Nobody is killed, and busy threads take the processors away: silos that are declared dead now are false positives.</summary>
    private static Figure Calm(EventLoop loop, GridCluster cluster, FailoverLoad load, string probe, int burn, TimeSpan time)
    {
        using var burner = burn > 0 ? Burner.Start(burn) : null;
        var deadBefore = cluster.CountDeadAsync().GetAwaiter().GetResult();
        load.ResetLatency();
        var (used, own, start) = (cluster.Usage(), ProcessUsage.Own.CpuSeconds, Stopwatch.GetTimestamp());
        loop.RunFor(time);
        var dead = cluster.CountDeadAsync().GetAwaiter().GetResult() - deadBefore;
        var ended = cluster.Processes.Count(p => p.ExitCode is not null && !p.Killed);
        return new Figure
        {
            Row = $"false positives, probe {probe}, {burn} burners, {time.TotalSeconds:0} s",
            Side = cluster.Name,
            Value = dead,
            Unit = "silos",
            MoreIsBetter = false,
            Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds,
            Latency = load.Latency,
            Used = cluster.Usage().Since(used),
            GeneratorCpu = ProcessUsage.Own.CpuSeconds - own,
            Note = $"{ended} silos ended",
        };
    }

    private static Figure Kill(EventLoop loop, GridCluster cluster, FailoverLoad load, string probe, TimeSpan? stop)
    {
        var victim = cluster.Processes[^1];
        var survivors = cluster.Processes.Where(p => p != victim && p.ExitCode is null).ToArray();
        var activations = Activations(survivors);
        using var deaths = cluster.WatchDeaths();
        load.Lose(victim);
        var killed = Stopwatch.GetTimestamp();
        if (stop is null) victim.Kill();
        else victim.Pause(true);
        var (used, own) = (cluster.Usage(), ProcessUsage.Own.CpuSeconds);
        load.Mark(killed);
        loop.RunFor(stop is { } pause && pause < Window ? pause : Window);
        var woken = Stopwatch.GetTimestamp();
        if (stop is not null)
        {
            victim.Pause(false);
            loop.RunUntil(() => victim.ExitCode is not null, Patience);
        }

        var note = stop is null ? "" : FormattableString.Invariant(
            $"; woke after {Stopwatch.GetElapsedTime(killed, woken).TotalSeconds:0.0} s, ended {Stopwatch.GetElapsedTime(woken).TotalSeconds:0.00} s later with {victim.ExitCode}");
        if (!loop.RunUntil(() => load.AllAnswered is not null, Patience)) note += $"; {load.Silent} channels did not answer in {Patience.TotalSeconds:0} s";
        var after = Activations(survivors);
        return new Figure
        {
            Row = $"failover, probe {probe}, {(stop is null ? "killed" : "stopped")}: all channels answer",
            Side = cluster.Name,
            Value = load.AllAnswered is { } answered ? Stopwatch.GetElapsedTime(killed, answered).TotalSeconds : double.NaN,
            Unit = "s",
            MoreIsBetter = false,
            Seconds = Stopwatch.GetElapsedTime(killed).TotalSeconds,
            Latency = load.Latency,
            Used = cluster.Usage().Since(used),
            GeneratorCpu = ProcessUsage.Own.CpuSeconds - own,
            Note = (deaths.At == 0 ? "not declared dead" : FormattableString.Invariant($"declared dead after {Stopwatch.GetElapsedTime(killed, deaths.At).TotalSeconds:0.00} s"))
                + FormattableString.Invariant($"; last answer that took over 0.25 s came at {load.LastSlow(killed):0.00} s; delivered p99 {load.Delivery.Percentile(99):0} max {load.Delivery.Max:0} ms; {load.Refused} refused")
                + (activations is null || after is null ? "" : FormattableString.Invariant($"; {after - activations:0} activations made")) + note,
        };
    }

    private static double? Activations(GridProcess[] silos)
    {
        var counts = silos.Select(s => s.Metric("orleans_catalog_activation_created_total") ?? s.Metric("orleans_catalog_activation_created")).ToArray();
        return Array.Exists(counts, c => c is null) ? null : counts.Sum();
    }

    private static void Restart(GridCluster cluster)
    {
        foreach (var silo in cluster.Processes.Where(p => p.Killed || p.ExitCode is not null))
        {
            silo.Launch();
            silo.WaitUntilReady();
        }
    }
}

using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Resident memory of the server per idle session with one subscription, over what it has after a warm-up without sessions.
/// </summary>
internal sealed class Idle : Load
{
    private const int WarmUpSessions = 500;
    private static readonly TimeSpan MaxSettle = TimeSpan.FromSeconds(45);

    /// <summary>What Grid's sessions need to become idle: their grains' activations go a minute after they were called last.</summary>
    private static readonly TimeSpan GridGrowsIdle = TimeSpan.FromSeconds(80);

    /// <summary>The verb <c>idle</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var sessions = options.Int("sessions", 15_000);
        var perChannel = options.Int("per-channel", 10);
        var servers = Rig.Servers(options, Peers.Known);
        using var loop = new EventLoop();
        try
        {
            foreach (var server in servers)
            {
                // Code that was compiled and pools that were filled by some sessions belong to the base.
                Open(loop, server, Math.Min(WarmUpSessions, sessions), perChannel, "warm", out var warm);
                foreach (var connection in warm) loop.Close(connection);
                var before = Settle(loop, server);
                var cpu = server.Usage().CpuSeconds;
                var start = Stopwatch.GetTimestamp();
                var here = Math.Min(sessions, Holder.MaxSessions);
                using var holders = Holder.Start(server, here, sessions - here, perChannel, "idle");
                var load = Open(loop, server, here, perChannel, "idle", out var connections);
                loop.RunUntil(() => holders.Settled, Holder.Patience);
                holders.ThrowUnlessOpen();
                var opening = Stopwatch.GetElapsedTime(start).TotalSeconds;
                var opened = server.Usage();
                var after = Settle(loop, server);
                load.ThrowOnFault();
                holders.ThrowUnlessOpen();
                summary.Add(new Figure
                {
                    Row = $"memory per idle session, {sessions} sessions",
                    Side = server.Name,
                    Value = (after.Rss - before.Rss) / 1024.0 / sessions,
                    Unit = "KiB",
                    MoreIsBetter = false,
                    Used = server.Usage(),
                    Note = FormattableString.Invariant(
                        $"base {before.Rss / 1048576.0:0.0} MiB; managed heap {(after.Heap - before.Heap) / 1024.0 / sessions:0.0} KiB each over {before.Heap / 1048576.0:0.0} MiB; {sessions / opening:0} sessions/s opened, {(opened.CpuSeconds - cpu) * 1e6 / sessions:0} µs of CPU each, {opened.Rss / 1048576.0:0} MiB before the collection"),
                });
                foreach (var connection in connections) loop.Close(connection);
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    private static Idle Open(EventLoop loop, IServer server, int sessions, int perChannel, string name, out LoadConnection[] connections)
    {
        var load = new Idle();
        connections = [.. Enumerable.Range(0, sessions).Select(
            i => server.Connection(load, i, $"{name}:{i / perChannel}", true, 128, false))];
        Rig.Open(loop, server, load, connections);
        return load;
    }

    /// <summary>Collects garbage and waits until resident memory stays within half a percent for five seconds.</summary>
    private static (long Rss, long Heap) Settle(EventLoop loop, IServer server)
    {
        loop.RunFor(server is IGridServer ? GridGrowsIdle : TimeSpan.FromSeconds(2));
        var heap = server is IDotNetServer managed ? managed.DotNetProcesses.Sum(ManagedHeap.Collect) : 0;
        var (start, steadySince) = (Stopwatch.GetTimestamp(), Stopwatch.GetTimestamp());
        var steady = server.Usage().Rss;
        while (Stopwatch.GetElapsedTime(steadySince) < TimeSpan.FromSeconds(5) && Stopwatch.GetElapsedTime(start) < MaxSettle)
        {
            loop.RunFor(TimeSpan.FromMilliseconds(250));
            var now = server.Usage().Rss;
            if (Math.Abs(now - steady) <= steady / 200) continue;
            (steady, steadySince) = (now, Stopwatch.GetTimestamp());
        }

        return (server.Usage().Rss, heap);
    }
}

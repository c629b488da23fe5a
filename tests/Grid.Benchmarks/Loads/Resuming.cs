using System.Diagnostics;
using System.Net;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// A server is killed with all sessions connected, and they resume with their cursors. Embedded: it is started again on the same store,
/// and the time counts from the first moment at which the port accepts a connection. In a cluster: its sessions go to the other silos,
/// and the time counts from the kill. Afterwards a message on every channel has to reach every session.
/// </summary>
internal sealed class Resuming : Load
{
    private const int Size = 128;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Queue<(GridConnection Connection, long At)> _again = new();
    private bool _killed;
    private bool _resuming;
    private int _retries;
    private string? _firstRetry;
    private EventLoop? _loop;

    private int Resumed { get; set; }

    private int NotResumed { get; set; }

    private long Messages { get; set; }

    private long[] StartedAt { get; set; } = [];

    /// <summary>The verb <c>resume</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (sessions, perChannel) = (options.Int("sessions", 10_000), options.Int("per-channel", 10));
        var (pairs, silos, allOnOne) = (options.Int("pairs", 1), options.Int("silos", 1), options.Has("all-on-one"));

        // Behind a cluster's balancer nobody makes clients wait for each other.
        var atOnce = options.Int("at-once", silos > 1 ? sessions : 500);
        options.RefuseOthers(["perf", "env"]);
        for (var run = 0; run < pairs; run++)
        {
            using var server = silos > 1 ? (IGridServer)GridCluster.Start(options, silos) : GridServer.Start(options);
            using var loop = new EventLoop();
            try
            {
                summary.Add(new Resuming().Measure(loop, server, sessions, perChannel, atOnce, allOnOne));
            }
            catch (BenchmarkException e) when (server is GridCluster cluster)
            {
                // On a machine that is too busy, a silo may be lost that was not meant to be.
                loop.RunFor(TimeSpan.FromSeconds(2));
                throw new BenchmarkException($"{e.Message}\n{cluster.Faults}");
            }
        }
    }

    public override void OnOpen(LoadConnection connection)
    {
        base.OnOpen(connection);
        if (connection is not GridConnection { Resumes: true } grid) return;
        if (grid.State == "resumed") Resumed++;
        else NotResumed++;
        Latency.Record(StartedAt[connection.Index], Stopwatch.GetTimestamp());
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message) => Messages++;

    public override void OnFault(LoadConnection connection, string reason)
    {
        // All sockets of a server break when it is killed.
        if (_killed) return;
        if (!_resuming || connection is not GridConnection { Resumes: true } grid)
        {
            base.OnFault(connection, reason);
            return;
        }

        // A client whose hello was refused tries again.
        _retries++;
        _firstRetry ??= reason;
        _loop!.Close(connection);
        _again.Enqueue((grid, Stopwatch.GetTimestamp() + (long)(Pause.TotalSeconds * Stopwatch.Frequency)));
    }

    private Figure Measure(EventLoop loop, IGridServer server, int sessions, int perChannel, int atOnce, bool allOnOne)
    {
        _loop = loop;
        var cluster = server as GridCluster;
        var victim = cluster?.Processes[^1];
        IPEndPoint Home(LoadConnection connection) => allOnOne && victim is not null ? victim.Address : server.AddressOf(connection.Index);
        var connections = Enumerable.Range(0, sessions)
            .Select(i => (GridConnection)server.Connection(this, i, $"resume:{i / perChannel}", true, Size, false)).ToArray();
        Rig.Open(loop, server, this, connections, address: Home);
        PublishEverywhere(loop, server, connections, perChannel);

        var lost = victim is null ? connections : [.. connections.Where(c => Home(c).Equals(victim.Address))];
        _killed = true;
        var counts = Counts.Of(cluster);
        var killed = Stopwatch.GetTimestamp();
        if (victim is not null) victim.Kill();
        else ((GridServer)server).Kill();
        foreach (var connection in lost)
        {
            loop.Close(connection);
            connection.Resumes = true;
        }

        if (server is GridServer alone) StartAgain(alone, killed);

        // Sessions queue for their turn as they would behind a client's backoff; no more are half-open at once than the server allows.
        _killed = false;
        _resuming = true;
        var first = victim is null ? Stopwatch.GetTimestamp() : killed;
        var (used, own) = (server.Usage(), ProcessUsage.Own.CpuSeconds);
        using var profile = server.Profile is { } file ? Rig.Profile(server.Silos, file, TimeSpan.FromSeconds(10)) : null;
        var homes = cluster?.Processes.Where(p => !p.Killed).Select(p => p.Address).ToArray() ?? [server.AddressOf(0)];
        StartedAt = new long[sessions];
        var next = 0;
        var done = loop.RunUntil(
            () =>
            {
                ThrowOnFault();
                if (server.Ending is { } ending) throw new BenchmarkException(ending);
                while (_again.TryPeek(out var late) && late.At <= Stopwatch.GetTimestamp())
                {
                    _again.Dequeue();
                    Connect(loop, late.Connection, homes[late.Connection.Index % homes.Length]);
                }

                // Some in each turn, so that answers are read while others still connect.
                for (var turn = 0; turn < 64 && next < lost.Length && next - Resumed - NotResumed < atOnce; turn++, next++)
                {
                    StartedAt[lost[next].Index] = Stopwatch.GetTimestamp();
                    Connect(loop, lost[next], homes[next % homes.Length]);
                }

                return Resumed + NotResumed == lost.Length;
            },
            Patience);
        var took = Stopwatch.GetElapsedTime(first).TotalSeconds;
        var usage = server.Usage().Since(used);
        if (!done) throw new BenchmarkException($"Only {Resumed} of {lost.Length} sessions resumed in {took:0} s; {_retries} retries, the first: {_firstRetry}");
        if (NotResumed > 0) throw new BenchmarkException($"{NotResumed} of {lost.Length} sessions did not resume.");
        own = ProcessUsage.Own.CpuSeconds - own;
        if (_retries > 0) Console.WriteLine(cluster?.Faults);
        var stores = counts.Since(cluster);
        _resuming = false;
        PublishEverywhere(loop, server, connections, perChannel);
        return new Figure
        {
            Row = victim is null ? $"resume of {sessions} sessions after kill -9"
                : $"resume of {lost.Length} of {sessions} sessions on {homes.Length} silos after kill -9",
            Side = server.Name,
            Value = took,
            Unit = "s",
            MoreIsBetter = false,
            Seconds = took,
            Work = lost.Length,
            Latency = Latency,
            Used = usage,
            GeneratorCpu = own,
            Note = (victim is null ? FormattableString.Invariant($"port open again {Stopwatch.GetElapsedTime(killed, first).TotalSeconds:0.0} s after the kill") : stores)
                + (_retries > 0 ? $"; {_retries} tries again, the first after: {_firstRetry}" : ""),
        };
    }

    private void Connect(EventLoop loop, GridConnection connection, IPEndPoint home)
    {
        try
        {
            loop.Open(connection, home);
        }
        catch (IOException e)
        {
            OnFault(connection, e.Message);
        }
    }

    private static void StartAgain(GridServer server, long killed)
    {
        server.Launch();
        while (!ChildProcess.Listens(server.Address))
        {
            if (Stopwatch.GetElapsedTime(killed) > Patience) throw new BenchmarkException("The server did not listen again.");
            Thread.Sleep(5);
        }
    }

    /// <summary>One message on every channel, which every session has to get, at the offset that follows its cursor.</summary>
    private void PublishEverywhere(EventLoop loop, IGridServer server, GridConnection[] connections, int perChannel)
    {
        Messages = 0;
        for (var i = 0; i < connections.Length; i += perChannel) connections[i].Publish(Stopwatch.GetTimestamp());
        Rig.Drain(loop, this, server, () => Messages == connections.Length);
        ThrowOnFault();
    }
}

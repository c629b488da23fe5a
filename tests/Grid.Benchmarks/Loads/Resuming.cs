using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// The server is killed with all sessions connected and started again on the same store; all resume with their cursors. The time counts
/// from the first moment at which the port accepts a connection. Afterwards a message on every channel has to reach every session.
/// </summary>
internal sealed class Resuming : Load
{
    private const int Size = 128;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private bool _killed;

    private int Resumed { get; set; }

    private int NotResumed { get; set; }

    private long Messages { get; set; }

    /// <summary>The verb <c>resume</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var sessions = options.Int("sessions", 10_000);
        var perChannel = options.Int("per-channel", 10);
        var atOnce = options.Int("at-once", 500);
        var pairs = options.Int("pairs", 1);
        options.RefuseOthers(["perf", "env"]);
        for (var run = 0; run < pairs; run++)
        {
            using var server = GridServer.Start(options);
            using var loop = new EventLoop();
            summary.Add(new Resuming().Measure(loop, server, sessions, perChannel, atOnce));
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
        // All sockets break when the server is killed.
        if (!_killed) base.OnFault(connection, reason);
    }

    private long[] StartedAt { get; set; } = [];

    private Figure Measure(EventLoop loop, GridServer server, int sessions, int perChannel, int atOnce)
    {
        var connections = Enumerable.Range(0, sessions)
            .Select(i => (GridConnection)server.Connection(this, i, $"resume:{i / perChannel}", true, Size, false)).ToArray();
        Rig.Open(loop, server, this, connections);
        PublishEverywhere(loop, server, connections, perChannel);

        _killed = true;
        var killed = Stopwatch.GetTimestamp();
        server.Kill();
        foreach (var connection in connections)
        {
            loop.Close(connection);
            connection.Resumes = true;
        }

        server.Launch();
        while (!ChildProcess.Listens(server.Address))
        {
            if (Stopwatch.GetElapsedTime(killed) > Patience) throw new BenchmarkException("The server did not listen again.");
            Thread.Sleep(5);
        }

        // Sessions queue for their turn as they would behind a client's backoff; no more are half-open at once than the server allows.
        _killed = false;
        var first = Stopwatch.GetTimestamp();
        var down = Stopwatch.GetElapsedTime(killed, first);
        var cpu = ProcessUsage.Of(server.ProcessId).CpuSeconds;
        var own = ProcessUsage.Own.CpuSeconds;
        StartedAt = new long[sessions];
        var next = 0;
        var done = loop.RunUntil(
            () =>
            {
                ThrowOnFault();
                for (; next < sessions && next - Resumed - NotResumed < atOnce; next++)
                {
                    StartedAt[next] = Stopwatch.GetTimestamp();
                    loop.Open(connections[next], server.Address);
                }

                return Resumed + NotResumed == sessions;
            },
            Patience);
        var took = Stopwatch.GetElapsedTime(first).TotalSeconds;
        var usage = ProcessUsage.Of(server.ProcessId);
        if (!done) throw new BenchmarkException($"Only {Resumed} of {sessions} sessions resumed in {took:0} s.");
        if (NotResumed > 0) throw new BenchmarkException($"{NotResumed} of {sessions} sessions did not resume.");
        own = ProcessUsage.Own.CpuSeconds - own;
        PublishEverywhere(loop, server, connections, perChannel);
        return new Figure
        {
            Row = $"resume of {sessions} sessions after kill -9",
            Side = server.Name,
            Value = took,
            Unit = "s",
            MoreIsBetter = false,
            Seconds = took,
            Work = sessions,
            Latency = Latency,
            ServerCpu = usage.CpuSeconds - cpu,
            GeneratorCpu = own,
            ServerRss = usage.Rss,
            Note = FormattableString.Invariant($"port open again {down.TotalSeconds:0.0} s after the kill"),
        };
    }

    /// <summary>One message on every channel, which every session has to get, at the offset that follows its cursor.</summary>
    private void PublishEverywhere(EventLoop loop, GridServer server, GridConnection[] connections, int perChannel)
    {
        Messages = 0;
        for (var i = 0; i < connections.Length; i += perChannel) connections[i].Publish(Stopwatch.GetTimestamp());
        Rig.Drain(loop, this, server, () => Messages == connections.Length);
        ThrowOnFault();
    }
}

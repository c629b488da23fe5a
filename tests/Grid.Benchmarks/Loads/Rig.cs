using System.Diagnostics;
using System.Net;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>What the loads have in common: opening connections, measuring, and the sides that take turns.</summary>
internal static class Rig
{
    private static readonly TimeSpan Priming = TimeSpan.FromSeconds(15);
    private static readonly HashSet<IServer> Primed = [];
    private const int OpeningAtOnce = 200;

    /// <summary>How many connections the generator may have open, below the limit of files of a process.</summary>
    public const int MaxOpen = 18_000;

    private static readonly TimeSpan OpenPatience = TimeSpan.FromSeconds(120);

    /// <summary>
    /// Starts Grid, as one embedded process or as a cluster of each size asked for, of each build that is compared, and the peers; every
    /// side is measured in the same run.
    /// </summary>
    /// <param name="options">What was asked for.</param>
    /// <param name="known">The peers that the load has a use for.</param>
    /// <param name="settings">Settings for Grid.</param>
    public static List<IServer> Servers(Options options, IReadOnlyList<string> known, params (string Name, string Value)[] settings)
    {
        var peers = Peers.Parse(options.Text("peer"), known);
        options.RefuseOthers(["url", "key", "perf", "env", "embedded", "silos", "hosts"]);
        var silos = options.Ints("silos");
        var servers = new List<IServer>();
        try
        {
            foreach (var build in GridBuild.Of(options))
            {
                foreach (var count in silos) servers.Add(GridCluster.Start(options, count, build, settings));
                if (silos.Length == 0 || options.Has("embedded")) servers.Add(GridServer.Start(options, build, settings));
            }

            foreach (var peer in peers) servers.Add(Peers.Start(peer));
            return servers;
        }
        catch
        {
            DisposeAll(servers);
            throw;
        }
    }

    public static void DisposeAll(IEnumerable<IServer> servers)
    {
        foreach (var server in servers) server.Dispose();
    }

    /// <summary>Opens connections, some at once, until all are greeted and those that subscribe have been told so.</summary>
    public static void Open(
        EventLoop loop,
        IServer server,
        Load load,
        IReadOnlyList<LoadConnection> connections,
        int receiveBuffer = 0,
        Func<LoadConnection, IPEndPoint>? address = null)
    {
        var (opened, subscribed) = (load.Opened, load.Subscribed);
        var subscribing = connections.Count(c => c.Subscribes);
        var next = 0;
        var done = loop.RunUntil(
            () =>
            {
                if (server.Ending is { } ending) throw new BenchmarkException($"{server.Name} {ending}");
                load.ThrowOnFault();
                while (next < connections.Count && next - (load.Opened - opened) < OpeningAtOnce)
                {
                    var connection = connections[next++];
                    loop.Open(connection, address?.Invoke(connection) ?? server.AddressOf(connection.Index), receiveBuffer);
                }

                return load.Opened - opened == connections.Count && load.Subscribed - subscribed == subscribing;
            },
            OpenPatience);
        if (!done)
        {
            throw new BenchmarkException(
                $"Only {load.Opened - opened} of {connections.Count} connections to {server.Name} opened, {load.Subscribed - subscribed} subscribed.");
        }

        // nchan tells of no subscription; the others' confirmations make this time superfluous for them.
        if (server is NchanServer) loop.RunFor(TimeSpan.FromMilliseconds(250));
    }

    /// <summary>Lets a load that is running warm up, then measures it.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="server">The server, for its CPU time.</param>
    /// <param name="load">The load.</param>
    /// <param name="warmUp">How long nothing is counted.</param>
    /// <param name="time">How long to measure.</param>
    /// <param name="counter">What is counted.</param>
    /// <param name="row">The row's name.</param>
    /// <param name="unit">The unit of what is counted.</param>
    public static Figure Measure(
        EventLoop loop, IServer server, Load load, TimeSpan warmUp, TimeSpan time, Func<long> counter, string row, string unit)
    {
        // The first seconds of a .NET server are spent compiling, first quickly and then well: they are nobody's figure.
        if (server is IDotNetServer && Primed.Add(server)) loop.RunFor(Priming);
        loop.RunFor(warmUp);
        load.ResetLatency();
        using var profile = server is IGridServer { Profile: { } file } grid ? Profile(grid.Silos, file, time) : null;
        var reads = load.Reads;
        var (before, usage, own, start) = (counter(), server.Usage(), ProcessUsage.Own, Stopwatch.GetTimestamp());
        loop.RunFor(time);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var (after, used, ownAfter) = (counter(), server.Usage().Since(usage), ProcessUsage.Own);
        var latency = load.Latency;
        load.ResetLatency();
        if (server.Ending is { } ending) throw new BenchmarkException($"{server.Name} {ending}");
        load.ThrowOnFault();
        return new Figure
        {
            Row = row,
            Side = server.Name,
            Value = (after - before) / seconds,
            Unit = unit,
            Seconds = seconds,
            Work = after - before,
            PerRead = (after - before) / (double)Math.Max(1, load.Reads - reads),
            Latency = latency,
            Used = used,
            GeneratorCpu = ownAfter.CpuSeconds - own.CpuSeconds,
        };
    }

    /// <summary>Samples the server's stacks while it is measured; the file is for <c>perf report</c>.</summary>
    public static ChildProcess Profile(IReadOnlyList<int> processes, string file, TimeSpan time)
    {
        string[] arguments =
        [
            "record", "-q", "-F", "499", "-g", "-p", string.Join(',', processes), "-o", Path.GetFullPath(file),
            "--", "sleep", FormattableString.Invariant($"{time.TotalSeconds:0.0}"),
        ];
        return ChildProcess.Start("/usr/bin/perf", arguments, new Dictionary<string, string>(), Path.GetTempPath(), waitAtEnd: true);
    }

    /// <summary>Waits for what is under way after the publishers stopped.</summary>
    public static void Drain(EventLoop loop, Load load, IServer server, Func<bool> idle)
    {
        var drained = loop.RunUntil(() => load.Faults > 0 || idle(), TimeSpan.FromSeconds(30));
        load.ThrowOnFault();
        if (!drained) throw new BenchmarkException($"{server.Name}: messages were still missing after 30 s.");
    }
}

using System.Globalization;
using System.Net;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Sessions that are only held open, in processes of their own: a process can open at most so many files, and one generator alone would
/// bound a cluster's sessions by that.
/// </summary>
internal sealed class Holder : IDisposable
{
    /// <summary>The verb of the process; not for people.</summary>
    public const string Verb = "hold";

    /// <summary>The most sessions of a process.</summary>
    public const int MaxSessions = 15_000;

    /// <summary>How long all may take to open.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    private const string TokenVariable = "GRID_BENCH_TOKEN";
    private const string Opened = "opened";

    private readonly List<ChildProcess> _processes = [];

    private Holder()
    {
    }

    /// <summary>Whether all sessions of all processes are open.</summary>
    public bool AllOpen => _processes.TrueForAll(p => p.Output.Contains(Opened, StringComparison.Ordinal));

    /// <summary>Whether nothing is left to wait for: all is open, or a process has ended.</summary>
    public bool Settled => AllOpen || _processes.Exists(p => p.HasExited);

    /// <summary>Starts processes that open sessions, as many as are needed.</summary>
    /// <param name="server">The server, which has to be Grid: peers are one process, which could not hold so many either.</param>
    /// <param name="first">The number of the first session.</param>
    /// <param name="sessions">How many sessions, all together; none starts nothing.</param>
    /// <param name="perChannel">Sessions on each channel.</param>
    /// <param name="name">The channels' namespace.</param>
    public static Holder Start(IServer server, int first, int sessions, int perChannel, string name)
    {
        var holder = new Holder();
        if (sessions <= 0) return holder;
        if (server is not IGridServer grid) throw new BenchmarkException($"{server.Name} is one process: at most {MaxSessions} sessions.");
        var addresses = string.Join(',', Enumerable.Range(0, Math.Max(1, grid.Silos.Count)).Select(grid.AddressOf));
        for (var at = 0; at < sessions; at += MaxSessions)
        {
            var count = Math.Min(MaxSessions, sessions - at);
            string[] arguments = [typeof(Holder).Assembly.Location, Verb, addresses, name, .. Texts(first + at, count, perChannel)];
            holder._processes.Add(ChildProcess.Start(
                "dotnet", arguments, new Dictionary<string, string> { [TokenVariable] = grid.Token }, Path.GetTempPath()));
        }

        return holder;
    }

    /// <summary>The process: opens its sessions, says so, and answers pings until it is killed.</summary>
    public static void Run(string[] arguments)
    {
        if (arguments is not [_, var list, var name, var first, var count, var perChannel]) throw new BenchmarkException("hold ADDRESSES NAME FIRST COUNT PER_CHANNEL");
        var addresses = list.Split(',').Select(IPEndPoint.Parse).ToArray();
        var token = Environment.GetEnvironmentVariable(TokenVariable) ?? "";
        using var loop = new EventLoop();
        var load = new Held();
        var (start, each) = (Number(first), Number(perChannel));
        var connections = Enumerable.Range(start, Number(count)).Select(i => new GridConnection(load, i, token)
        {
            Channel = $"{name}:{(i / each).ToString(CultureInfo.InvariantCulture)}", Subscribes = true,
        }).ToArray();
        var next = 0;
        var said = false;
        loop.RunUntil(
            () =>
            {
                load.ThrowOnFault();
                for (; next < connections.Length && next - load.Opened < 100; next++)
                    loop.Open(connections[next], addresses[connections[next].Index % addresses.Length]);
                if (!said && load.Subscribed == connections.Length)
                {
                    said = true;
                    Console.WriteLine(Opened);
                }

                return false;
            },
            TimeSpan.FromMinutes(15));
    }

    /// <summary>Ends the run when a process ended or is not done.</summary>
    public void ThrowUnlessOpen()
    {
        foreach (var process in _processes)
        {
            if (process.Ending is { } ending) throw new BenchmarkException("A process that holds sessions " + ending);
        }

        if (!AllOpen) throw new BenchmarkException($"Not all sessions opened in {Patience.TotalSeconds:0} s.");
    }

    public void Dispose()
    {
        foreach (var process in _processes) process.Dispose();
    }

    private static IEnumerable<string> Texts(params int[] numbers) => numbers.Select(n => n.ToString(CultureInfo.InvariantCulture));

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private sealed class Held : Load;
}

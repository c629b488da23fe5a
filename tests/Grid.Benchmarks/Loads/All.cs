using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;
using Grid.Testing;

namespace Grid.Benchmarks.Loads;

/// <summary>Every row of the table of docs/performance.md, with modest times; each step with servers of its own.</summary>
internal static class All
{
    /// <summary>The verb <c>all</c>: no step begins after the time allowed, and one that fails does not take the others with it.</summary>
    public static void Run(Options options, Summary summary)
    {
        var bound = TimeSpan.FromMinutes(options.Number("minutes", 25));
        options.RefuseOthers("env", "seconds");
        string[] steps =
        [
            "fanout --window 1,8,64" + Known(Peers.Nats, Peers.JetStream, Peers.SignalR, Peers.SignalRWithRedis, Peers.Nchan),
            // Not nchan: it loses messages when 500 rooms publish as fast as they can, and the closed loop then stands still.
            "rooms" + Known(Peers.Nats, Peers.SignalR, Peers.SignalRWithRedis),
            "publish --pipeline 1,16,256" + Known(Peers.JetStream),
            "publish --http --pipeline 1,16,256 --pairs 1",
            "idle --sessions 15000" + Known(Peers.Nats, Peers.SignalR, Peers.SignalRWithRedis, Peers.Nchan),
            "resume --sessions 10000",
            "history" + Known(Peers.JetStream),
            "slow",
            "fanout --silos 2,3 --window 64",
            "idle --sessions 60000 --silos 4",
        ];
        foreach (var peer in Peers.Known)
        {
            if (Peers.Missing(peer) is { } missing) summary.Miss($"without {peer}: {missing}", isFailure: false);
        }

        Steps(steps, options, summary, bound);
    }

    /// <summary>The verb <c>short</c>: the loads by which two builds are compared.</summary>
    public static void RunShort(Options options, Summary summary)
    {
        var pairs = options.Text("pairs") ?? "3";
        options.RefuseOthers("env", "hosts", "silos", "seconds");
        Steps(
            [$"fanout --window 1,64 --pairs {pairs}", $"rooms --only-closed --pairs {pairs}", $"publish --pipeline 1,16 --pairs {pairs}"],
            options,
            summary,
            TimeSpan.FromMinutes(30));
    }

    private static void Steps(string[] steps, Options options, Summary summary, TimeSpan bound)
    {
        var started = Stopwatch.GetTimestamp();
        foreach (var step in steps)
        {
            if (Stopwatch.GetElapsedTime(started) > bound)
            {
                summary.Miss($"left out for want of time: {step}", isFailure: true);
                continue;
            }

            Console.WriteLine($"-- {step}");
            try
            {
                Run(step.Split(' '), options, summary);
            }
            catch (Exception e) when (e is BenchmarkException or IOException or TestFailedException)
            {
                summary.Miss($"{step}: {e.Message}", isFailure: true);
            }
        }
    }

    private static void Run(string[] step, Options from, Summary summary)
    {
        var arguments = step.Skip(1).ToList();
        void Default(string name, string value)
        {
            if (!arguments.Contains(name)) arguments.AddRange([name, value]);
        }

        foreach (var name in (string[])["env", "hosts", "silos"])
        {
            if (from.Text(name) is { } given) Default("--" + name, given);
        }

        if (step[0] is "fanout" or "rooms" or "publish" or "history" or "slow")
        {
            Default("--seconds", from.Text("seconds") ?? "2.5");
            Default("--warmup", "1");
        }

        var options = new Options([.. arguments]);
        switch (step[0])
        {
            case "fanout":
                FanOut.Run(options, summary);
                break;
            case "rooms":
                Rooms.Run(options, summary);
                break;
            case "publish":
                Publishing.Run(options, summary);
                break;
            case "idle":
                Idle.Run(options, summary);
                break;
            case "resume":
                Resuming.Run(options, summary);
                break;
            case "history":
                HistoryReads.Run(options, summary);
                break;
            case "slow":
                SlowConsumers.Run(options, summary);
                break;
        }
    }

    /// <summary>Those of the peers that are installed, as an option.</summary>
    private static string Known(params string[] peers)
    {
        var installed = peers.Where(p => Peers.Missing(p) is null).ToArray();
        return installed.Length == 0 ? "" : " --peer " + string.Join(',', installed);
    }
}

using System.Globalization;
using System.Runtime.InteropServices;
using BenchmarkDotNet.Running;
using Grid.Benchmarks;
using Grid.Benchmarks.Loads;
using Grid.Benchmarks.Loads.Webhooks;
using Grid.Benchmarks.Micro;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;
using Grid.Testing;

// Synchronous to the end: the event loop and the servers' guard (see ChildProcess) belong to the main thread.
using var onTerm = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Quit);
using var onInt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Quit);
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
if (args is [] or ["--help" or "-h" or "help", ..] || args.Contains("--help"))
{
    Console.WriteLine(Help.Text);
    return args.Length == 0 ? 64 : 0;
}

if (args[0] == "micro")
{
    BenchmarkSwitcher.FromAssembly(typeof(MicroConfig).Assembly).Run(args.Length > 1 ? args[1..] : ["--filter", "*"], new MicroConfig());
    return 0;
}

if (args[0] == HookReceiver.Verb)
{
    HookReceiver.Run(args);
    return 0;
}

if (args[0] == BareSender.Verb)
{
    BareSender.Run(args);
    return 0;
}

if (args[0] == Burner.Verb)
{
    Burner.Run(args);
    return 0;
}

if (args[0] == Holder.Verb)
{
    try
    {
        Holder.Run(args);
        return 0;
    }
    catch (Exception e) when (e is BenchmarkException or IOException)
    {
        Console.Error.WriteLine(e.Message);
        return 1;
    }
}

try
{
    var summary = new Summary();
    var options = new Options(args.AsSpan(1));
    Action<Options, Summary>? verb = args[0] switch
    {
        "fanout" => FanOut.Run,
        "rooms" => Rooms.Run,
        "idle" => Idle.Run,
        "publish" => Publishing.Run,
        "resume" => Resuming.Run,
        "slow" => SlowConsumers.Run,
        "webhooks" => Deliveries.Run,
        "webhooks-fair" => Fairness.Run,
        "webhooks-dead" => Crowd.Run,
        "webhooks-due" => DueQueries.Run,
        "webhooks-publish" => PublishCost.Run,
        "failover" => Failover.Run,
        "lanes" => StoreLanes.Run,
        "day" => StoredDay.Run,
        "history" => HistoryReads.Run,
        "curve" => Curves.Run,
        "short" => All.RunShort,
        "all" => All.Run,
        _ => null,
    };
    if (verb is null)
    {
        Console.Error.WriteLine($"'{args[0]}' is no verb.\n\n{Help.Text}");
        return 64;
    }

    Console.WriteLine(Machine.Describe());
    if (options.Has("hosts") && args[0] is not ("fanout" or "rooms" or "publish" or "idle" or "history" or "webhooks" or "webhooks-fair" or "short"))
        throw new BenchmarkException($"--hosts: {args[0]} compares no builds.");
    if (GridBuild.Of(options) is [{ Name: { } first }, .., { Name: { } last }]) (summary.Against, summary.Subject) = (first, last);
    verb(options, summary);
    summary.PrintRatios();
    Console.WriteLine();
    Console.WriteLine(summary.Markdown());
    if (options.Text("json") is { } json) File.WriteAllText(json, summary.Json());
    if (options.Text("chart") is { } chart) File.WriteAllText(chart, summary.Chart());
    if (summary.Failed) return 1;
    return summary.IsDearerThan(options.Number("threshold", double.PositiveInfinity)) ? 3 : 0;
}
catch (Exception e) when (e is BenchmarkException or IOException or TestFailedException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
finally
{
    ChildProcess.KillAll();
}

static void Quit(PosixSignalContext context)
{
    ChildProcess.KillAll();
    Environment.Exit(130);
}

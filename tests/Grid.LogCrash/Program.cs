using System.Diagnostics.CodeAnalysis;
using Grid.LogCrash;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

// Verbs: hold DIR | append DIR CHANNELS SEED | fill DIR SIZES | full DIR | bench DIR CHANNELS SECONDS PAYLOAD BATCH KEYS(true|false)
try
{
    await using var store = RocksDbStore.Open(args[1], TimeProvider.System, NullLogger<RocksDbStore>.Instance);
    var log = new RocksDbMessageLog(store, new NamespacePolicies(Options.Create(new GridOptions())));
    return args[0] switch
    {
        "hold" => await HoldAsync(),
        "append" => await Victim.RunAsync(log, int.Parse(args[2]), int.Parse(args[3])),
        "fill" => await Filler.RunAsync(log, args[2]),
        "full" => await DiskFull.RunAsync(log),
        "bench" => await Throughput.RunAsync(
            log, int.Parse(args[2]), int.Parse(args[3]), int.Parse(args[4]), int.Parse(args[5]), bool.Parse(args[6])),
        _ => 2,
    };
}
catch (GridStartupException e)
{
    Console.WriteLine("refused " + e.Message);
    return 3;
}

static async Task<int> HoldAsync()
{
    Console.WriteLine("open");
    await Console.In.ReadLineAsync();
    return 0;
}

[SuppressMessage("Globalization", "CA1305", Justification = "A tool for tests; the invariant culture is set for the whole solution.")]
internal static partial class Program;

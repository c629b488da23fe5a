using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>Threads that do nothing but use the processors, in a process of their own at the same priority as everybody.</summary>
internal static class Burner
{
    /// <summary>The verb of the process; not for people.</summary>
    public const string Verb = "burn";

    /// <summary>Starts some.</summary>
    public static ChildProcess Start(int threads) => ChildProcess.Start(
        "dotnet",
        [typeof(Burner).Assembly.Location, Verb, threads.ToString(CultureInfo.InvariantCulture)],
        new Dictionary<string, string>(),
        Path.GetTempPath());

    /// <summary>The process: burns until it is killed.</summary>
    public static void Run(string[] arguments)
    {
        if (arguments is not [_, var text] || !int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var threads))
            throw new BenchmarkException("burn THREADS");
        for (var i = 1; i < threads; i++) new Thread(Burn) { IsBackground = true }.Start();
        Burn();
    }

    private static void Burn()
    {
        while (true) Thread.SpinWait(1000);
    }
}

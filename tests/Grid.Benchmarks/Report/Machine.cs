using System.Runtime.InteropServices;

namespace Grid.Benchmarks.Report;

/// <summary>What figures mean nothing without.</summary>
internal static class Machine
{
    /// <summary>How many threads wanted to run in the last minute, on average.</summary>
    public static double LoadAverage =>
        double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Processor, cores, kernel, runtime, and the build's configuration.</summary>
    public static string Describe()
    {
        const string Model = "model name";
        var processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Model, StringComparison.Ordinal));
#if DEBUG
        const string Build = "DEBUG BUILD: figures mean nothing";
#else
        const string Build = "release build";
#endif
        return $"{processor?.Split(':')[1].Trim() ?? "unknown processor"}, {Environment.ProcessorCount} cores, "
            + $"{RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}, {Build}, load before the start {LoadAverage}";
    }
}

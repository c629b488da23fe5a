using System.Runtime.InteropServices;

namespace Grid.Benchmarks.Report;

/// <summary>What figures mean nothing without.</summary>
internal static class Machine
{
    /// <summary>Processor, cores, kernel, runtime, and the build's configuration.</summary>
    public static string Describe()
    {
        const string Model = "model name";
        var processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Model, StringComparison.Ordinal));
        var load = File.ReadAllText("/proc/loadavg").Split(' ')[0];
#if DEBUG
        const string Build = "DEBUG BUILD: figures mean nothing";
#else
        const string Build = "release build";
#endif
        return $"{processor?.Split(':')[1].Trim() ?? "unknown processor"}, {Environment.ProcessorCount} cores, "
            + $"{RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}, {Build}, load before the start {load}";
    }
}

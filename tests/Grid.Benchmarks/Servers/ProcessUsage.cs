using System.Globalization;

namespace Grid.Benchmarks.Servers;

/// <summary>What the operating system says that a process used.</summary>
/// <param name="CpuSeconds">CPU time of all its threads, user and system.</param>
/// <param name="Rss">Resident memory, in bytes.</param>
internal readonly record struct ProcessUsage(double CpuSeconds, long Rss)
{
    private const double TicksPerSecond = 100;

    /// <summary>This process.</summary>
    public static ProcessUsage Own => Of(Environment.ProcessId);

    /// <summary>Reads a process's figures; zeros when it is not known (a server elsewhere) or gone.</summary>
    public static ProcessUsage Of(int? pid)
    {
        if (pid is not { } id) return default;
        try
        {
            // proc(5): fields 14 and 15 of stat are utime and stime. The name, field 2, may contain anything, so count from its end.
            var stat = File.ReadAllText($"/proc/{id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            var cpu = (Number(fields[11]) + Number(fields[12])) / TicksPerSecond;
            var pages = Number(File.ReadAllText($"/proc/{id}/statm").Split(' ')[1]);
            return new ProcessUsage(cpu, (long)pages * Environment.SystemPageSize);
        }
        catch (IOException)
        {
            return default;
        }
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}

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
            var pages = Number(File.ReadAllText($"/proc/{id}/statm").Split(' ')[1]);
            return new ProcessUsage(Cpu(id, ended: false), (long)pages * Environment.SystemPageSize);
        }
        catch (IOException)
        {
            return default;
        }
    }

    /// <summary>
    /// A process and its children, those that have ended too. Memory that they share counts once: each has its proportional part.
    /// </summary>
    public static ProcessUsage OfFamily(int? pid)
    {
        if (pid is not { } id) return default;
        try
        {
            var (cpu, bytes) = (Cpu(id, ended: true), Proportional(id));
            foreach (var child in File.ReadAllText($"/proc/{id}/task/{id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                try
                {
                    var one = int.Parse(child, CultureInfo.InvariantCulture);
                    cpu += Cpu(one, ended: false);
                    bytes += Proportional(one);
                }
                catch (IOException)
                {
                    // It has just ended; at the next look its time is among the parent's.
                }
            }

            return new ProcessUsage(cpu, bytes);
        }
        catch (IOException)
        {
            return default;
        }
    }

    private static double Cpu(int id, bool ended)
    {
        // proc(5): fields 14 and 15 of stat are utime and stime, 16 and 17 the same of children that have ended. The name, field 2, may
        // contain anything, so count from its end.
        var stat = File.ReadAllText($"/proc/{id}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (Number(fields[11]) + Number(fields[12]) + (ended ? Number(fields[13]) + Number(fields[14]) : 0)) / TicksPerSecond;
    }

    private static long Proportional(int id)
    {
        const string Field = "Pss:";
        var line = File.ReadLines($"/proc/{id}/smaps_rollup").First(l => l.StartsWith(Field, StringComparison.Ordinal));
        return (long)Number(line[Field.Length..].Replace("kB", "", StringComparison.Ordinal).Trim()) * 1024;
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}

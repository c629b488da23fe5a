namespace Grid.Benchmarks.Servers;

/// <summary>What one kind of process of a server used: all silos together, or the database.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="CpuSeconds">CPU time of all its processes.</param>
/// <param name="Rss">Resident memory of all its processes, in bytes.</param>
internal readonly record struct PartUsage(string Kind, double CpuSeconds, long Rss);

/// <summary>What a server used, by kind of process.</summary>
internal sealed record ServerUsage(params IReadOnlyList<PartUsage> Parts)
{
    /// <summary>CPU time of all processes.</summary>
    public double CpuSeconds => Parts.Sum(p => p.CpuSeconds);

    /// <summary>Resident memory of all processes, in bytes.</summary>
    public long Rss => Parts.Sum(p => p.Rss);

    /// <summary>One process of one kind.</summary>
    public static ServerUsage Of(string kind, int? processId)
    {
        var usage = ProcessUsage.Of(processId);
        return new ServerUsage(new PartUsage(kind, usage.CpuSeconds, usage.Rss));
    }

    /// <summary>The CPU time since an earlier look, and the memory now.</summary>
    public ServerUsage Since(ServerUsage before) => new([.. Parts.Select((p, i) => p with { CpuSeconds = p.CpuSeconds - before.Parts[i].CpuSeconds })]);
}

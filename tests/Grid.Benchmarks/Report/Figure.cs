using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Report;

/// <summary>One measurement of one side.</summary>
internal sealed record Figure
{
    /// <summary>What was done, for example <c>fan-out 1→1,000, window 64</c>.</summary>
    public required string Row { get; init; }

    /// <summary>Who did it: <c>grid</c>, or a peer.</summary>
    public required string Side { get; init; }

    /// <summary>The main figure.</summary>
    public required double Value { get; init; }

    /// <summary>Its unit.</summary>
    public required string Unit { get; init; }

    /// <summary>Whether more is better.</summary>
    public bool MoreIsBetter { get; init; } = true;

    /// <summary>How long it was measured, in seconds.</summary>
    public double Seconds { get; init; }

    /// <summary>Latencies, if they were measured.</summary>
    public Latencies? Latency { get; init; }

    /// <summary>Units of work that arrived with one read of a socket; 0 when it was not counted.</summary>
    public double PerRead { get; init; }

    /// <summary>What the server's processes used, by kind: CPU in the time measured, memory at its end.</summary>
    public ServerUsage Used { get; init; } = new();

    /// <summary>CPU seconds of all processes of the server.</summary>
    public double ServerCpu => Used.CpuSeconds;

    /// <summary>CPU seconds of this process.</summary>
    public double GeneratorCpu { get; init; }

    /// <summary>Resident memory of the server at the end, in bytes.</summary>
    public long ServerRss => Used.Rss;

    /// <summary>The machine's load average of the last minute, when it was measured.</summary>
    public double LoadAverage { get; } = Machine.LoadAverage;

    /// <summary>Anything else worth a line.</summary>
    public string Note { get; init; } = "";

    /// <summary>Units of work done in the time measured.</summary>
    public double Work { get; init; }

    /// <summary>Server CPU per unit of work, in microseconds; null when it is not known.</summary>
    public double? ServerMicrosPerUnit => Work > 0 && ServerCpu > 0 ? ServerCpu * 1e6 / Work : null;
}

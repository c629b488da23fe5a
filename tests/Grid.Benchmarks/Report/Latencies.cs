using System.Diagnostics;
using HdrHistogram;

namespace Grid.Benchmarks.Report;

/// <summary>Latencies from the stamp in a message to its arrival, in a histogram of three significant digits from 1 µs to 60 s.</summary>
internal sealed class Latencies
{
    private const long MaxNanoseconds = 60_000_000_000;

    private readonly LongHistogram _histogram = new(1000, MaxNanoseconds, 3);

    /// <summary>How many were recorded.</summary>
    public long Count => _histogram.TotalCount;

    /// <summary>Records the time since a tick of the stopwatch.</summary>
    public void Record(long sentTicks, long nowTicks)
    {
        if (sentTicks > 0) Record((nowTicks - sentTicks) * (1_000_000_000 / Stopwatch.Frequency));
    }

    /// <summary>Records a time that another process measured, in nanoseconds.</summary>
    public void Record(long nanoseconds) => _histogram.RecordValue(Math.Clamp(nanoseconds, 1000, MaxNanoseconds));

    /// <summary>A percentile in milliseconds; null when nothing was recorded.</summary>
    public double? Percentile(double percentile) =>
        Count == 0 ? null : _histogram.GetValueAtPercentile(percentile) / 1e6;

    /// <summary>The longest in milliseconds.</summary>
    public double? Max => Percentile(100);
}

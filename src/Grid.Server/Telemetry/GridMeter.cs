using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>The meter that all of Grid's instruments belong to.</summary>
/// <remarks>
/// Instruments are on the way of every message: recording allocates nothing, and boxes nothing. Tags have few values, known beforehand:
/// never a channel, a session, a tenant or a silo, of which there can be any number.
/// </remarks>
public static class GridMeter
{
    /// <summary>The meter's name, for OpenTelemetry's <c>AddMeter</c>.</summary>
    public const string Name = "Grid";

    /// <summary>Bounds of histograms of what takes microseconds when all is well and seconds when it is not, in seconds.</summary>
    private static readonly double[] Seconds =
        [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    /// <summary>Bounds of histograms of ages, in seconds; messages are stamped in milliseconds.</summary>
    private static readonly double[] Ages =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

    /// <summary>Bounds of histograms of how many share one step.</summary>
    private static readonly long[] Counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384];

    internal static Meter Of(IMeterFactory meters) => meters.Create(Name);

    internal static Histogram<double> CreateDuration(this Meter meter, string name, string description) =>
        meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = Seconds });

    internal static Histogram<double> CreateAge(this Meter meter, string name, string description) =>
        meter.CreateHistogram(name, "s", description, tags: null, new InstrumentAdvice<double> { HistogramBucketBoundaries = Ages });

    internal static Histogram<long> CreateSizes(this Meter meter, string name, string unit, string description) =>
        meter.CreateHistogram(name, unit, description, tags: null, new InstrumentAdvice<long> { HistogramBucketBoundaries = Counts });
}

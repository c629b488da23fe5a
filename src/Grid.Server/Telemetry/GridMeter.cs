using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>The meter that all of Grid's instruments belong to.</summary>
public static class GridMeter
{
    /// <summary>The meter's name, for OpenTelemetry's <c>AddMeter</c>.</summary>
    public const string Name = "Grid";

    internal static Meter Of(IMeterFactory meters) => meters.Create(Name);
}

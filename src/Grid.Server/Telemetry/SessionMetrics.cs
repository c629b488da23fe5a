using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>What the grains of sessions count.</summary>
internal sealed class SessionMetrics(IMeterFactory meters)
{
    private readonly Histogram<double> _writes = GridMeter.Of(meters).CreateDuration(
        "grid.sessions.write.duration", "Time to store a session's state, by outcome: stored or failed.");

    private readonly Counter<long> _forgotten = GridMeter.Of(meters).CreateCounter<long>(
        "grid.sessions.forgotten", "{session}", "Sessions forgotten because they outlived their window.");

    /// <summary>State was written, or could not be.</summary>
    public void Wrote(TimeSpan duration, bool stored) =>
        _writes.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("outcome", stored ? "stored" : "failed"));

    /// <summary>A session is over.</summary>
    public void Forgot() => _forgotten.Add(1);
}

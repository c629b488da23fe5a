using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>What a durable log counts: its groups, each of which stores the appends of many channels in one step.</summary>
internal sealed class LogMetrics(IMeterFactory meters)
{
    private static readonly KeyValuePair<string, object?> Stored = new("outcome", "stored");
    private static readonly KeyValuePair<string, object?> Failed = new("outcome", "failed");

    private readonly Histogram<long> _messages = GridMeter.Of(meters).CreateSizes(
        "grid.log.append.messages", "{message}", "Messages stored by one group of appends.");

    private readonly Histogram<long> _appends = GridMeter.Of(meters).CreateSizes(
        "grid.log.append.appends", "{append}", "Appends (each of one channel) that shared one group.");

    private readonly Histogram<double> _duration = GridMeter.Of(meters).CreateDuration(
        "grid.log.append.duration", "Time to store one group of appends, its sync included, by outcome: stored or failed.");

    /// <summary>A group was written, or was not.</summary>
    /// <param name="messages">The messages in it.</param>
    /// <param name="appends">The appends in it that had something to store; a group without one is not counted.</param>
    /// <param name="duration">From taking the group up until it was synced, or had failed.</param>
    /// <param name="stored">Whether it is stored; else its outcome is unknown, and its callers are told so.</param>
    public void Group(int messages, int appends, TimeSpan duration, bool stored)
    {
        if (appends == 0) return;
        if (_duration.Enabled) _duration.Record(duration.TotalSeconds, stored ? Stored : Failed);
        if (!stored) return;
        _messages.Record(messages);
        _appends.Record(appends);
    }
}

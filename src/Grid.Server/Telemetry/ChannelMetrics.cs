using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>What the grains of channels count.</summary>
internal sealed class ChannelMetrics(IMeterFactory meters)
{
    private readonly Counter<long> _appendFailures = GridMeter.Of(meters).CreateCounter<long>(
        "grid.channels.append_failures", "{append}", "Appends that the log refused, or whose outcome is unknown.");

    private readonly Counter<long> _overtaken = GridMeter.Of(meters).CreateCounter<long>(
        "grid.channels.overtaken", "{activation}", "Activations of channels that stopped because the log was ahead of them.");

    private readonly UpDownCounter<long> _feeds = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.feeds.in_flight", "{batch}", "Batches on their way to the relays of silos, not yet answered.");

    private readonly Counter<long> _feedFailures = GridMeter.Of(meters).CreateCounter<long>(
        "grid.feeds.failures", "{batch}", "Batches, and questions for interest, that a silo's relay did not answer.");

    /// <summary>Makes the counters known before they count.</summary>
    public void Announce()
    {
        _appendFailures.Add(0);
        _overtaken.Add(0);
        _feeds.Add(0);
        _feedFailures.Add(0);
    }

    /// <summary>An append failed.</summary>
    public void AppendFailed() => _appendFailures.Add(1);

    /// <summary>An activation was behind the log.</summary>
    public void Overtaken() => _overtaken.Add(1);

    /// <summary>A batch is sent to a silo.</summary>
    public void FeedSent() => _feeds.Add(1);

    /// <summary>A batch was answered, or its call has failed.</summary>
    public void FeedEnded() => _feeds.Add(-1);

    /// <summary>A silo did not answer.</summary>
    public void FeedFailed() => _feedFailures.Add(1);
}

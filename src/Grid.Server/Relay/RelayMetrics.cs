using System.Diagnostics.Metrics;
using Grid.Protocol;
using Grid.Server.Telemetry;

namespace Grid.Server.Relay;

/// <summary>What the relay counts.</summary>
internal sealed class RelayMetrics(IMeterFactory meters)
{
    private readonly Counter<long> _delivered = GridMeter.Of(meters).CreateCounter<long>(
        "grid.messages.delivered", "{message}", "Messages handed to local consumers.");

    private readonly Counter<long> _repairs = GridMeter.Of(meters).CreateCounter<long>(
        "grid.relay.repairs", "{repair}", "Reads of the log because a batch did not follow what subscribers had.");

    private readonly Counter<long> _fellBehind = GridMeter.Of(meters).CreateCounter<long>(
        "grid.subscriptions.fell_behind", "{event}", "Live subscriptions whose socket had no room.");

    private readonly Counter<long> _gaps = GridMeter.Of(meters).CreateCounter<long>(
        "grid.gaps", "{gap}", "Gaps announced to consumers, by reason.");

    /// <summary>Messages were handed to consumers.</summary>
    public void Delivered(long count)
    {
        if (count > 0) _delivered.Add(count);
    }

    /// <summary>A hole was found and is read from the log.</summary>
    public void Repair() => _repairs.Add(1);

    /// <summary>A subscription fell behind.</summary>
    public void FellBehind() => _fellBehind.Add(1);

    /// <summary>A gap was announced.</summary>
    public void Gap(GapReason reason) => _gaps.Add(1, new KeyValuePair<string, object?>("reason", reason.ToString()));
}

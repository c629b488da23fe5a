using System.Diagnostics.Metrics;
using Grid.Protocol;
using Grid.Server.Telemetry;

namespace Grid.Server.Relay;

/// <summary>What the relay counts.</summary>
/// <param name="meters">Makes the meter.</param>
/// <param name="time">The clock that ages of messages are taken with.</param>
internal sealed class RelayMetrics(IMeterFactory meters, TimeProvider time)
{
    private readonly Counter<long> _delivered = GridMeter.Of(meters).CreateCounter<long>(
        "grid.messages.delivered", "{message}", "Messages handed to local consumers.");

    private readonly Counter<long> _bytes = GridMeter.Of(meters).CreateCounter<long>(
        "grid.messages.delivered.size", "By", "Bytes of the messages handed to local consumers, as they go to their sockets.");

    private readonly Histogram<double> _lag = GridMeter.Of(meters).CreateAge(
        "grid.relay.lag",
        "Age, by its time stamp, of the oldest message of a batch when the last local consumer was served; between machines, their clocks' difference is in it.");

    private readonly Counter<long> _repairs = GridMeter.Of(meters).CreateCounter<long>(
        "grid.relay.repairs", "{repair}", "Reads of the log because a batch did not follow what subscribers had.");

    private readonly Counter<long> _reattachments = GridMeter.Of(meters).CreateCounter<long>(
        "grid.relay.reattachments", "{channel}", "Channels that the position check found behind the log and attached again.");

    private readonly UpDownCounter<long> _subscriptions = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.subscriptions", "{subscription}", "Subscriptions of open sockets and event streams.");

    private readonly UpDownCounter<long> _behind = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.subscriptions.behind", "{subscription}", "Subscriptions that read on at the pace of their socket.");

    private readonly Counter<long> _fellBehind = GridMeter.Of(meters).CreateCounter<long>(
        "grid.subscriptions.fell_behind", "{event}", "Live subscriptions whose socket had no room.");

    private readonly Counter<long> _reads = GridMeter.Of(meters).CreateCounter<long>(
        "grid.subscriptions.reads", "{read}", "Reads for subscriptions that are behind, by source: ring (memory) or log.");

    private readonly Counter<long> _gaps = GridMeter.Of(meters).CreateCounter<long>(
        "grid.gaps", "{gap}", "Gaps announced to consumers, by reason: retention, epoch or dropped.");

    /// <summary>Makes the counters known before they count.</summary>
    public void Announce()
    {
        foreach (var counter in (ReadOnlySpan<Counter<long>>)[_delivered, _bytes, _repairs, _reattachments, _fellBehind]) counter.Add(0);
        _subscriptions.Add(0);
        _behind.Add(0);
        foreach (var reason in Enum.GetValues<GapReason>()) _gaps.Add(0, Tag.Of("reason", reason));
    }

    /// <summary>Messages were handed to consumers.</summary>
    /// <param name="count">Messages, counted for each consumer.</param>
    /// <param name="bytes">Their bytes.</param>
    public void Delivered(long count, long bytes)
    {
        if (count == 0) return;
        _delivered.Add(count);
        _bytes.Add(bytes);
    }

    /// <summary>A batch was handed to all local consumers that had room.</summary>
    /// <param name="at">The time stamp of its first message, in Unix milliseconds.</param>
    public void Served(long at)
    {
        // A clock that is behind the sender's shows no lag, rather than one from the future.
        if (_lag.Enabled) _lag.Record(Math.Max(0, time.GetUtcNow().ToUnixTimeMilliseconds() - at) / 1000.0);
    }

    /// <summary>A hole was found and is read from the log.</summary>
    public void Repair() => _repairs.Add(1);

    /// <summary>A channel's feed was lost unnoticed.</summary>
    public void Reattached() => _reattachments.Add(1);

    /// <summary>A subscription was added.</summary>
    public void Joined() => _subscriptions.Add(1);

    /// <summary>A subscription was removed.</summary>
    public void Left() => _subscriptions.Add(-1);

    /// <summary>A subscription reads on at its own pace from now on.</summary>
    public void BeganBehind() => _behind.Add(1);

    /// <summary>It has caught up, or has left.</summary>
    public void EndedBehind() => _behind.Add(-1);

    /// <summary>A live subscription fell behind.</summary>
    public void FellBehind() => _fellBehind.Add(1);

    /// <summary>Messages were read for a subscription that is behind.</summary>
    public void Read(bool fromRing) => _reads.Add(1, new KeyValuePair<string, object?>("source", fromRing ? "ring" : "log"));

    /// <summary>A gap was announced.</summary>
    public void Gap(GapReason reason) => _gaps.Add(1, Tag.Of("reason", reason));
}

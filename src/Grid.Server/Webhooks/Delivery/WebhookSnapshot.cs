using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Whether a subscription delivers.</summary>
internal enum WebhookStatus
{
    /// <summary>It does.</summary>
    Active,

    /// <summary>It waits to be resumed, and keeps everything.</summary>
    Paused,

    /// <summary>It is switched off, and keeps its cursors; enabling it again asks from where.</summary>
    Disabled,
}

/// <summary>What is stored of a subscription's progress. A message that is neither below a floor, nor in a range, is sent again.</summary>
internal sealed record WebhookSnapshot
{
    /// <summary>Counts the activations that wrote it, so that a store can refuse an older one's write.</summary>
    public long Generation { get; init; }

    /// <summary>Whether it delivers.</summary>
    public WebhookStatus Status { get; init; }

    /// <summary>Why it is disabled.</summary>
    public DisabledReason Reason { get; init; }

    /// <summary>The size of the window; 0: not known.</summary>
    public int Window { get; init; }

    /// <summary>
    /// Until when the endpoint asked to be left alone, in Unix milliseconds; 0: it did not. With <see cref="Store.WebhookWake.Never"/> in
    /// <see cref="HeldSince"/>: until when nobody is to wake the subscription.
    /// </summary>
    public long HeldUntil { get; init; }

    /// <summary>Since when it asks for that, without a success between, in Unix milliseconds; 0: it does not.</summary>
    public long HeldSince { get; init; }

    /// <summary>The circuit.</summary>
    public CircuitRecord Circuit { get; init; }

    /// <summary>When the first of the durably parked messages is due, in Unix milliseconds; 0: there is none.</summary>
    public long StoredDue { get; init; }

    /// <summary>The replay under way.</summary>
    public ReplayRecord? Replay { get; init; }

    /// <summary>The channels, or those that changed since the last write (<see cref="WebhookWrite.Snapshot"/>).</summary>
    public IReadOnlyList<ProgressRecord> Channels { get; init; } = [];

    /// <summary>Joins a later write's header and changed channels to this one.</summary>
    public WebhookSnapshot With(WebhookSnapshot later)
    {
        var changed = later.Channels.ToDictionary(c => c.Channel, StringComparer.Ordinal);
        return later with
        {
            Channels = [.. Channels.Select(c => changed.Remove(c.Channel, out var newer) ? newer : c), .. changed.Values],
        };
    }
}

/// <summary>A subscription's progress in a channel.</summary>
/// <param name="Channel">The channel's name.</param>
/// <param name="Floor">Everything up to here is settled.</param>
/// <param name="Ranges">What is settled above the floor.</param>
/// <param name="Parked">Messages that failed and will be tried again.</param>
/// <param name="IsBehind">Whether something that is known is not settled, which may have no mark.</param>
internal sealed record ProgressRecord(
    string Channel, Position Floor, IReadOnlyList<OffsetRange> Ranges, IReadOnlyList<ParkedRecord> Parked, bool IsBehind = false);

/// <summary>A message that failed.</summary>
/// <param name="Offset">Which.</param>
/// <param name="Attempts">How many attempts it had.</param>
/// <param name="Due">When the next one is due, in Unix milliseconds.</param>
/// <param name="Lane">The lane that it blocks; null where it is the channel's, or none.</param>
internal readonly record struct ParkedRecord(long Offset, int Attempts, long Due, string? Lane);

/// <summary>A replay under way.</summary>
/// <param name="Id">Its name.</param>
/// <param name="PerSecond">Its rate.</param>
/// <param name="Delivered">Messages delivered.</param>
/// <param name="Failed">Messages that failed at first.</param>
/// <param name="Channels">How far it is.</param>
internal sealed record ReplayRecord(
    string Id, double PerSecond, long Delivered, long Failed, IReadOnlyList<ReplayChannelRecord> Channels);

/// <summary>A replay's progress in a channel.</summary>
/// <param name="Channel">The channel's name.</param>
/// <param name="Floor">Everything up to here is replayed.</param>
/// <param name="To">The last offset to replay.</param>
/// <param name="Ranges">What is replayed above the floor.</param>
internal sealed record ReplayChannelRecord(string Channel, Position Floor, long To, IReadOnlyList<OffsetRange> Ranges);

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Why messages will never be delivered.</summary>
internal enum TruncationReason
{
    /// <summary>Retention took them first.</summary>
    Retention,

    /// <summary>The channel's offsets began anew.</summary>
    Epoch,
}

/// <summary>Why a subscription is disabled.</summary>
internal enum DisabledReason
{
    /// <summary>It is not.</summary>
    None,

    /// <summary>Somebody asked for it.</summary>
    Request,

    /// <summary>The endpoint answered 410.</summary>
    Gone,

    /// <summary>The endpoint was dead for days.</summary>
    NoSuccess,
}

/// <summary>
/// What a subscription's grain has to do beside delivering. Effects are carried out in order, and before the snapshot that came with
/// them is stored; after a crash between the two they come again, so each must be one that can be repeated (a row with a fixed key,
/// an event with a fixed idempotency key).
/// </summary>
internal abstract record WebhookEffect
{
    private WebhookEffect()
    {
    }

    /// <summary>The message's attempts are used up: store it as a dead letter, and forget its row of parked messages if it has one.</summary>
    /// <param name="Ref">Which message.</param>
    /// <param name="Attempts">How many attempts it had.</param>
    /// <param name="At">When the last one failed, in Unix milliseconds.</param>
    /// <param name="Failure">How.</param>
    /// <param name="StoredDue">The due time under which its row of parked messages stands; 0: it has none.</param>
    public sealed record DeadLetter(MessageRef Ref, int Attempts, long At, string? Failure, long StoredDue) : WebhookEffect;

    /// <summary>Keep a failed message in the store, to be asked for when it is due, in the place of its former row if it has one.</summary>
    /// <param name="Row">Which message, and when it is due.</param>
    /// <param name="StoredDue">The due time under which its former row stands; 0: it has none.</param>
    public sealed record ParkDurably(ParkedRow Row, long StoredDue) : WebhookEffect;

    /// <summary>Forget a message's row of parked messages.</summary>
    /// <param name="Ref">Which message.</param>
    /// <param name="StoredDue">The due time under which it stands; 0 when that is not known: look the row up, there may be none.</param>
    public sealed record ForgetParked(MessageRef Ref, long StoredDue) : WebhookEffect;

    /// <summary>
    /// Messages will never be delivered: record it under (channel, epoch, from), where a repetition after a crash may reach further.
    /// </summary>
    /// <param name="Channel">The channel's name.</param>
    /// <param name="Epoch">The epoch of the offsets.</param>
    /// <param name="From">The first offset.</param>
    /// <param name="To">The last offset that is known.</param>
    /// <param name="Count">
    /// How many messages these are, at most: whether the subscription's filter wanted them can't be known any more. With
    /// <see cref="TruncationReason.Epoch"/> 0 means that none are known, but some may have been written after the last look.
    /// </param>
    /// <param name="Reason">Why.</param>
    /// <param name="Replay">The replay that missed them; null for the subscription itself.</param>
    public sealed record Truncated(
        string Channel, string Epoch, long From, long To, long Count, TruncationReason Reason, string? Replay) : WebhookEffect;

    /// <summary>
    /// Everything of a channel is settled, and nothing need be known of it: delete its progress. The mark of the next append says where
    /// it goes on. A record of the channel in the same write, or a later one, counts.
    /// </summary>
    /// <param name="Channel">The channel's name.</param>
    public sealed record ForgetChannel(string Channel) : WebhookEffect;

    /// <summary>Somebody had a message skipped.</summary>
    /// <param name="Ref">Which message.</param>
    public sealed record Skipped(MessageRef Ref) : WebhookEffect;

    /// <summary>The endpoint has begun to fail. Told once until the next success.</summary>
    /// <param name="At">When, in Unix milliseconds.</param>
    /// <param name="Failure">How.</param>
    public sealed record Failing(long At, string? Failure) : WebhookEffect;

    /// <summary>The endpoint is taken for dead.</summary>
    /// <param name="At">When, in Unix milliseconds.</param>
    public sealed record CircuitOpened(long At) : WebhookEffect;

    /// <summary>The endpoint works again after the circuit was open.</summary>
    /// <param name="At">When, in Unix milliseconds.</param>
    public sealed record Recovered(long At) : WebhookEffect;

    /// <summary>An ordered subscription paused at a message whose attempts are used up.</summary>
    /// <param name="Ref">Which message.</param>
    /// <param name="At">When, in Unix milliseconds.</param>
    public sealed record PausedAt(MessageRef Ref, long At) : WebhookEffect;

    /// <summary>The subscription is disabled; its owner is to be told.</summary>
    /// <param name="Reason">Why.</param>
    /// <param name="At">When, in Unix milliseconds.</param>
    public sealed record Disabled(DisabledReason Reason, long At) : WebhookEffect;

    /// <summary>A replay is over.</summary>
    /// <param name="Id">Which.</param>
    /// <param name="Progress">What it came to.</param>
    /// <param name="Cancelled">Whether somebody ended it.</param>
    public sealed record ReplayEnded(string Id, ReplayProgress Progress, bool Cancelled) : WebhookEffect;
}

/// <summary>A failed message kept in the store rather than in the subscription's state. The store finds rows by due time.</summary>
/// <param name="Ref">Which message.</param>
/// <param name="Attempts">How many attempts it had; 0 for one that is to be sent again on request.</param>
/// <param name="Due">When the next one is due, in Unix milliseconds.</param>
internal readonly record struct ParkedRow(MessageRef Ref, int Attempts, long Due);

/// <summary>How far a replay is.</summary>
/// <param name="Delivered">Messages delivered.</param>
/// <param name="Failed">Messages that failed at first; they are tried again like any other.</param>
/// <param name="Remaining">Offsets not yet settled.</param>
internal readonly record struct ReplayProgress(long Delivered, long Failed, long Remaining);

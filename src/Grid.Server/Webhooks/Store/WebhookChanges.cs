using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Store;

/// <summary>What is to become of a message's row of parked messages.</summary>
/// <param name="Row">The row that takes the place of the one there is; null: it goes.</param>
/// <param name="IfDue">Only if it stands under this due time: else it is another one, asked for since; 0: whichever it is.</param>
internal readonly record struct ParkedChange(ParkedRow? Row, long IfDue);

/// <summary>
/// What the effects of a write come to, one change per row, so that stores need not look at what the same write changed before. Carried
/// out twice it is the same as once.
/// </summary>
internal sealed class WebhookChanges
{
    /// <summary>Parked messages.</summary>
    public Dictionary<MessageRef, ParkedChange> Parked { get; } = [];

    /// <summary>Dead letters to store.</summary>
    public Dictionary<MessageRef, StoredDeadLetter> DeadLetters { get; } = [];

    /// <summary>Truncations to store, by channel, epoch and first offset. Those that only a replay met are none of the subscription's.</summary>
    public Dictionary<(string Channel, string Epoch, long From), StoredTruncation> Truncations { get; } = [];

    /// <summary>Channels whose progress is to be deleted, before that of the same write is stored.</summary>
    public HashSet<string> Forgotten { get; } = new(StringComparer.Ordinal);

    /// <summary>Works them out.</summary>
    public static WebhookChanges Of(IReadOnlyList<WebhookEffect> effects)
    {
        var changes = new WebhookChanges();
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case WebhookEffect.DeadLetter dead:
                    changes.DeadLetters[dead.Ref] = new StoredDeadLetter(dead.Ref, dead.Attempts, dead.At, dead.Failure);
                    if (dead.StoredDue != 0) changes.Forget(dead.Ref, dead.StoredDue);
                    break;
                case WebhookEffect.ParkDurably park:
                    changes.Parked[park.Row.Ref] = new ParkedChange(park.Row, 0);
                    break;
                case WebhookEffect.ForgetParked forget:
                    changes.Forget(forget.Ref, forget.StoredDue);
                    break;
                case WebhookEffect.ForgetChannel(var channel):
                    changes.Forgotten.Add(channel);
                    break;
                case WebhookEffect.Truncated { Replay: null } cut:
                    changes.Truncations[(cut.Channel, cut.Epoch, cut.From)] =
                        new StoredTruncation(cut.Channel, cut.Epoch, cut.From, cut.To, cut.Count, cut.Reason);
                    break;
            }
        }

        return changes;
    }

    private void Forget(MessageRef message, long due)
    {
        if (!Parked.TryGetValue(message, out var earlier)) Parked[message] = new ParkedChange(null, due);
        else if (due == 0 || earlier.Row?.Due == due) Parked[message] = new ParkedChange(null, 0);
    }
}

/// <summary>When the sweep wakes a subscription.</summary>
internal static class WebhookWake
{
    /// <summary>Never.</summary>
    public const long Never = long.MaxValue;

    /// <summary>
    /// Before when nobody wakes it, in Unix milliseconds: while it does not deliver, while its circuit is open and the next probe is not
    /// due, and while its endpoint wants to be left alone, as who polls does until <see cref="Never"/>.
    /// </summary>
    public static long NotBefore(WebhookSnapshot header) => header.Status != WebhookStatus.Active
        ? Never
        : Math.Max(header.HeldUntil, header.Circuit.OpenedAt > 0 ? header.Circuit.ProbeAt : 0);
}

using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Sending;

/// <summary>Who has attempts made, and learns what became of them.</summary>
internal interface IOutcomes
{
    /// <summary>
    /// Whether an attempt whose turn has come is still to be made: the subscription may have another endpoint by now, or be switched off. By
    /// any thread, under locks.
    /// </summary>
    /// <param name="target">Where it would go.</param>
    bool IsWanted(WebhookTarget target);

    /// <summary>
    /// An attempt ended, and is in the log; or it was never made. Called once for each, by any thread, under locks: it must return at once.
    /// </summary>
    /// <param name="target">Where it went.</param>
    /// <param name="attempt">Which.</param>
    /// <param name="outcome">How.</param>
    void OnOutcome(WebhookTarget target, WebhookAttempt attempt, Outcome outcome);
}

/// <summary>An attempt that waits for its turn, is under way or is to be written.</summary>
internal sealed class SendJob(WebhookTarget target, WebhookAttempt attempt, IOutcomes asker)
{
    /// <summary>Where it goes.</summary>
    public WebhookTarget Target => target;

    /// <summary>What.</summary>
    public WebhookAttempt Attempt => attempt;

    /// <summary>When its turn came, as a time stamp.</summary>
    public long StartedAt { get; set; }

    /// <summary>Whether it is still to be made.</summary>
    public bool IsWanted => asker.IsWanted(target);

    /// <summary>Tells the outcome, once.</summary>
    public void Tell(Outcome outcome) => asker.OnOutcome(target, attempt, outcome);
}

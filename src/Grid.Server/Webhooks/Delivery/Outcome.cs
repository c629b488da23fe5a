namespace Grid.Server.Webhooks.Delivery;

/// <summary>How an attempt ended.</summary>
internal enum OutcomeKind
{
    /// <summary>A 2xx in time.</summary>
    Delivered,

    /// <summary>No answer, a broken one, or one that says the endpoint does not work (5xx, a redirect).</summary>
    Failed,

    /// <summary>An answer that refuses this message (4xx but for 410 and 429): the endpoint is there.</summary>
    Rejected,

    /// <summary>429 or 503 with <c>Retry-After</c>: the whole endpoint is held. Uses up no attempt.</summary>
    Hold,

    /// <summary>410: the subscription is disabled.</summary>
    Gone,

    /// <summary>It never got to the endpoint, for a reason on this side (the egress proxy). Uses up no attempt.</summary>
    LocalFault,

    /// <summary>Nobody knows: the sender was lost. It is sent again under the same id. Uses up no attempt.</summary>
    Lost,

    /// <summary>
    /// A consumer that pulls gave it back, or its lease ended; or it was not sent, since the subscription was changed meanwhile. It is handed
    /// out, or sent, again at once. Uses up no attempt.
    /// </summary>
    Returned,
}

/// <summary>How an attempt ended.</summary>
/// <param name="Kind">The kind of end.</param>
/// <param name="TookMs">How long it took, in milliseconds.</param>
/// <param name="RetryAfterMs">For <see cref="OutcomeKind.Hold"/>: for how long; at most 24 hours count.</param>
/// <param name="Failure">A short text for people, kept with dead letters: a status or an error class.</param>
internal readonly record struct Outcome(OutcomeKind Kind, long TookMs = 0, long RetryAfterMs = 0, string? Failure = null);

/// <summary>Why an attempt is made.</summary>
internal enum DeliveryKind
{
    /// <summary>The message's first attempt.</summary>
    Fresh,

    /// <summary>It failed before, or somebody asked for it again.</summary>
    Retry,

    /// <summary>It is part of a replay.</summary>
    Replay,
}

/// <summary>An attempt to make.</summary>
/// <param name="Number">Names the attempt until its outcome is told.</param>
/// <param name="Ref">Which message.</param>
/// <param name="Message">The message.</param>
/// <param name="Attempt">The number of the attempt for this message: 1 for the first.</param>
/// <param name="Kind">Why it is made.</param>
/// <param name="IsProbe">Whether it finds out if an endpoint taken for dead lives.</param>
internal sealed record WebhookAttempt(long Number, MessageRef Ref, Message Message, int Attempt, DeliveryKind Kind, bool IsProbe);

/// <summary>A read of the log to make.</summary>
/// <param name="Number">Names the read until its page is there.</param>
/// <param name="Channel">The channel's name.</param>
/// <param name="After">The offset before the first message wanted.</param>
/// <param name="MaxMessages">The most messages wanted.</param>
internal sealed record ReadRequest(long Number, string Channel, long After, int MaxMessages);

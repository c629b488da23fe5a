namespace Grid.Client.Webhooks;

/// <summary>Why a request is not taken for a delivery of Grid.</summary>
public enum WebhookVerificationError
{
    /// <summary>One of the three headers is missing or empty.</summary>
    MissingHeader,

    /// <summary>The timestamp is no number of seconds.</summary>
    MalformedTimestamp,

    /// <summary>The request was signed longer ago than the tolerance: a replay, or this clock is ahead.</summary>
    TooOld,

    /// <summary>The request was signed further in the future than the tolerance: this clock is behind.</summary>
    TooNew,

    /// <summary>
    /// No signature is of one of the secrets: the request is forged, the body was changed on its way (parsed and written anew, for
    /// example), or the secret is another endpoint's.
    /// </summary>
    NoMatchingSignature,
}

/// <summary>A request is not a delivery of Grid, or not one of now. Answer 400 or 401, and do nothing else with it.</summary>
public sealed class WebhookVerificationException : Exception
{
    /// <summary>Makes an error.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="message">For a person.</param>
    public WebhookVerificationException(WebhookVerificationError reason, string message)
        : base(message) => Reason = reason;

    /// <summary>Why.</summary>
    public WebhookVerificationError Reason { get; }
}

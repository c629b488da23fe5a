namespace Grid.Server.Webhooks.Signing;

/// <summary>The names of the headers that a delivery carries, whatever its format.</summary>
internal static class WebhookHeaders
{
    /// <summary>What every header of the Standard Webhooks specification begins with; nobody else may set one.</summary>
    public const string StandardPrefix = "webhook-";

    /// <summary>The message's id, the same for every attempt (<see cref="WebhookMessageId"/>). Signed.</summary>
    public const string Id = "webhook-id";

    /// <summary>When the attempt was made, in Unix seconds. Signed.</summary>
    public const string Timestamp = "webhook-timestamp";

    /// <summary>The signatures, separated by spaces.</summary>
    public const string Signature = "webhook-signature";

    /// <summary>The message's channel. Not signed; <see cref="Id"/> says the same and is.</summary>
    public const string Channel = "grid-channel";

    /// <summary>The message's offset in its channel. Not signed.</summary>
    public const string Offset = "grid-offset";

    /// <summary>The number of the attempt, from 1. Not signed.</summary>
    public const string Attempt = "grid-attempt";
}

using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks.Sending;

/// <summary>Where and how a subscription's messages are sent. Immutable, but for the consent; a changed subscription has another one.</summary>
internal sealed class WebhookTarget
{
    /// <summary>The subscription.</summary>
    public required WebhookId Webhook { get; init; }

    /// <summary>The address.</summary>
    public required Uri Url { get; init; }

    /// <summary>How messages look.</summary>
    public required IWebhookFormat Format { get; init; }

    /// <summary>What signs them.</summary>
    public required SecretSet Secrets { get; init; }

    /// <summary>The subscription's own headers.</summary>
    public required IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; }

    /// <summary>The endpoint's consent, if it is asked for; null: it is not.</summary>
    public EndpointConsent? Consent { get; init; }

    /// <summary>Names the endpoint within the tenant: host and port, since that is what is slow or dead.</summary>
    public string Endpoint => field ??= Url.Authority;
}

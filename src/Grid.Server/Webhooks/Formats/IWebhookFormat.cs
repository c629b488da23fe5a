namespace Grid.Server.Webhooks.Formats;

/// <summary>How messages look to a receiver. Stateless; one instance serves all.</summary>
internal interface IWebhookFormat
{
    /// <summary>The name by which a subscription chooses it.</summary>
    string Name { get; }

    /// <summary>The body and content headers of a message. JSON payloads are copied unread: they were checked when they came in.</summary>
    WebhookContent Format(in WebhookMessage message);
}

namespace Grid.Server.Webhooks.Network;

/// <summary>A request to an endpoint.</summary>
internal sealed record WebhookRequest
{
    /// <summary>Where to, as <see cref="WebhookUrl"/> made it.</summary>
    public required Uri Url { get; init; }

    /// <summary>Whose endpoint it is: the limits of names that are looked up are the tenant's.</summary>
    public required string Tenant { get; init; }

    /// <summary>The method. Default: POST.</summary>
    public HttpMethod Method { get; init; } = HttpMethod.Post;

    /// <summary>
    /// The body; empty for none. It must not change any more, even after the answer: an endpoint may answer before it has read all.
    /// </summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>The body's media type. Default: <c>application/json</c>.</summary>
    public string ContentType { get; init; } = "application/json";

    /// <summary>
    /// Further headers, checked by <see cref="CustomHeaders"/> or made by the sender. Of a name that occurs twice the first counts, so
    /// those that must not be overridden come first.
    /// </summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>The names of headers of the answer that the caller wants to see.</summary>
    public IReadOnlyList<string> AnswerHeaders { get; init; } = [];

    /// <summary>How long the exchange may take. Default: null, for <see cref="WebhookNetworkOptions.RequestTimeout"/>.</summary>
    public TimeSpan? TimeLimit { get; init; }
}

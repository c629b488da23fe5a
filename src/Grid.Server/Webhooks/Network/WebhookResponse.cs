namespace Grid.Server.Webhooks.Network;

/// <summary>What became of a request: an endpoint's answer, or why there is none.</summary>
internal sealed record WebhookResponse
{
    /// <summary>The class of the failure; <see cref="WebhookErrorClass.None"/> for success.</summary>
    public required WebhookErrorClass Error { get; init; }

    /// <summary>Whether the message is delivered.</summary>
    public bool IsSuccess => Error == WebhookErrorClass.None;

    /// <summary>
    /// Whether the failure is the endpoint's, rather than that of what lies before it; only those say something about its health.
    /// </summary>
    public bool IsEndpointFault => Error is not (WebhookErrorClass.None or WebhookErrorClass.Proxy or WebhookErrorClass.Cancelled or WebhookErrorClass.Busy);

    /// <summary>A sentence for the tenant about the failure, or null. It tells nothing of the inside.</summary>
    public string? Detail { get; init; }

    /// <summary>The answer's status. It can be there without success: the rest of the answer did not come.</summary>
    public int? Status { get; init; }

    /// <summary>When the request began.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>From the beginning to the end of the answer, or to the failure.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>The beginning of the answer's body, safe to store and show (<see cref="AnswerText"/>).</summary>
    public string Body { get; init; } = "";

    /// <summary>Whether the body was longer than what is in <see cref="Body"/>.</summary>
    public bool BodyClipped { get; init; }

    /// <summary>The bytes that were read of the body.</summary>
    public int BodyBytes { get; init; }

    /// <summary>What the <c>Retry-After</c> of a failed exchange's answer asks for, 0 to 24 h from the end of the exchange; null for none.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The headers that the caller wanted to see, as far as the answer had them: the value of each line.</summary>
    public IReadOnlyDictionary<string, string[]> Headers { get; init; } = NoHeaders;

    /// <summary>No headers.</summary>
    public static IReadOnlyDictionary<string, string[]> NoHeaders { get; } = new Dictionary<string, string[]>();
}

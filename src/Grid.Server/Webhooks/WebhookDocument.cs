using System.Text.Json;
using System.Text.Json.Serialization;
using Grid.Abstractions;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

/// <summary>
/// What stands in <see cref="StoredWebhook.Definition"/>, as JSON: the definition without its channels (they are a field of the record)
/// and without the values of its headers, which are encrypted.
/// </summary>
internal sealed record WebhookDocument
{
    /// <summary>How many messages a consumer that polls may have at once.</summary>
    public const int MaxLeases = 1_000;

    /// <summary>What a person set; no channels, no headers.</summary>
    public required WebhookDefinition Definition { get; init; }

    /// <summary>When the subscription was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The headers, encrypted (<see cref="SecretVault"/>); null: none.</summary>
    public byte[]? Headers { get; init; }

    /// <summary>The URL that agreed by the handshake of CloudEvents; null: none did.</summary>
    public string? ConsentedUrl { get; init; }

    /// <summary>The most requests a minute that it agreed to; null: no limit.</summary>
    public int? ConsentedPerMinute { get; init; }

    /// <summary>The last replay that ended.</summary>
    public WebhookReplay? LastReplay { get; init; }

    /// <summary>Whether messages are polled for.</summary>
    [JsonIgnore]
    public bool IsPull => Definition.Url is null;

    /// <summary>Whether the endpoint agreed, or need not.</summary>
    [JsonIgnore]
    public bool HasConsent => ConsentedUrl is not null && ConsentedUrl == Definition.Url;

    /// <summary>Makes the document of a definition.</summary>
    public WebhookDocument With(WebhookDefinition definition, WebhookSecrets secrets) => this with
    {
        Definition = definition with { Channels = [], Headers = [] },
        Headers = definition.Headers.Count == 0 ? null : secrets.ProtectHeaders(definition.Headers),
    };

    /// <summary>Writes it.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, WebhookDocumentJson.Default.WebhookDocument);

    /// <summary>Reads it.</summary>
    /// <exception cref="JsonException">It is not what <see cref="ToBytes"/> writes.</exception>
    public static WebhookDocument Read(ReadOnlyMemory<byte> bytes) =>
        JsonSerializer.Deserialize(bytes.Span, WebhookDocumentJson.Default.WebhookDocument)
        ?? throw new JsonException("A webhook's definition is empty.");

    /// <summary>The definition as reads show it: with its channels, and the headers' names.</summary>
    /// <param name="channels">The channels.</param>
    /// <param name="headers">The headers; their values are not shown.</param>
    public WebhookDefinition Shown(IReadOnlyList<string> channels, IEnumerable<KeyValuePair<string, string>> headers) =>
        Definition with { Channels = [.. channels], Headers = new Dictionary<string, string>(CustomHeaders.Redact(headers)) };

    /// <summary>How it is delivered.</summary>
    /// <param name="options">What holds for all subscriptions; null for the defaults.</param>
    public DeliverySettings Settings(WebhookOptions? options = null)
    {
        var perSecond = Definition.PerSecond;
        if (HasConsent && ConsentedPerMinute / 60.0 is { } consented) perSecond = Math.Min(perSecond ?? consented, consented);
        RetrySchedule? schedule = null;
        if (Definition.Schedule is { Length: > 0 } seconds) RetrySchedule.TryCreate([.. seconds.Select(static s => (double)s)], out schedule, out _);
        return new DeliverySettings
        {
            Mode = Definition.Mode switch { "keyed" => WebhookMode.Keyed, "ordered" => WebhookMode.Ordered, _ => WebhookMode.Parallel },
            KeySeparator = Definition.KeySeparator is [var separator, ..] ? separator : null,
            OnExhausted = Definition.OnExhausted switch
            {
                "deadLetter" => ExhaustionRule.DeadLetter, "pause" => ExhaustionRule.Pause, _ => ExhaustionRule.Block,
            },
            Events = EventFilter.Of(Definition.Events),
            Schedule = schedule ?? RetrySchedule.Default,
            PerSecond = perSecond,
            Circuit = options is null ? CircuitSettings.Default : CircuitSettings.Default with { FirstProbeMs = (long)options.FirstProbe.TotalMilliseconds },

            // Whoever polls says how much it can take.
            Limits = IsPull
                ? DeliveryLimits.Default with { InitialWindow = MaxLeases, MaxWindow = MaxLeases, MaxUnwritten = 2 * MaxLeases }
                : DeliveryLimits.Default,
        };
    }
}

/// <summary>How documents are written.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(WebhookDocument))]
internal sealed partial class WebhookDocumentJson : JsonSerializerContext;

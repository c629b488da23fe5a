using System.Text.Json.Serialization;
using Grid.Protocol;

namespace Grid.Client.Webhooks;

/// <summary>A subscription to make. What is not set has the server's default.</summary>
public sealed record WebhookSettings
{
    /// <summary>Where messages are sent. Null: they are polled for, for the subscription's whole life.</summary>
    public string? Url { get; init; }

    /// <summary>1 to 100 channels, or prefixes ending in <c>*</c>.</summary>
    public required IReadOnlyList<string> Channels { get; init; }

    /// <summary>Up to 100 names of events, or prefixes ending in <c>*</c>. Null or none: every message.</summary>
    public IReadOnlyList<string>? Events { get; init; }

    /// <summary><c>parallel</c> (default), <c>keyed</c> or <c>ordered</c>.</summary>
    public string? Mode { get; init; }

    /// <summary>For <c>keyed</c>: lanes are the messages' keys up to this character. Null: a lane is a channel.</summary>
    public string? KeySeparator { get; init; }

    /// <summary>For <c>ordered</c>: <c>block</c> (default), <c>deadLetter</c> or <c>pause</c>.</summary>
    public string? OnExhausted { get; init; }

    /// <summary>For people, at most 500 characters.</summary>
    public string? Description { get; init; }

    /// <summary>Headers to send along, at most 20. The server never shows their values again.</summary>
    public IReadOnlyDictionary<string, string>? Headers { get; init; }

    /// <summary>A limit on requests. Null: none.</summary>
    public WebhookRateLimit? RateLimit { get; init; }

    /// <summary>When a failed message is tried again. Null: over about three days, as the Standard Webhooks specification has it.</summary>
    public WebhookRetry? Retry { get; init; }

    /// <summary><c>json</c> (default), <c>cloudevents</c> or <c>cloudevents-binary</c>.</summary>
    public string? Format { get; init; }

    /// <summary><c>v1</c> (default), or <c>v1</c> and <c>v1a</c> for an Ed25519 signature too.</summary>
    public IReadOnlyList<string>? Signatures { get; init; }

    /// <summary>Whether the endpoint must agree by the handshake of CloudEvents before anything is sent. Default: false.</summary>
    public bool? Handshake { get; init; }

    /// <summary><c>now</c> (default), or <c>start</c>: with the oldest message kept.</summary>
    public string? From { get; init; }
}

/// <summary>A change of a subscription: what is null stays as it is.</summary>
public sealed record WebhookChange
{
    /// <summary>Where messages are sent.</summary>
    public string? Url { get; init; }

    /// <summary>The channels; new ones begin with now.</summary>
    public IReadOnlyList<string>? Channels { get; init; }

    /// <summary>The events; none: every message.</summary>
    public IReadOnlyList<string>? Events { get; init; }

    /// <summary><c>parallel</c>, <c>keyed</c> or <c>ordered</c>.</summary>
    public string? Mode { get; init; }

    /// <summary>For <c>keyed</c>.</summary>
    public string? KeySeparator { get; init; }

    /// <summary>For <c>ordered</c>.</summary>
    public string? OnExhausted { get; init; }

    /// <summary>For people.</summary>
    public string? Description { get; init; }

    /// <summary>Headers to set; those with null are taken away, and those not named stay.</summary>
    public IReadOnlyDictionary<string, string?>? Headers { get; init; }

    /// <summary>A limit on requests.</summary>
    public WebhookRateLimit? RateLimit { get; init; }

    /// <summary>When a failed message is tried again.</summary>
    public WebhookRetry? Retry { get; init; }

    /// <summary>The form of deliveries.</summary>
    public string? Format { get; init; }

    /// <summary>The signatures.</summary>
    public IReadOnlyList<string>? Signatures { get; init; }

    /// <summary>Whether the endpoint must agree by the handshake of CloudEvents.</summary>
    public bool? Handshake { get; init; }

    /// <summary>What goes back to its default, by the names of the HTTP API, such as <c>rateLimit</c>.</summary>
    [JsonIgnore]
    public IReadOnlyCollection<string> Reset { get; init; } = [];
}

/// <summary>A limit on requests.</summary>
/// <param name="PerSecond">The most requests per second, 0.01 to 10,000.</param>
public sealed record WebhookRateLimit(double PerSecond);

/// <summary>When a failed message is tried again.</summary>
/// <param name="Schedule">The delays before each attempt, in seconds: 1 to 32 of 0 to 259,200. The first attempt is always made at once.</param>
public sealed record WebhookRetry(IReadOnlyList<int> Schedule);

/// <summary>Where a subscription goes on, or a replay begins.</summary>
public sealed class WebhookStart
{
    private WebhookStart(string? named, DateTimeOffset? since, IReadOnlyDictionary<string, Position>? positions) =>
        (Named, SinceTime, Positions) = (named, since, positions);

    /// <summary>Where it stands: nothing is lost but what retention took. Only for enabling.</summary>
    public static WebhookStart Cursor { get; } = new("cursor", null, null);

    /// <summary>With the next message that is published. Not for a replay.</summary>
    public static WebhookStart Now { get; } = new("now", null, null);

    internal string? Named { get; }

    internal DateTimeOffset? SinceTime { get; }

    internal IReadOnlyDictionary<string, Position>? Positions { get; }

    /// <summary>With the first message that is not older.</summary>
    public static WebhookStart Since(DateTimeOffset time) => new(null, time, null);

    /// <summary>After these places, by channel; channels that are not named are left as they are.</summary>
    public static WebhookStart After(IReadOnlyDictionary<string, Position> positions) => new(null, null, positions);
}

/// <summary>Which attempts are wanted.</summary>
public sealed record WebhookAttemptFilter
{
    /// <summary>Only those that succeeded, or failed. Null: both.</summary>
    public bool? Succeeded { get; init; }

    /// <summary>Only those of one message.</summary>
    public string? MessageId { get; init; }

    /// <summary>Only those that began then or later.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Only those that began before.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>How many are fetched at once, 1 to 200. Default: 50.</summary>
    public int PageSize { get; init; } = 50;
}

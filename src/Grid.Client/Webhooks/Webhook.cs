using System.Text.Json.Serialization;
using Grid.Protocol;

namespace Grid.Client.Webhooks;

/// <summary>A webhook subscription, and how it fares.</summary>
public sealed record Webhook
{
    /// <summary>Its id, <c>wh_…</c>.</summary>
    public required string Id { get; init; }

    /// <summary>Its secret, <c>whsec_…</c>, only in the answer to its creation: it is never shown again.</summary>
    public string? Secret { get; init; }

    /// <summary><c>active</c>, <c>paused</c> or <c>disabled</c>.</summary>
    public required string Status { get; init; }

    /// <summary>Why it is disabled: <c>request</c>, <c>gone</c> (the endpoint answered 410) or <c>noSuccess</c> (for 5 days).</summary>
    public string? Reason { get; init; }

    /// <summary>Where messages are sent; null when they are polled for.</summary>
    public string? Url { get; init; }

    /// <summary>Its channels, or prefixes ending in <c>*</c>.</summary>
    public required IReadOnlyList<string> Channels { get; init; }

    /// <summary>Names of events, or prefixes ending in <c>*</c>; none: every message.</summary>
    public IReadOnlyList<string> Events { get; init; } = [];

    /// <summary><c>parallel</c>, <c>keyed</c> or <c>ordered</c>.</summary>
    public required string Mode { get; init; }

    /// <summary>For <c>keyed</c>; null: a lane is a channel.</summary>
    public string? KeySeparator { get; init; }

    /// <summary>For <c>ordered</c>: <c>block</c>, <c>deadLetter</c> or <c>pause</c>.</summary>
    public string? OnExhausted { get; init; }

    /// <summary>For people.</summary>
    public string? Description { get; init; }

    /// <summary>Headers that are sent along; their values are not shown.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>A limit on requests; null: none.</summary>
    public WebhookRateLimit? RateLimit { get; init; }

    /// <summary>Its own schedule of attempts; null: the server's.</summary>
    public WebhookRetry? Retry { get; init; }

    /// <summary><c>json</c>, <c>cloudevents</c> or <c>cloudevents-binary</c>.</summary>
    public required string Format { get; init; }

    /// <summary><c>v1</c>, or <c>v1</c> and <c>v1a</c>.</summary>
    public IReadOnlyList<string> Signatures { get; init; } = [];

    /// <summary>Its public key for <c>v1a</c>, <c>whpk_…</c>.</summary>
    public string? PublicKey { get; init; }

    /// <summary>Whether the endpoint must agree by the handshake of CloudEvents.</summary>
    public bool Handshake { get; init; }

    /// <summary>When it was made.</summary>
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>By channel: everything up to there is settled. Empty in lists.</summary>
    public IReadOnlyDictionary<string, Position> Cursors { get; init; } = new Dictionary<string, Position>();

    /// <summary>How far it is behind. In lists only a few channels are looked at, so that it can be more.</summary>
    public required WebhookLag Lag { get; init; }

    /// <summary>Requests on their way.</summary>
    public int InFlight { get; init; }

    /// <summary><c>closed</c>, <c>open</c> (the endpoint is taken for dead, and probed) or <c>held</c> (it asked to be left alone).</summary>
    public required string Circuit { get; init; }

    /// <summary>When the endpoint is tried again, while the circuit is open or held.</summary>
    public DateTimeOffset? RetryAt { get; init; }

    /// <summary>Messages that failed and wait for their next attempt.</summary>
    public int Parked { get; init; }

    /// <summary>The message that holds up what comes after it.</summary>
    public string? BlockedBy { get; init; }

    /// <summary>What retention took before it was delivered, newest first, at most 20. Empty in lists.</summary>
    public IReadOnlyList<WebhookTruncation> Truncated { get; init; } = [];

    /// <summary>The subscription without its secret, which does not belong into logs.</summary>
    public override string ToString() => $"{Id} {Status} {Url ?? "(polled)"}";
}

/// <summary>How far a subscription is behind.</summary>
/// <param name="Messages">Messages that are not settled; those that the events filter passes over are among them.</param>
/// <param name="Seconds">How old the oldest of them is; 0 when there is none.</param>
public sealed record WebhookLag(long Messages, double Seconds);

/// <summary>Messages that will never be delivered.</summary>
/// <param name="Channel">Their channel.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="From">The first offset.</param>
/// <param name="To">The last offset.</param>
/// <param name="Count">How many, at most.</param>
public sealed record WebhookTruncation(string Channel, string Epoch, long From, long To, long Count);

/// <summary>A request to an endpoint, and what became of it.</summary>
public sealed record WebhookAttempt
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>The message's id, the header <c>webhook-id</c>.</summary>
    public required string MessageId { get; init; }

    /// <summary>The message's channel; null for a test.</summary>
    public string? Channel { get; init; }

    /// <summary>The message's offset; null for a test.</summary>
    public long? Offset { get; init; }

    /// <summary>The number of the attempt, from 1.</summary>
    public int Attempt { get; init; }

    /// <summary>When it began.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>How long it took, in milliseconds.</summary>
    public int DurationMs { get; init; }

    /// <summary>The answer's status; null when there was none.</summary>
    public int? Status { get; init; }

    /// <summary>Whether it counts as delivered.</summary>
    public required bool Succeeded { get; init; }

    /// <summary>
    /// What went wrong: <c>dns</c>, <c>refusedAddress</c>, <c>connect</c>, <c>tls</c>, <c>timeout</c>, <c>reset</c>, <c>protocol</c>,
    /// <c>redirect</c>, <c>status</c>, <c>proxy</c> or <c>busy</c>; null: nothing.
    /// </summary>
    public string? Error { get; init; }

    /// <summary>The same for people.</summary>
    public string? Detail { get; init; }

    /// <summary>The beginning of the answer.</summary>
    public string? Response { get; init; }

    /// <summary>Whether the answer was longer than what is kept of it.</summary>
    public bool ResponseClipped { get; init; }
}

/// <summary>A message whose attempts are used up.</summary>
public sealed record WebhookDeadLetter
{
    /// <summary>The message's id.</summary>
    public required string MessageId { get; init; }

    /// <summary>Its channel.</summary>
    public required string Channel { get; init; }

    /// <summary>The channel's epoch.</summary>
    public required string Epoch { get; init; }

    /// <summary>Its offset.</summary>
    public required long Offset { get; init; }

    /// <summary>How many attempts it had.</summary>
    public int Attempts { get; init; }

    /// <summary>When the last one failed.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>How.</summary>
    public string? Failure { get; init; }
}

/// <summary>A replay.</summary>
public sealed record WebhookReplay
{
    /// <summary>Its id, <c>rp_…</c>.</summary>
    public required string Id { get; init; }

    /// <summary><c>running</c>, <c>done</c> or <c>cancelled</c>.</summary>
    public required string Status { get; init; }

    /// <summary>Messages delivered.</summary>
    public long Delivered { get; init; }

    /// <summary>Messages that failed at first; they are tried again like any other.</summary>
    public long Failed { get; init; }

    /// <summary>Offsets not yet settled.</summary>
    public long Remaining { get; init; }
}

/// <summary>A message that was handed out to who polls.</summary>
/// <param name="Lease">What to acknowledge it by.</param>
/// <param name="MessageId">Its id, the same each time it is handed out.</param>
/// <param name="Attempt">The how-manieth time it is handed out.</param>
/// <param name="Message">The message.</param>
public sealed record PolledMessage(string Lease, string MessageId, int Attempt, GridMessage Message);

/// <summary>A page of subscriptions.</summary>
internal sealed record WebhookPage(IReadOnlyList<Webhook> Webhooks, string? Next = null);

/// <summary>A page of attempts.</summary>
internal sealed record WebhookAttemptPage(IReadOnlyList<WebhookAttempt> Attempts, string? Next = null);

/// <summary>A page of dead letters.</summary>
internal sealed record WebhookDeadLetterPage(IReadOnlyList<WebhookDeadLetter> DeadLetters, string? Next = null);

/// <summary>How webhooks are read and written: without reflection, and without what is not set.</summary>
[JsonSourceGenerationOptions(
    System.Text.Json.JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(WebhookSettings))]
[JsonSerializable(typeof(WebhookChange))]
[JsonSerializable(typeof(Webhook))]
[JsonSerializable(typeof(WebhookPage))]
[JsonSerializable(typeof(WebhookAttempt))]
[JsonSerializable(typeof(WebhookAttemptPage))]
[JsonSerializable(typeof(WebhookDeadLetterPage))]
[JsonSerializable(typeof(WebhookReplay))]
internal sealed partial class WebhookJson : JsonSerializerContext;

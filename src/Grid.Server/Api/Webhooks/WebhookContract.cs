using System.ComponentModel;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Grid.Abstractions;

namespace Grid.Server.Api;

// The bodies of the webhook endpoints. Requests are read by hand: their types here are what the OpenAPI document shows.

/// <summary>Marks a body whose members are left out when there is nothing to say; only the others are required.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class SparseBodyAttribute : Attribute;

[SparseBody, Description("A webhook subscription to make.")]
internal sealed record NewWebhook(
    [property: Description("Where messages are sent: https, on a port that is allowed. Left out: messages are polled for.")] string? Url,
    [property: Description("1 to 100 channels, or prefixes ending in *.")] string[] Channels,
    [property: Description("Up to 100 names of events, or prefixes ending in *. None: every message.")] string[]? Events,
    [property: Description("parallel, keyed or ordered. Default: parallel.")] string? Mode,
    [property: Description("For keyed: lanes are the messages' keys up to this character. Left out: a lane is a channel.")] string? KeySeparator,
    [property: Description("For ordered: block, deadLetter or pause. Default: block.")] string? OnExhausted,
    [property: Description("For people, at most 500 characters.")] string? Description,
    [property: Description("Headers to send along, at most 20. Their values are never shown again.")] Dictionary<string, string>? Headers,
    [property: Description("The most requests per second. Left out: no limit.")] WebhookRate? RateLimit,
    [property: Description("When a failed message is tried again. Left out: the schedule of the Standard Webhooks specification.")] WebhookRetry? Retry,
    [property: Description("json, cloudevents or cloudevents-binary. Default: json.")] string? Format,
    [property: Description("v1, and v1a for an Ed25519 signature too. Default: v1.")] string[]? Signatures,
    [property: Description("Whether the endpoint must agree by the handshake of CloudEvents first. Default: false.")] bool? Handshake,
    [property: Description("now, or start: with the oldest message kept. Default: now.")] string? From);

[SparseBody, Description("What to change: members left out stay, null is the default (RFC 7396).")]
internal sealed record WebhookChange(
    [property: Description("Where messages are sent.")] string? Url,
    [property: Description("1 to 100 channels, or prefixes ending in *. New ones begin with now.")] string[]? Channels,
    [property: Description("Up to 100 names of events, or prefixes ending in *.")] string[]? Events,
    [property: Description("parallel, keyed or ordered.")] string? Mode,
    [property: Description("For keyed: what ends the part of a message's key that names its lane.")] string? KeySeparator,
    [property: Description("For ordered: block, deadLetter or pause.")] string? OnExhausted,
    [property: Description("For people.")] string? Description,
    [property: Description("Headers to set; those with null are taken away, those not named stay.")] Dictionary<string, string?>? Headers,
    [property: Description("The most requests per second.")] WebhookRate? RateLimit,
    [property: Description("When a failed message is tried again.")] WebhookRetry? Retry,
    [property: Description("json, cloudevents or cloudevents-binary.")] string? Format,
    [property: Description("v1, or v1 and v1a.")] string[]? Signatures,
    [property: Description("Whether the endpoint must agree by the handshake of CloudEvents.")] bool? Handshake);

[Description("A limit on requests.")]
internal sealed record WebhookRate([property: Description("0.01 to 10,000.")] double PerSecond);

[Description("A schedule of attempts.")]
internal sealed record WebhookRetry(
    [property: Description("The delays before each attempt, in seconds: 1 to 32 of 0 to 259,200. The first attempt is always made at once.")] int[] Schedule);

[SparseBody, Description("A webhook subscription.")]
internal sealed record WebhookItem
{
    [Description("Its id.")] public required string Id { get; init; }

    [Description("Its secret, whsec_…: only in the answer to its creation.")] public string? Secret { get; init; }

    [Description("active, paused or disabled.")] public required string Status { get; init; }

    [Description("Why it is disabled: request, gone or noSuccess.")] public string? Reason { get; init; }

    [Description("Where messages are sent; absent when they are polled for.")] public string? Url { get; init; }

    [Description("Channels, or prefixes ending in *.")] public required string[] Channels { get; init; }

    [Description("Names of events, or prefixes ending in *; none: every message.")] public required string[] Events { get; init; }

    [Description("parallel, keyed or ordered.")] public required string Mode { get; init; }

    [Description("For keyed.")] public string? KeySeparator { get; init; }

    [Description("For ordered: block, deadLetter or pause.")] public string? OnExhausted { get; init; }

    [Description("For people.")] public string? Description { get; init; }

    [Description("Headers that are sent along, without their values.")] public IReadOnlyDictionary<string, string>? Headers { get; init; }

    [Description("The most requests per second.")] public WebhookRate? RateLimit { get; init; }

    [Description("Its own schedule.")] public WebhookRetry? Retry { get; init; }

    [Description("json, cloudevents or cloudevents-binary.")] public required string Format { get; init; }

    [Description("v1, or v1 and v1a.")] public required string[] Signatures { get; init; }

    [Description("Its public key for v1a, whpk_….")] public string? PublicKey { get; init; }

    [Description("Whether the endpoint must agree by the handshake of CloudEvents.")] public bool Handshake { get; init; }

    [Description("When it was made (RFC 3339, in UTC).")] public DateTime CreatedAt { get; init; }

    [Description("By channel: everything up to there is settled. Of channels in which nothing waits, the last 1,000. Not in lists.")] public Dictionary<string, WebhookPosition>? Cursors { get; init; }

    [Description("How far it is behind. In lists only 4 channels are looked at, so that it can be more.")] public required WebhookLag Lag { get; init; }

    [Description("Requests on their way.")] public int InFlight { get; init; }

    [Description("closed; open: the endpoint is taken for dead and probed; held: it asked to be left alone.")] public required string Circuit { get; init; }

    [Description("When it is tried again, while the circuit is open or held.")] public DateTime? RetryAt { get; init; }

    [Description("Messages that failed and wait for their next attempt.")] public int Parked { get; init; }

    [Description("The message that holds up what comes after it.")] public string? BlockedBy { get; init; }

    [Description("What retention took before it was delivered, newest first, at most 20. Not in lists.")] public WebhookMissing[]? Truncated { get; init; }

    /// <summary>What is shown of a subscription; header values never are.</summary>
    /// <param name="webhook">The subscription.</param>
    /// <param name="secret">Its secret, to show it this once.</param>
    /// <param name="inList">Whether to leave out what can be long.</param>
    public static WebhookItem Of(WebhookDescription webhook, string? secret = null, bool inList = false)
    {
        var set = webhook.Definition;
        return new WebhookItem
        {
            Id = webhook.Id,
            Secret = secret,
            Status = webhook.Status,
            Reason = webhook.Reason,
            Url = set.Url,
            Channels = set.Channels,
            Events = set.Events,
            Mode = set.Mode,
            KeySeparator = set.KeySeparator,
            OnExhausted = set.Mode == WebhookRules.Ordered ? set.OnExhausted : null,
            Description = set.Description,
            Headers = set.Headers.Count == 0 ? null : WebhookRules.Redact(set.Headers),
            RateLimit = set.PerSecond is { } rate ? new WebhookRate(rate) : null,
            Retry = set.Schedule is { } schedule ? new WebhookRetry(schedule) : null,
            Format = set.Format,
            Signatures = set.Asymmetric ? ["v1", "v1a"] : ["v1"],
            PublicKey = webhook.PublicKey,
            Handshake = set.Handshake,
            CreatedAt = webhook.CreatedAt.UtcDateTime,
            Cursors = inList ? null : webhook.Cursors.ToDictionary(c => c.Key, c => new WebhookPosition(c.Value.Epoch, c.Value.Offset)),
            Lag = new WebhookLag(webhook.LagMessages, webhook.LagSeconds),
            InFlight = webhook.InFlight,
            Circuit = webhook.Circuit,
            RetryAt = webhook.RetryAt?.UtcDateTime,
            Parked = webhook.Parked,
            BlockedBy = webhook.BlockedBy,
            Truncated = inList || webhook.Truncated.Length == 0
                ? null
                : [.. webhook.Truncated.Select(t => new WebhookMissing(t.Channel, t.Epoch, t.From, t.To, t.Count))],
        };
    }
}

[Description("A place in a channel.")]
internal sealed record WebhookPosition(
    [property: Description("The channel's epoch.")] string Epoch, [property: Description("The offset.")] long Offset);

[Description("How far a subscription is behind.")]
internal sealed record WebhookLag(
    [property: Description("Messages that are not settled; those that the events filter passes over are among them.")] long Messages,
    [property: Description("How old the oldest of them is, in seconds; 0 when there is none.")] double Seconds);

[Description("Messages that will never be delivered.")]
internal sealed record WebhookMissing(
    [property: Description("Their channel.")] string Channel,
    [property: Description("Its epoch.")] string Epoch,
    [property: Description("The first offset.")] long From,
    [property: Description("The last offset.")] long To,
    [property: Description("How many, at most.")] long Count);

[SparseBody, Description("A page of subscriptions.")]
internal sealed record WebhookList(
    [property: Description("Subscriptions by id, without cursors.")] IReadOnlyList<WebhookItem> Webhooks,
    [property: Description("What `after` is for the next page; absent on the last.")] string? Next);

[Description("A secret.")]
internal sealed record WebhookSecretItem([property: Description("The new secret, whsec_…. It is never shown again.")] string Secret);

[SparseBody, Description("A request to an endpoint, and what became of it.")]
internal sealed record WebhookAttempt(
    [property: Description("Its id.")] string Id,
    [property: Description("The message's id, the header webhook-id.")] string MessageId,
    [property: Description("The message's channel; absent for a test.")] string? Channel,
    [property: Description("The message's offset; absent for a test.")] long? Offset,
    [property: Description("The number of the attempt, from 1.")] int Attempt,
    [property: Description("When it began (RFC 3339, in UTC).")] DateTime At,
    [property: Description("How long it took, in milliseconds.")] int DurationMs,
    [property: Description("The answer's status; absent when there was none.")] int? Status,
    [property: Description("Whether it counts as delivered.")] bool Succeeded,
    [property: Description("What went wrong: dns, refusedAddress, connect, tls, timeout, reset, protocol, redirect, status, proxy or busy.")] string? Error,
    [property: Description("The same for people.")] string? Detail,
    [property: Description("The beginning of the answer.")] string? Response,
    [property: Description("Whether the answer was longer than what is kept of it.")] bool ResponseClipped)
{
    public static WebhookAttempt Of(WebhookAttemptDescription a) => new(
        a.Id, a.MessageId, a.Channel, a.Channel is null ? null : a.Offset, a.Attempt, a.At.UtcDateTime, a.DurationMs, a.Status, a.Succeeded, a.Error,
        a.Detail, a.Response, a.ResponseClipped);
}

[SparseBody, Description("A page of attempts.")]
internal sealed record WebhookAttemptList(
    [property: Description("Attempts, newest first; there can be none though there is a next page.")] IReadOnlyList<WebhookAttempt> Attempts,
    [property: Description("What `before` is for the next page; absent on the last.")] string? Next);

[SparseBody, Description("A message whose attempts are used up.")]
internal sealed record WebhookDeadLetterItem(
    [property: Description("The message's id.")] string MessageId,
    [property: Description("Its channel.")] string Channel,
    [property: Description("The channel's epoch.")] string Epoch,
    [property: Description("Its offset.")] long Offset,
    [property: Description("How many attempts it had.")] int Attempts,
    [property: Description("When the last one failed (RFC 3339, in UTC).")] DateTime At,
    [property: Description("How.")] string? Failure)
{
    public static WebhookDeadLetterItem Of(WebhookDeadLetter d) => new(d.MessageId, d.Channel, d.Epoch, d.Offset, d.Attempts, d.At.UtcDateTime, d.Failure);
}

[SparseBody, Description("A page of dead letters.")]
internal sealed record WebhookDeadLetterList(
    [property: Description("Dead letters, newest first.")] IReadOnlyList<WebhookDeadLetterItem> DeadLetters,
    [property: Description("What `after` is for the next page; absent on the last.")] string? Next);

[Description("How many dead letters are on their way again.")]
internal sealed record WebhookRedriven([property: Description("How many.")] int Redriven);

[Description("A replay.")]
internal sealed record WebhookReplayItem(
    [property: Description("Its id.")] string Id,
    [property: Description("running, done or cancelled.")] string Status,
    [property: Description("Messages delivered.")] long Delivered,
    [property: Description("Messages that failed at first; they are tried again like any other.")] long Failed,
    [property: Description("Offsets not yet settled.")] long Remaining)
{
    public static WebhookReplayItem Of(WebhookReplay r) => new(r.Id, r.Status, r.Delivered, r.Failed, r.Remaining);
}

[SparseBody, Description("Messages handed out to who polls.")]
internal sealed record WebhookPolled([property: Description("The messages; none when nothing waits.")] WebhookPolledItem[] Messages);

[Description("A message handed out.")]
internal sealed record WebhookPolledItem(
    [property: Description("What to acknowledge it by.")] string Lease,
    [property: Description("The message's id, the same each time.")] string MessageId,
    [property: Description("The how-manieth time it is handed out.")] int Attempt,
    [property: Description("Its channel.")] string Channel,
    [property: Description("The channel's epoch.")] string Epoch,
    [property: Description("The message.")] StoredMessage Message);

[Description("How many messages were acknowledged.")]
internal sealed record WebhookAcked([property: Description("How many; those whose lease had passed are not among them.")] int Acknowledged);

// What the other requests have in their bodies.
[SparseBody, Description("How a secret is replaced.")]
internal sealed record WebhookRotation(
    [property: Description("How long the old secret signs as well, in seconds: 0 to 2,592,000 (30 days). Default: 86,400.")] int? OverlapSeconds);

[SparseBody, Description("From where to go on.")]
internal sealed record WebhookEnabling(
    [property: Description("cursor, now, {\"since\":\"RFC 3339\"} or {\"positions\":{…}}. Default: cursor.")] JsonElement? ResumeFrom);

[SparseBody, Description("Where to: exactly one member.")]
internal sealed record WebhookSeek(
    [property: Description("Places by channel: what comes after them is delivered.")] Dictionary<string, WebhookPosition>? Positions,
    [property: Description("With the first message that is not older (RFC 3339).")] DateTime? Since,
    [property: Description("now.")] string? Named);

[SparseBody, Description("From where to replay: exactly one of since and positions.")]
internal sealed record WebhookReplayRequest(
    [property: Description("With the first message that is not older (RFC 3339).")] DateTime? Since,
    [property: Description("Places by channel: what comes after them is delivered.")] Dictionary<string, WebhookPosition>? Positions,
    [property: Description("The most messages per second, 0.01 to 10,000. Left out: the server's choice.")] double? PerSecond);

[SparseBody, Description("Which dead letters.")]
internal sealed record WebhookRedrive([property: Description("Ids of 1 to 1,000 messages. Left out: all.")] string[]? Messages);

[SparseBody, Description("How many messages, and for how long.")]
internal sealed record WebhookPoll(
    [property: Description("The most messages, 1 to 256. Default: 10.")] int? Limit,
    [property: Description("After how long what is not acknowledged is handed out again, in seconds: 1 to 43,200. Default: 30.")] int? LeaseSeconds);

[SparseBody, Description("What became of messages that were handed out: at most 1,000.")]
internal sealed record WebhookAck(
    [property: Description("Leases of messages that are done.")] string[]? Acked,
    [property: Description("Leases of messages to hand out again now.")] string[]? Returned);

/// <summary>How the answers are written: what is not there is left out.</summary>
[JsonSerializable(typeof(WebhookItem))]
[JsonSerializable(typeof(WebhookList))]
[JsonSerializable(typeof(WebhookSecretItem))]
[JsonSerializable(typeof(WebhookAttempt))]
[JsonSerializable(typeof(WebhookAttemptList))]
[JsonSerializable(typeof(WebhookDeadLetterItem))]
[JsonSerializable(typeof(WebhookDeadLetterList))]
[JsonSerializable(typeof(WebhookRedriven))]
[JsonSerializable(typeof(WebhookReplayItem))]
[JsonSerializable(typeof(WebhookAcked))]
internal sealed partial class WebhookJson : JsonSerializerContext
{
    /// <summary>The one to use: URLs stay readable.</summary>
    public static WebhookJson Api { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

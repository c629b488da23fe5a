using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Grid.Server.Api;

// The bodies of the API. Some are written and read by hand, byte for byte; then the type here is what the OpenAPI document shows.

[Description("Asks for a client token.")]
internal sealed record TokenRequest(
    [property: Description("The user: 1 to 128 characters without control characters.")] string User,
    [property: Description("What the token allows: lists of subscribe, publish, history, presence by channel, or by prefix ending in *. At most 200 patterns, none beyond what the API key itself may do.")]
    Dictionary<string, string[]> Capabilities,
    [property: Description("How long the token is valid, in seconds: 1 to 2,592,000 (30 days). Default: 3600.")] int? TtlSeconds);

[Description("A client token.")]
internal sealed record TokenResponse(
    [property: Description("The token: a JWT, to be treated as opaque.")] string Token,
    [property: Description("When it expires (RFC 3339, in UTC).")] DateTime ExpiresAt);

[Description("A client token for the playground.")]
internal sealed record PlaygroundTokenResponse(
    [property: Description("The token.")] string Token,
    [property: Description("When it expires (RFC 3339, in UTC).")] DateTime ExpiresAt,
    [property: Description("The user that was made up for it.")] string User);

[Description("A message to publish: exactly one of data and data64.")]
internal sealed record PublishMessage(
    [property: Description("Any JSON value, at most 64 levels deep. Kept byte for byte.")] JsonElement Data,
    [property: Description("Opaque bytes in base64, instead of data.")] string? Data64,
    [property: Description("Idempotency key, 1 to 256 bytes of UTF-8: within the namespace's window the same key is stored once.")] string? Key,
    [property: Description("Kind of event, at most 128 characters.")] string? Event,
    [property: Description("Publish only if the channel's head is this offset.")] long? IfOffset);

[Description("Where a message is stored.")]
internal sealed record PublishedMessage(
    [property: Description("The channel's epoch.")] string Epoch,
    [property: Description("The message's offset; for a duplicate, that of the first.")] long Offset,
    [property: Description("Whether the key was seen before and nothing was stored now.")] bool Duplicate);

[Description("A stored message: exactly one of data and data64.")]
internal sealed record StoredMessage(
    [property: Description("The place in the channel.")] long Offset,
    [property: Description("When the channel accepted it, in Unix milliseconds.")] long At,
    [property: Description("The JSON value, byte for byte as it was published.")] JsonElement Data,
    [property: Description("Opaque bytes in base64.")] string? Data64,
    [property: Description("The publisher's idempotency key.")] string? Key,
    [property: Description("The kind of event.")] string? Event,
    [property: Description("The user who published; absent for an API key.")] string? From);

[Description("A run of stored messages. Ask again with after = the last offset until it reaches head.")]
internal sealed record HistoryPage(
    [property: Description("The channel's epoch.")] string Epoch,
    [property: Description("The oldest offset kept; head + 1 when none is.")] long Oldest,
    [property: Description("The last offset given; 0 for none.")] long Head,
    [property: Description("Messages by rising offset, without holes.")] StoredMessage[] Messages);

[Description("How far a channel reaches and who listens.")]
internal sealed record ChannelInfo(
    [property: Description("The channel.")] string Channel,
    [property: Description("Its epoch.")] string Epoch,
    [property: Description("The oldest offset kept; head + 1 when none is.")] long Oldest,
    [property: Description("The last offset given; 0 for none.")] long Head,
    [property: Description("How many subscriptions of connected sockets it has.")] long Subscribers);

[Description("The sessions of a user.")]
internal sealed record SessionList(
    [property: Description("Those with a socket first.")] IReadOnlyList<SessionItem> Sessions);

[Description("A session.")]
internal sealed record SessionItem(
    [property: Description("Its id.")] string Session,
    [property: Description("Its user.")] string User,
    [property: Description("Whether it has a socket now.")] bool Connected,
    [property: Description("The silo that holds the socket; null without one.")] string? Silo,
    [property: Description("Its channels.")] IReadOnlyList<string> Subscriptions);

[Description("An error, by RFC 9457.")]
internal sealed record ProblemBody(
    [property: Description("Always about:blank; code tells the errors apart.")] string Type,
    [property: Description("The status in words.")] string Title,
    [property: Description("The HTTP status.")] int Status,
    [property: Description("For a person; not to be parsed.")] string Detail,
    [property: Description("bad_frame, unauthorized, forbidden, not_subscribed, too_large, rate_limited, quota_exceeded, conflict, invalid_position, unavailable or internal.")] string Code);

/// <summary>How the bodies are written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(TokenResponse))]
[JsonSerializable(typeof(PlaygroundTokenResponse))]
[JsonSerializable(typeof(PublishedMessage))]
[JsonSerializable(typeof(ChannelInfo))]
[JsonSerializable(typeof(SessionList))]
internal sealed partial class ApiJson : JsonSerializerContext;

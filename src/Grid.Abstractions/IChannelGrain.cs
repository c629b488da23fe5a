using Grid.Protocol;

namespace Grid.Abstractions;

/// <summary>
/// One channel of one tenant: the sequencer that gives every message its offset. The key is <see cref="ChannelId.ToString"/>.
/// Your own grains may call it: <c>GrainFactory.GetChannel("default", "room:1")</c>.
/// </summary>
[Alias("grid.IChannelGrain")]
public interface IChannelGrain : IGrainWithStringKey
{
    /// <summary>
    /// Publishes messages in order. The task ends when they are stored as the namespace's durability says (for a durable one: on
    /// disk); the answers stand in the order of the drafts. Each draft succeeds or is refused by itself.
    /// </summary>
    /// <remarks>
    /// An exception, a timeout among them, leaves the outcome unknown: publish again with the same keys. Messages without a key
    /// could then be stored twice.
    /// </remarks>
    [Alias("publish"), ResponseTimeout(CallLimits.Channel)]
    Task<PublishReceipt[]> PublishAsync(PublishBatch batch);

    /// <summary>
    /// Reads stored messages after an offset, oldest first.
    /// </summary>
    /// <param name="after">The offset before the first one wanted; 0 for the oldest kept.</param>
    /// <param name="limit">The most messages to return, 1 to 1,000.</param>
    [Alias("read"), ResponseTimeout(CallLimits.Channel)]
    Task<ChannelPage> ReadAsync(long after, int limit);

    /// <summary>Tells epoch, oldest and last offset.</summary>
    [Alias("head"), ResponseTimeout(CallLimits.Channel)]
    Task<ChannelHead> GetHeadAsync();
}

/// <summary>Finds channels for your own grains.</summary>
public static class GridGrainFactoryExtensions
{
    /// <summary>The grain of a channel.</summary>
    /// <exception cref="ArgumentException">The tenant or the channel is outside its grammar.</exception>
    public static IChannelGrain GetChannel(this IGrainFactory grains, string tenant, string channel)
    {
        if (!TenantName.IsValid(tenant)) throw new ArgumentException($"'{tenant}' is no tenant name.", nameof(tenant));
        if (!ChannelName.IsValid(channel)) throw new ArgumentException($"'{channel}' is no channel name.", nameof(channel));
        return grains.GetGrain<IChannelGrain>(new ChannelId(tenant, channel).ToString());
    }

    /// <summary>The grain of a channel.</summary>
    public static IChannelGrain GetChannel(this IGrainFactory grains, ChannelId channel) => grains.GetGrain<IChannelGrain>(channel.ToString());
}

/// <summary>What is published in one call: one or more drafts of one publisher, in order.</summary>
[GenerateSerializer, Immutable, Alias("grid.PublishBatch")]
public sealed record PublishBatch
{
    /// <summary>The messages to be.</summary>
    [Id(0)] public required MessageDraft[] Drafts { get; init; }

    /// <summary>The user who publishes; null for a server.</summary>
    [Id(1)] public string? From { get; init; }

    /// <summary>A batch of one JSON message.</summary>
    public static PublishBatch Json(string json, string? key = null, string? eventName = null) =>
        new() { Drafts = [new MessageDraft { Data = System.Text.Encoding.UTF8.GetBytes(json), Key = key, Event = eventName }] };
}

/// <summary>A message before it has an offset.</summary>
[GenerateSerializer, Immutable, Alias("grid.MessageDraft")]
public sealed record MessageDraft
{
    /// <summary>JSON text in UTF-8 (one well-formed value), or opaque bytes.</summary>
    [Id(0)] public required ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>Whether <see cref="Data"/> is opaque bytes.</summary>
    [Id(1)] public bool IsBinary { get; init; }

    /// <summary>Idempotency key, at most <see cref="Message.MaxKeyBytes"/> bytes.</summary>
    [Id(2)] public string? Key { get; init; }

    /// <summary>Kind of event, at most <see cref="Message.MaxEventLength"/> characters.</summary>
    [Id(3)] public string? Event { get; init; }

    /// <summary>Publish only if the channel's head is this offset.</summary>
    [Id(4)] public long? IfOffset { get; init; }
}

/// <summary>What became of one draft.</summary>
/// <param name="Position">Where the message is stored; for a duplicate, where the first one is.</param>
/// <param name="Duplicate">Whether the key was seen before.</param>
/// <param name="Error">Why it was refused; null when it was not.</param>
/// <param name="RetryAfterMs">When to try again, in milliseconds, if that is known.</param>
[GenerateSerializer, Immutable, Alias("grid.PublishReceipt")]
public readonly record struct PublishReceipt(
    [property: Id(0)] Position Position,
    [property: Id(1)] bool Duplicate,
    [property: Id(2)] ErrorCode? Error = null,
    [property: Id(3)] long? RetryAfterMs = null)
{
    /// <summary>A refusal.</summary>
    public static PublishReceipt Refused(ErrorCode error, long? retryAfterMs = null) => new(default, false, error, retryAfterMs);
}

/// <summary>How far a channel reaches.</summary>
/// <param name="Epoch">The epoch of the offsets.</param>
/// <param name="Oldest">The oldest offset kept; <c>Head + 1</c> when none is.</param>
/// <param name="Head">The last offset given; 0 for none.</param>
[GenerateSerializer, Immutable, Alias("grid.ChannelHead")]
public readonly record struct ChannelHead(
    [property: Id(0)] string Epoch,
    [property: Id(1)] long Oldest,
    [property: Id(2)] long Head)
{
    /// <summary>The position of the last message.</summary>
    public Position Position => new(Epoch, Head);
}

/// <summary>A run of stored messages.</summary>
/// <param name="Head">How far the channel reached when it was read.</param>
/// <param name="Messages">Messages by rising offset without holes; they start at the offset asked for or at the oldest kept.</param>
[GenerateSerializer, Immutable, Alias("grid.ChannelPage")]
public sealed record ChannelPage([property: Id(0)] ChannelHead Head, [property: Id(1)] IReadOnlyList<Message> Messages);

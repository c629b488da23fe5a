namespace Grid.Protocol;

/// <summary>What the server sends: one WebSocket message.</summary>
public abstract record ServerFrame;

/// <summary>What became of the session that <c>hello</c> asked for.</summary>
public enum WelcomeState
{
    /// <summary>No resume was asked for.</summary>
    New,

    /// <summary>The session goes on; its subscriptions continue by themselves.</summary>
    Resumed,

    /// <summary>A resume was asked for, but the session is gone: this is a new one, without subscriptions.</summary>
    Expired,
}

/// <summary>Where a subscription stands when a session resumes.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">Its epoch now.</param>
/// <param name="Head">Its last offset now.</param>
/// <param name="Cursor">The first message delivered is <c>Cursor + 1</c>.</param>
public sealed record SubscriptionState(string Channel, string Epoch, long Head, long Cursor);

/// <summary>Answers <see cref="HelloFrame"/>.</summary>
public sealed record WelcomeFrame : ServerFrame
{
    /// <summary>The session's id.</summary>
    public required string Session { get; init; }

    /// <summary>Proves the right to resume the session. Keep it as secret as the client token.</summary>
    public required string ResumeToken { get; init; }

    /// <summary>New, resumed or expired.</summary>
    public required WelcomeState State { get; init; }

    /// <summary>How long the session outlives its socket, in milliseconds.</summary>
    public required long ResumeWindowMs { get; init; }

    /// <summary>How often the server pings an idle socket, in milliseconds; after two without a sign of life it closes.</summary>
    public required long HeartbeatMs { get; init; }

    /// <summary>The largest frame that the server reads, in bytes.</summary>
    public required int MaxFrameBytes { get; init; }

    /// <summary>The subscriptions of a resumed session; empty otherwise.</summary>
    public IReadOnlyList<SubscriptionState> Subscriptions { get; init; } = [];
}

/// <summary>Answers <see cref="AuthFrame"/>.</summary>
/// <param name="Id">The request's number.</param>
/// <param name="ExpiresAt">When the new token expires.</param>
public sealed record AuthorizedFrame(long? Id, DateTimeOffset ExpiresAt) : ServerFrame;

/// <summary>Answers <see cref="SubscribeFrame"/>.</summary>
/// <param name="Id">The request's number.</param>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Head">Its last offset.</param>
/// <param name="Cursor">The first message delivered is <c>Cursor + 1</c>.</param>
public sealed record SubscribedFrame(long? Id, string Channel, string Epoch, long Head, long Cursor) : ServerFrame;

/// <summary>Answers <see cref="UnsubscribeFrame"/>; no message of the channel follows.</summary>
/// <param name="Id">The request's number.</param>
/// <param name="Channel">The channel.</param>
public sealed record UnsubscribedFrame(long? Id, string Channel) : ServerFrame;

/// <summary>Answers <see cref="PublishFrame"/>: on a durable channel, the message is on disk.</summary>
/// <param name="Id">The request's number.</param>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">The channel's epoch.</param>
/// <param name="Offset">The message's offset; for a duplicate, that of the first.</param>
/// <param name="Duplicate">Whether the key was seen before, and nothing was stored now.</param>
public sealed record PublishedFrame(long? Id, string Channel, string Epoch, long Offset, bool Duplicate) : ServerFrame;

/// <summary>Delivers one message.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Message">The message.</param>
public sealed record MessageFrame(string Channel, Message Message) : ServerFrame;

/// <summary>Why messages will never be delivered.</summary>
public enum GapReason
{
    /// <summary>The namespace's retention took them before the consumer read them.</summary>
    Retention,

    /// <summary>The channel has a new epoch; <see cref="GapFrame.From"/> to <see cref="GapFrame.To"/> are offsets of it.</summary>
    Epoch,

    /// <summary>The namespace's slow-consumer policy skipped them.</summary>
    Dropped,
}

/// <summary>Says that offsets will never be delivered. After it, the consumer's cursor is <c>(Epoch, To)</c>.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">The epoch of the offsets, and of what follows.</param>
/// <param name="From">The first offset missing.</param>
/// <param name="To">The last offset missing; <c>From - 1</c> when a new epoch misses none.</param>
/// <param name="Reason">Why.</param>
public sealed record GapFrame(string Channel, string Epoch, long From, long To, GapReason Reason) : ServerFrame;

/// <summary>Refuses a request, or tells of a fault that belongs to none.</summary>
/// <param name="Id">The request's number, if it had one that could be read.</param>
/// <param name="Code">Why.</param>
/// <param name="Message">For a person; not to be parsed.</param>
/// <param name="RetryAfterMs">When trying again makes sense, in milliseconds; null when it does not or is unknown.</param>
public sealed record ErrorFrame(long? Id, ErrorCode Code, string Message, long? RetryAfterMs = null) : ServerFrame;

/// <summary>Asks the client to reconnect elsewhere; the server closes the socket some time after.</summary>
/// <param name="Reason">Why, for example <c>drain</c>.</param>
/// <param name="ReconnectInMs">How long to wait before reconnecting, in milliseconds, so that not all come at once.</param>
public sealed record GoAwayFrame(string Reason, long ReconnectInMs) : ServerFrame;

/// <summary>Answers <see cref="PingFrame"/>.</summary>
public sealed record PongFrame : ServerFrame
{
    /// <summary>The one instance.</summary>
    public static PongFrame Instance { get; } = new();
}

using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Relay;

/// <summary>How a subscription gets its messages.</summary>
internal enum SubscriptionMode
{
    /// <summary>Joined, but not started: nothing is delivered yet.</summary>
    Paused,

    /// <summary>Messages are delivered as they come.</summary>
    Live,

    /// <summary>It reads from the ring or the log at the pace of its socket.</summary>
    Behind,

    /// <summary>It has left.</summary>
    Left,
}

/// <summary>
/// One consumer's cursor into one channel. All of it is guarded by the channel's lock; while it is <see cref="SubscriptionMode.Behind"/>
/// only its consumer's catch-up moves the cursor.
/// </summary>
internal sealed class Subscription(LocalChannel channel, IConsumer consumer, Position cursor)
{
    /// <summary>The channel.</summary>
    public LocalChannel Channel => channel;

    /// <summary>The channel's id.</summary>
    public ChannelId Id => channel.Id;

    /// <summary>Who consumes.</summary>
    public IConsumer Consumer => consumer;

    /// <summary>The last message handed to the consumer's socket, or announced as a gap.</summary>
    public Position Cursor { get; set; } = cursor;

    /// <summary>The last message that the client said it has finished with.</summary>
    public Position Acked { get; set; } = cursor;

    /// <summary>
    /// Up to where an ack may still mean the epoch before, since acks name none and may cross the gap that announces a new one.
    /// </summary>
    public long OldEpochUpTo { get; set; }

    /// <summary>
    /// A gap from <paramref name="cursor"/> on is announced before anything is delivered. Until the client has answered something
    /// behind it, the session stays where it was: the announcement may get lost with the socket, and must then come again.
    /// </summary>
    public void AnnouncedFrom(Position cursor)
    {
        Acked = cursor;
        if (cursor.Epoch != Cursor.Epoch) OldEpochUpTo = cursor.Offset;
    }

    /// <summary>How it gets its messages.</summary>
    public SubscriptionMode Mode { get; set; }

    /// <summary>Whether it fell behind while live: only then the namespace's slow-consumer policy acts.</summary>
    public bool FellBehind { get; set; }

    /// <summary>Its place in the channel's list, for removal without a search.</summary>
    public int Index { get; set; }
}

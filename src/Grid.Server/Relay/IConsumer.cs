using System.Buffers;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Relay;

/// <summary>
/// How a kind of consumer wants its bytes: a WebSocket codec with frame headers, or Server-Sent Events. One instance serves all
/// consumers of its kind, so that a message is encoded once for each kind and not for each consumer.
/// </summary>
internal interface IDeliveryEncoder
{
    /// <summary>Writes one message, complete as it goes to the socket.</summary>
    void EncodeMessage(ChannelId channel, string epoch, Message message, IBufferWriter<byte> output);

    /// <summary>Writes a gap, complete as it goes to the socket.</summary>
    void EncodeGap(GapFrame gap, IBufferWriter<byte> output);
}

/// <summary>Something local that messages are delivered to: a client's connection or an event stream.</summary>
internal interface IConsumer
{
    /// <summary>How it wants its bytes.</summary>
    IDeliveryEncoder Encoder { get; }

    /// <summary>
    /// Takes bytes for its socket if there is room for them, without waiting. False: there is none, and nothing was taken.
    /// <paramref name="bytes"/> never change afterwards. Called with the channel's lock held.
    /// </summary>
    bool TryDeliver(ReadOnlyMemory<byte> bytes);

    /// <summary>How many more bytes there is room for at this moment.</summary>
    int Room { get; }

    /// <summary>Whether it takes nothing more and its subscriptions are about to leave.</summary>
    bool IsEnding { get; }

    /// <summary>
    /// A subscription has more to deliver than there was room for, or starts in the past: call
    /// <see cref="LocalChannel.CatchUpAsync"/> when there is room. Must not wait: called with the channel's lock held.
    /// </summary>
    void OnBehind(Subscription subscription);

    /// <summary>The namespace's policy ends consumers that cannot keep up. Must not wait.</summary>
    void OnTooSlow(Subscription subscription);
}

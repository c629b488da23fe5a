using Grid.Protocol;
using Orleans.Services;

namespace Grid.Abstractions;

/// <summary>
/// What one silo asks of another's relay: the consumer of channels for all sockets of that silo. Addressed by silo, so a batch
/// crosses the wire once per silo, not once per subscriber.
/// </summary>
[Alias("grid.ISiloRelay")]
public interface ISiloRelay : IGrainService
{
    /// <summary>
    /// Hands over messages of a channel. Safe to repeat and to reorder: the relay goes by offsets, and reads what it lacks from the
    /// log before it delivers anything later. The task ends when local subscribers have been served or have fallen back to the log.
    /// </summary>
    [Alias("deliver"), ResponseTimeout(CallLimits.Delivery)]
    Task<DeliverAck> DeliverAsync(DeliverBatch batch);

    /// <summary>Tells whether this silo wants a channel's messages, and from where on. Asked by a channel that just woke up.</summary>
    [Alias("interest"), ResponseTimeout(CallLimits.Question)]
    Task<DeliverAck> GetInterestAsync(ChannelId channel);

    /// <summary>How many subscriptions this silo's sockets have to a channel.</summary>
    [Alias("count"), ResponseTimeout(CallLimits.Question)]
    Task<long> CountSubscribersAsync(ChannelId channel);

    /// <summary>
    /// Closes this silo's socket of a session if its generation is below <paramref name="generation"/>. Tells whether there was one.
    /// </summary>
    [Alias("fence"), ResponseTimeout(CallLimits.Question)]
    Task<bool> FenceAsync(string tenant, string session, long generation, CloseCode code);

    /// <summary>Whether a socket of the session with this generation lives here; 0: of any generation.</summary>
    [Alias("holds"), ResponseTimeout(CallLimits.Question)]
    Task<bool> HoldsAsync(string tenant, string session, long generation);

    /// <summary>The sessions of a user that have a socket here.</summary>
    [Alias("sessions"), ResponseTimeout(CallLimits.Question)]
    Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit);

    /// <summary>Ends when every publish that this silo had begun by now is answered to its caller.</summary>
    [Alias("publishes"), ResponseTimeout(CallLimits.Publishes)]
    Task WaitForPublishesAsync();
}

/// <summary>Messages of one channel on their way to one silo.</summary>
[GenerateSerializer, Immutable, Alias("grid.DeliverBatch")]
public sealed class DeliverBatch
{
    /// <summary>The channel.</summary>
    [Id(0)] public required ChannelId Channel { get; init; }

    /// <summary>The channel's head when the batch was made. The messages may end before it; a relay then reads on from the log.</summary>
    [Id(1)] public required ChannelHead Head { get; init; }

    /// <summary>Messages by rising offset without holes; empty when the sender no longer holds what the silo lacks.</summary>
    [Id(2)] public required Message[] Messages { get; init; }
}

/// <summary>How far a silo is with a channel.</summary>
/// <param name="Interested">Whether it has subscribers; if not, the sender stops.</param>
/// <param name="Have">The last message that its subscribers were served.</param>
[GenerateSerializer, Immutable, Alias("grid.DeliverAck")]
public readonly record struct DeliverAck([property: Id(0)] bool Interested, [property: Id(1)] Position Have);

/// <summary>A session with a socket on a silo.</summary>
/// <param name="Session">The session.</param>
/// <param name="User">Its user.</param>
/// <param name="Channels">Its channels.</param>
[GenerateSerializer, Immutable, Alias("grid.ConnectedSession")]
public sealed record ConnectedSession(
    [property: Id(0)] string Session, [property: Id(1)] string User, [property: Id(2)] string[] Channels);

/// <summary>The part of a channel's grain that silos call, apart from what your own grains call.</summary>
[Alias("grid.IChannelFeedGrain")]
public interface IChannelFeedGrain : IGrainWithStringKey
{
    /// <summary>
    /// A silo has subscribers and wants every message after the head returned. Repeating it is harmless and moves nothing back.
    /// </summary>
    [Alias("attach"), ResponseTimeout(CallLimits.Channel)]
    Task<ChannelHead> AttachSiloAsync(SiloAddress silo);
}

/// <summary>
/// This activation of the channel was overtaken by another; nothing of the call was stored, so it is safe to call again.
/// </summary>
[GenerateSerializer, Alias("grid.ChannelMovedException")]
public sealed class ChannelMovedException : Exception
{
    /// <summary>Makes one.</summary>
    public ChannelMovedException()
        : base("The channel has moved to another activation. Nothing was stored; call again.")
    {
    }

    /// <summary>Makes one with a message.</summary>
    public ChannelMovedException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one with a message and a cause.</summary>
    public ChannelMovedException(string message, Exception? inner)
        : base(message, inner)
    {
    }
}

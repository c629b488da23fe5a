using Grid.Abstractions;

namespace Grid.Server.Api;

/// <summary>How the API publishes: one call for a whole request.</summary>
internal interface IChannelPublisher
{
    /// <summary>Publishes drafts in order; the answers stand in the order of the drafts.</summary>
    ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch);
}

/// <summary>Publishes by the channel's grain.</summary>
internal sealed class GrainChannelPublisher(IGrainFactory grains) : IChannelPublisher
{
    /// <inheritdoc/>
    public ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch) => new(grains.GetChannel(channel).PublishAsync(batch));
}

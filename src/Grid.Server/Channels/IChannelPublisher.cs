using Grid.Abstractions;

namespace Grid.Server.Channels;

/// <summary>How the edges publish: one call for all drafts of a request.</summary>
internal interface IChannelPublisher
{
    /// <summary>Publishes drafts in order; the answers stand in the order of the drafts.</summary>
    ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch);
}

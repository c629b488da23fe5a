using Grid.Abstractions;

namespace Grid.Server.Api;

/// <summary>How the API publishes: one call for a whole request.</summary>
internal interface IChannelPublisher
{
    /// <summary>Publishes drafts in order; the answers stand in the order of the drafts.</summary>
    ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch);
}

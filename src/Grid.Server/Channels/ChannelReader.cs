using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;

namespace Grid.Server.Channels;

/// <inheritdoc/>
internal sealed class ChannelReader(IGrainFactory grains, MessageLogs logs, NamespacePolicies policies) : IChannelReader
{
    public async ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default) =>
        IsDurable(channel)
            ? await logs.Durable.ReadAsync(channel, after, maxMessages, maxBytes, cancellationToken)
            : await grains.GetChannel(channel).ReadAsync(after, maxMessages);

    public async ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        IsDurable(channel)
            ? await logs.Durable.GetHeadAsync(channel, cancellationToken)
            : await grains.GetChannel(channel).GetHeadAsync();

    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default) =>
        logs.Durable.GetHeadsAsync(channels, cancellationToken);

    public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken = default) =>
        logs.Durable.RenewAsync(channel, reached, cancellationToken);

    private bool IsDurable(ChannelId channel) => policies.For(channel.Name).Durability == Durability.Durable;
}

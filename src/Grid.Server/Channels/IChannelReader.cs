using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Channels;

/// <summary>
/// Reads channels wherever they are kept: durable ones straight from the log, ephemeral ones through their grain, whose silo holds
/// the messages.
/// </summary>
public interface IChannelReader
{
    /// <summary>Reads messages after an offset, oldest first; see <see cref="Log.IMessageLog.ReadAsync"/>.</summary>
    ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default);

    /// <summary>Tells how far a channel reaches.</summary>
    ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default);

    /// <summary>Says how far a durable channel was seen to reach, in case its log does no longer; see <see cref="Log.IMessageLog.RenewAsync"/>.</summary>
    ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken = default);

    /// <summary>Tells how far many durable channels reach, in the order asked, in one round trip.</summary>
    ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default);
}

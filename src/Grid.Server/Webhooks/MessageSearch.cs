using Grid.Abstractions;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks;

/// <summary>Finds a message by its place.</summary>
internal static class MessageSearch
{
    /// <summary>The message; null when retention took it, or its channel began anew.</summary>
    public static async ValueTask<Message?> FindAsync(
        IMessageLog log, string tenant, MessageRef message, CancellationToken cancellationToken = default)
    {
        var page = await log.ReadAsync(new ChannelId(tenant, message.Channel), message.Offset - 1, 1, cancellationToken: cancellationToken);
        return page.Head.Epoch == message.Epoch && page.Messages is [var found, ..] && found.Offset == message.Offset ? found : null;
    }
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.Server.Webhooks;

/// <summary>
/// Finds the place of a time in a channel: by halving, since times never fall within an epoch. Reads one message for each step, some
/// twenty for a million.
/// </summary>
internal static class PositionSearch
{
    /// <summary>How often the search begins anew when the channel begins anew under it.</summary>
    private const int MaxEpochs = 3;

    /// <summary>
    /// The place before the first message that is not older than a time; the head, when all are. What retention took counts as older.
    /// </summary>
    public static async ValueTask<Position> BeforeAsync(
        IMessageLog log, ChannelId channel, DateTimeOffset since, CancellationToken cancellationToken = default)
    {
        // Times of messages are whole milliseconds: of a time between two of them, the later one is meant.
        var at = since.ToUnixTimeMilliseconds() + (since.Ticks % TimeSpan.TicksPerMillisecond > 0 ? 1 : 0);
        for (var epochs = 1; ; epochs++)
        {
            var head = await log.GetHeadAsync(channel, cancellationToken);
            if (await SearchAsync(log, channel, head, at, cancellationToken) is { } offset) return new Position(head.Epoch, offset);
            if (epochs == MaxEpochs) return (await log.GetHeadAsync(channel, cancellationToken)).Position;
        }
    }

    /// <summary>Null: the channel has another epoch by now.</summary>
    private static async ValueTask<long?> SearchAsync(
        IMessageLog log, ChannelId channel, ChannelHead head, long at, CancellationToken cancellationToken)
    {
        // Everything up to `older` is older; everything from `from` on is not, as far as it was there at the beginning.
        var (older, from) = (Math.Max(0, head.Oldest - 1), head.Head + 1);
        while (older + 1 < from)
        {
            var middle = older + ((from - older) / 2);
            var page = await log.ReadAsync(channel, middle - 1, 1, maxBytes: 1, cancellationToken);
            if (page.Head.Epoch != head.Epoch) return null;
            if (page.Messages is not [var message, ..]) return from - 1;

            // Retention took the middle meanwhile, and all before what is left.
            if (message.Offset > middle && (message.Offset >= from || message.At >= at)) return message.Offset - 1;
            if (message.At < at) older = message.Offset;
            else from = middle;
        }

        return older;
    }
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Relay;

namespace Grid.Server.Gateway;

/// <summary>Where a subscription starts.</summary>
/// <param name="Cursor">The place before the first message; null when it was refused.</param>
/// <param name="Follows">A gap to announce before the first message.</param>
/// <param name="Error">Why it was refused.</param>
internal readonly record struct StartResolution(Position? Cursor, GapFrame? Follows, ErrorCode? Error);

/// <summary>Turns what a client asks for into a place in the channel as it is. No I/O.</summary>
internal static class StartResolver
{
    /// <summary>Resolves a subscribe.</summary>
    public static StartResolution Subscribe(string channel, StartPoint from, ChannelHead head, bool seesHistory)
    {
        if (from.Kind == StartKind.Now || (from.Kind == StartKind.Position && from.Position == head.Position))
            return new(head.Position, null, null);
        if (!seesHistory) return new(null, null, ErrorCode.Forbidden);
        var oldest = new Position(head.Epoch, head.Oldest - 1);
        switch (from.Kind)
        {
            case StartKind.Start:
                return new(oldest, null, null);
            case StartKind.Last:
                return new(new Position(head.Epoch, Math.Max(head.Oldest - 1, head.Head - from.Count)), null, null);
            default:
                if (from.Position.Epoch == head.Epoch && from.Position.Offset > head.Head) return new(null, null, ErrorCode.InvalidPosition);
                var (start, gap) = After(channel, from.Position, head);
                return new(start, gap, null);
        }
    }

    /// <summary>
    /// Resolves a resumed subscription. A cursor beyond the head (only a client can claim one) starts at the head, and is answered.
    /// </summary>
    public static (Position Cursor, ServerFrame? Follows) Resume(string channel, Position cursor, ChannelHead head)
    {
        if (cursor.Epoch == head.Epoch && cursor.Offset > head.Head)
        {
            return (head.Position, new ErrorFrame(
                null, ErrorCode.InvalidPosition, $"{channel} reaches only to {head.Head}; the subscription goes on from there."));
        }

        return After(channel, cursor, head);
    }

    /// <summary>Resolves a resumed subscription that may not read what it missed: at the head, and says so.</summary>
    public static (Position Cursor, ServerFrame? Follows) Skip(string channel, Position cursor, ChannelHead head)
    {
        if (cursor.Epoch != head.Epoch) return (head.Position, new GapFrame(channel, head.Epoch, 1, head.Head, GapReason.Epoch));
        return (head.Position, cursor.Offset < head.Head
            ? new GapFrame(channel, head.Epoch, cursor.Offset + 1, head.Head, GapReason.Dropped) : null);
    }

    private static (Position Cursor, GapFrame? Gap) After(string channel, Position wanted, ChannelHead head)
    {
        var oldest = new Position(head.Epoch, head.Oldest - 1);
        if (wanted.Epoch != head.Epoch) return (oldest, RelayCursor.EpochGap(channel, head));
        return wanted.Offset < oldest.Offset
            ? (oldest, new GapFrame(channel, head.Epoch, wanted.Offset + 1, oldest.Offset, GapReason.Retention))
            : (wanted, null);
    }
}

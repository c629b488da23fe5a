using Grid.Protocol;

namespace Grid.Client;

/// <summary>What to do with something that arrived for a subscription.</summary>
internal enum Arrival
{
    /// <summary>New and in order: hand it on.</summary>
    Deliver,

    /// <summary>Seen before: drop it.</summary>
    Duplicate,

    /// <summary>Something before it is missing and was not announced: read again from the cursor.</summary>
    Hole,
}

/// <summary>
/// Where one subscription stands. Two positions: <see cref="Received"/>, the last that was taken in from the wire, against which
/// repeats and holes are told; and <see cref="Processed"/>, the last that the application finished with, which is the cursor that
/// acks, resumes and exports carry. What lies between waits in memory. Not thread-safe; no I/O, no clock.
/// </summary>
internal sealed class CursorTracker
{
    /// <summary>The last position taken in; null before the first answer of the server.</summary>
    public Position? Received { get; private set; }

    /// <summary>The last position that the application finished with; null before the first answer of the server.</summary>
    public Position? Processed { get; private set; }

    /// <summary>Whether nothing taken in still waits for the application.</summary>
    public bool IsDrained => Received == Processed;

    /// <summary>Sets both positions, before anything was delivered.</summary>
    public void Start(Position cursor) => Received = Processed = cursor;

    /// <summary>
    /// The server said where it goes on: <c>subscribed</c>, or an entry of <c>welcome.subscriptions</c>; the first message will be the
    /// one after <paramref name="server"/>. Without an own position that one is taken. A lower cursor of the same epoch only brings
    /// repeats. A higher one, or another epoch, is a gap, which is made here and not awaited: the socket could be lost before the
    /// server's own gap frame, which then says nothing new, arrives.
    /// </summary>
    public GapFrame? Resumed(string channel, Position server)
    {
        if (Received is not { } own)
        {
            Start(server);
            return null;
        }

        if (own.Epoch == server.Epoch && server.Offset <= own.Offset) return null;
        Received = server;
        return own.Epoch == server.Epoch
            ? new GapFrame(channel, server.Epoch, own.Offset + 1, server.Offset, GapReason.Retention)
            : new GapFrame(channel, server.Epoch, 1, server.Offset, GapReason.Epoch);
    }

    /// <summary>Whether a message at <paramref name="offset"/> would be delivered; changes nothing.</summary>
    public bool IsNext(long offset) => Received is { } own && offset == own.Offset + 1;

    /// <summary>A message arrived. <see cref="Arrival.Deliver"/> has moved <see cref="Received"/>.</summary>
    public Arrival Message(long offset)
    {
        if (Received is not { } own || offset <= own.Offset) return Arrival.Duplicate;
        if (offset > own.Offset + 1) return Arrival.Hole;
        Received = own with { Offset = offset };
        return Arrival.Deliver;
    }

    /// <summary>
    /// A gap arrived. <see cref="Arrival.Deliver"/> has moved <see cref="Received"/> to its end and made <paramref name="gap"/> start
    /// where the own position ends.
    /// </summary>
    public Arrival Gap(ref GapFrame gap)
    {
        if (Received is not { } own) return Arrival.Duplicate;
        if (gap.Epoch == own.Epoch)
        {
            if (gap.To <= own.Offset) return Arrival.Duplicate;
            if (gap.From > own.Offset + 1) return Arrival.Hole;
            gap = gap with { From = own.Offset + 1 };
        }

        Received = new Position(gap.Epoch, gap.To);
        return Arrival.Deliver;
    }

    /// <summary>The application finished with everything up to <paramref name="position"/>, which was taken in before.</summary>
    public void Complete(Position position) => Processed = position;

    /// <summary>
    /// The offset to acknowledge on a connection; null when there is none. An ack names no epoch, so an offset of an older epoch
    /// than the connection's must not be sent.
    /// </summary>
    public long? AckOffset => Received is { } own && Processed is { } done && own.Epoch == done.Epoch ? done.Offset : null;
}

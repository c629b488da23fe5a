namespace Grid.Protocol;

/// <summary>
/// A place in a channel. Offsets of one epoch start at 1 and rise by exactly 1; offset 0 is the place before the first message.
/// Positions of different epochs cannot be compared.
/// </summary>
/// <param name="Epoch">Opaque; changes only when offsets can no longer be compared with older ones.</param>
/// <param name="Offset">The offset of the last message at or before this place.</param>
public readonly record struct Position(string Epoch, long Offset)
{
    /// <summary>The longest epoch accepted, in characters.</summary>
    public const int MaxEpochLength = 64;

    /// <summary>The form used as a Server-Sent Events id: <c>epoch:offset</c>.</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Epoch}:{Offset}");

    /// <summary>Reads the form of <see cref="ToString"/>.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Position position)
    {
        position = default;
        var colon = text.LastIndexOf(':');
        if (colon is <= 0 or > MaxEpochLength) return false;
        if (!long.TryParse(
                text[(colon + 1)..], System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var offset))
            return false;
        position = new Position(text[..colon].ToString(), offset);
        return true;
    }
}

/// <summary>Where a subscription starts.</summary>
public enum StartKind
{
    /// <summary>With the first message after the subscription.</summary>
    Now,

    /// <summary>With the oldest message kept.</summary>
    Start,

    /// <summary>After a position that the client names.</summary>
    Position,

    /// <summary>With the last <see cref="StartPoint.Count"/> messages.</summary>
    Last,
}

/// <summary>Where a subscription starts: now, at the start, after a position, or with the last N messages.</summary>
public readonly record struct StartPoint
{
    private StartPoint(StartKind kind, Position position, int count) => (Kind, Position, Count) = (kind, position, count);

    /// <summary>Which of the four forms this is.</summary>
    public StartKind Kind { get; }

    /// <summary>The place after which to start; meaningful for <see cref="StartKind.Position"/>.</summary>
    public Position Position { get; }

    /// <summary>How many messages before the head to include; meaningful for <see cref="StartKind.Last"/>.</summary>
    public int Count { get; }

    /// <summary>From the first message after the subscription: the default.</summary>
    public static StartPoint Now => default;

    /// <summary>From the oldest message kept.</summary>
    public static StartPoint Start => new(StartKind.Start, default, 0);

    /// <summary>From the message after <paramref name="position"/>.</summary>
    public static StartPoint After(Position position) => new(StartKind.Position, position, 0);

    /// <summary>From <paramref name="count"/> messages before the head.</summary>
    public static StartPoint Last(int count) => new(StartKind.Last, default, count);
}

namespace Grid.Client;

/// <summary>
/// Decides when acks are sent: after <see cref="MaxMessages"/> messages finished or <see cref="MaxDelay"/> after the first of them.
/// Acks are cumulative, so one frame per batch says it all. Not thread-safe; no clock.
/// </summary>
internal sealed class AckBatcher
{
    /// <summary>How many finished messages make an ack due.</summary>
    public const int MaxMessages = 64;

    /// <summary>How long a finished message waits for its ack at most.</summary>
    public static readonly TimeSpan MaxDelay = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, CursorTracker> _dirty = new(StringComparer.Ordinal);
    private int _finished;
    private TimeSpan _firstAt;

    /// <summary>When the pending acks are due; null when there are none.</summary>
    public TimeSpan? DueAt => _dirty.Count == 0 ? null : _finished >= MaxMessages ? TimeSpan.Zero : _firstAt + MaxDelay;

    /// <summary>A message of <paramref name="channel"/> was finished with.</summary>
    public void Finished(string channel, CursorTracker cursors, TimeSpan now)
    {
        if (_dirty.Count == 0) _firstAt = now;
        _dirty[channel] = cursors;
        _finished++;
    }

    /// <summary>Whether pending acks are due at <paramref name="now"/>.</summary>
    public bool IsDue(TimeSpan now) => DueAt is { } due && due <= now;

    /// <summary>Makes what is pending due now.</summary>
    public void Hurry() => _finished = MaxMessages;

    /// <summary>Forgets a channel whose subscription ended.</summary>
    public void Forget(string channel) => _dirty.Remove(channel);

    /// <summary>
    /// Moves the offsets to acknowledge into <paramref name="cursors"/>, as many as fit into about <paramref name="maxBytes"/> bytes of
    /// frame; the rest stays due.
    /// </summary>
    public void Take(Dictionary<string, long> cursors, int maxBytes)
    {
        var bytes = 0;
        foreach (var (channel, tracker) in _dirty)
        {
            var size = channel.Length + FrameSize.AckOverhead;
            if (bytes > 0 && bytes + size > maxBytes) break;
            bytes += size;
            _dirty.Remove(channel);
            if (tracker.AckOffset is { } offset) cursors.Add(channel, offset);
        }

        if (_dirty.Count == 0) _finished = 0;
    }

    /// <summary>Forgets what is pending: a new connection's <c>hello</c> carries the cursors.</summary>
    public void Clear()
    {
        _dirty.Clear();
        _finished = 0;
    }
}

/// <summary>Upper bounds for the parts of a frame, to keep what the client composes below the server's <c>maxFrameBytes</c>.</summary>
internal static class FrameSize
{
    /// <summary>Quotes, colon, comma and 19 digits around a channel in an ack.</summary>
    public const int AckOverhead = 24;

    /// <summary>Names, quotes and digits around a channel and an epoch in <c>resume.cursors</c>.</summary>
    public const int CursorOverhead = 56;

    /// <summary>The most bytes that one character takes in JSON: <c>\u0000</c>.</summary>
    public const int EscapedChar = 6;

    /// <summary>The limit assumed before the first <c>welcome</c> says it.</summary>
    public const int DefaultMax = 65_536;
}

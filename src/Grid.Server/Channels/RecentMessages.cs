namespace Grid.Server.Channels;

/// <summary>
/// Some messages of a channel, without holes, bounded by count and payload bytes: what a grain keeps for silos until they have it, and
/// a silo for subscriptions that are behind.
/// </summary>
/// <param name="maxMessages">The most messages kept, beyond the newest run.</param>
/// <param name="maxBytes">The most payload bytes kept, beyond the newest run.</param>
internal sealed class RecentMessages(int maxMessages, int maxBytes)
{
    private readonly Queue<Message> _messages = new();
    private long _bytes;
    private long _next;

    /// <summary>Adds a run that follows what is kept; a run that does not replaces it.</summary>
    public void Add(ReadOnlySpan<Message> run)
    {
        if (run.IsEmpty) return;
        if (_messages.Count > 0 && run[0].Offset != _next) Clear();
        foreach (var message in run)
        {
            _messages.Enqueue(message);
            _bytes += message.Payload.Bytes.Length;
        }

        _next = run[^1].Offset + 1;
        while (_messages.Count > run.Length && (_messages.Count > maxMessages || _bytes > maxBytes))
            _bytes -= _messages.Dequeue().Payload.Bytes.Length;
    }

    /// <summary>Drops the messages up to an offset: nobody will ask for them any more.</summary>
    public void DropUpTo(long offset)
    {
        if (_next - 1 <= offset)
        {
            Clear();
            return;
        }

        while (_messages.TryPeek(out var first) && first.Offset <= offset) _bytes -= _messages.Dequeue().Payload.Bytes.Length;
    }

    /// <summary>Drops everything.</summary>
    public void Clear()
    {
        _messages.Clear();
        _bytes = 0;
    }

    /// <summary>The messages after an offset; empty when the window does not reach back that far.</summary>
    /// <param name="offset">The offset before the first one wanted.</param>
    /// <param name="limit">The most messages to return.</param>
    public Message[] After(long offset, int limit = int.MaxValue)
    {
        if (!_messages.TryPeek(out var first) || first.Offset > offset + 1) return [];
        var skip = (int)(offset + 1 - first.Offset);
        if (skip >= _messages.Count) return [];
        var result = new Message[Math.Min(limit, _messages.Count - skip)];
        var i = -skip;
        foreach (var message in _messages)
        {
            if (i >= result.Length) break;
            if (i >= 0) result[i] = message;
            i++;
        }

        return result;
    }
}

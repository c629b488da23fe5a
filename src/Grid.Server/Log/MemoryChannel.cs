using Grid.Server.Hosting;

namespace Grid.Server.Log;

/// <summary>One channel of the memory log: its last messages in a ring, and the keys of its last publishes. Used under its own lock.</summary>
internal sealed class MemoryChannel(NamespacePolicy policy)
{
    /// <summary>The most messages of an ephemeral channel, whatever its policy says.</summary>
    public const int MaxMessages = 1_000;

    /// <summary>The most payload bytes of an ephemeral channel, whatever its policy says; the newest message stays in any case.</summary>
    public const long MaxBytes = 1024 * 1024;

    /// <summary>The most idempotency keys that an ephemeral channel remembers; the oldest are forgotten before their window ends.</summary>
    public const int MaxKeys = 1_000;

    /// <summary>What a message takes besides its payload: two objects, a place in the ring, short strings.</summary>
    private const int MessageOverhead = 200;
    private const int KeyOverhead = 150;

    private readonly int _maxMessages = (int)Math.Clamp(policy.MaxMessages ?? MaxMessages, 1, MaxMessages);
    private readonly long _maxBytes = Math.Min(policy.MaxBytes ?? MaxBytes, MaxBytes);
    private readonly Dictionary<string, (long Offset, long ExpiresAt)> _keys = new(StringComparer.Ordinal);
    private readonly Queue<(string Key, long Offset)> _keyOrder = [];
    private Message?[] _ring = new Message?[4];
    private long _payloadBytes;

    /// <summary>Guards everything here.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Set once, when it is taken out of the log: whoever holds it then must look it up again.</summary>
    public bool Removed { get; set; }

    /// <summary>The epoch of this incarnation; null until the first message.</summary>
    public string? Epoch { get; set; }

    /// <summary>The last offset.</summary>
    public long Head { get; private set; }

    /// <summary>The oldest offset kept.</summary>
    public long Oldest { get; private set; } = 1;

    /// <summary>When the last append came, in Unix milliseconds.</summary>
    public long LastAppendAt { get; private set; }

    /// <summary>About how much memory it takes.</summary>
    public long Bytes => _payloadBytes + ((Head - Oldest + 1) * MessageOverhead) + ((long)_keyOrder.Count * KeyOverhead);

    /// <summary>The messages of a request whose keys are known; null if none is.</summary>
    public List<SeenKey>? FindSeen(IReadOnlyList<Message> messages, long now)
    {
        if (_keys.Count == 0) return null;
        List<SeenKey>? seen = null;
        for (var i = 0; i < messages.Count; i++)
        {
            if (messages[i].Key is { } key && FindKey(key, now) is var offset and > 0) (seen ??= []).Add(new SeenKey(i, offset));
        }

        return seen;
    }

    /// <summary>The offset of a key's message, or 0.</summary>
    public long FindKey(string key, long now) => _keys.TryGetValue(key, out var known) && known.ExpiresAt > now ? known.Offset : 0;

    /// <summary>Adds messages, and lets the oldest go.</summary>
    public void Append(IReadOnlyList<Message> messages, long now, long keysExpireAt)
    {
        foreach (var message in messages)
        {
            if (Head - Oldest + 1 == _ring.Length) Grow();
            _ring[message.Offset % _ring.Length] = message;
            Head = message.Offset;
            _payloadBytes += message.Payload.Bytes.Length;
            if (message.Key is { } key && keysExpireAt > now)
            {
                _keys[key] = (message.Offset, keysExpireAt);
                _keyOrder.Enqueue((key, message.Offset));
            }

            while (Head - Oldest + 1 > _maxMessages || (_payloadBytes > _maxBytes && Oldest < Head)) DropOldest();
        }

        LastAppendAt = now;
        ForgetKeys(now);
    }

    /// <summary>Copies messages from <paramref name="first"/> on.</summary>
    public List<Message> Read(long first, int maxMessages, int maxBytes)
    {
        var messages = new List<Message>((int)Math.Min(maxMessages, Math.Max(0, Head - first + 1)));
        long bytes = 0;
        for (var offset = first; offset <= Head && messages.Count < maxMessages && bytes < maxBytes; offset++)
        {
            var message = _ring[offset % _ring.Length]!;
            messages.Add(message);
            bytes += message.Payload.Bytes.Length;
        }

        return messages;
    }

    /// <summary>Lets go of the messages up to and with an offset.</summary>
    public void Trim(long upTo)
    {
        while (Oldest <= Head && Oldest <= upTo) DropOldest();
    }

    /// <summary>Lets go of what is older than the policy allows.</summary>
    public void Expire(long now)
    {
        if (policy.MaxAge is { } age)
        {
            var limit = now - (long)age.TotalMilliseconds;
            while (Oldest <= Head && _ring[Oldest % _ring.Length]!.At < limit) DropOldest();
        }

        ForgetKeys(now);
    }

    private void DropOldest()
    {
        ref var place = ref _ring[Oldest % _ring.Length];
        _payloadBytes -= place!.Payload.Bytes.Length;
        place = null;
        Oldest++;
    }

    private void ForgetKeys(long now)
    {
        while (_keyOrder.TryPeek(out var oldest))
        {
            // A key that was given anew after its window stands in the queue twice; only its last entry counts.
            if (_keys.TryGetValue(oldest.Key, out var known) && known.Offset == oldest.Offset)
            {
                if (known.ExpiresAt > now && _keyOrder.Count <= MaxKeys) return;
                _keys.Remove(oldest.Key);
            }

            _keyOrder.Dequeue();
        }
    }

    private void Grow()
    {
        var larger = new Message?[_ring.Length * 2];
        for (var offset = Oldest; offset <= Head; offset++) larger[offset % larger.Length] = _ring[offset % _ring.Length];
        _ring = larger;
    }
}

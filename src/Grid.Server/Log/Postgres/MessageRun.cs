using System.Buffers.Binary;
using Grid.Protocol;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Messages of one append that share a row. Layout, version 1: version (1); then for each message flags (1), time in Unix milliseconds
/// (8), as the flags say key, event and from, each with a varint length, and the payload with a varint length.
/// </summary>
/// <remarks>
/// A row costs the database some 70 bytes and an entry in an index, several times what a small message is. A run is kept so short that
/// two rows fit a page (8 KB) and none is cut up (TOAST), unless one message alone is longer.
/// </remarks>
internal static class MessageRun
{
    /// <summary>The most bytes of a run of more than one message.</summary>
    public const int MaxBytes = 3_900;

    /// <summary>The bytes before the first message.</summary>
    public const int HeaderBytes = 1;

    private const byte Version = 1;
    private const byte BinaryFlag = 1;
    private const byte KeyFlag = 2;
    private const byte EventFlag = 4;
    private const byte FromFlag = 8;

    /// <summary>How many bytes a message adds to a run.</summary>
    public static int Size(Message message) =>
        9 + TextField.Size(message.Key) + TextField.Size(message.Event) + TextField.Size(message.From)
        + Varint.Size((uint)message.Payload.Bytes.Length) + message.Payload.Bytes.Length;

    /// <summary>Begins a run and returns what is left of the target.</summary>
    public static Span<byte> Begin(Span<byte> target)
    {
        target[0] = Version;
        return target[HeaderBytes..];
    }

    /// <summary>Adds a message and returns what is left of the target.</summary>
    public static Span<byte> Add(Span<byte> target, Message message)
    {
        target[0] = (byte)((message.Payload.IsBinary ? BinaryFlag : 0) | (message.Key is null ? 0 : KeyFlag)
            | (message.Event is null ? 0 : EventFlag) | (message.From is null ? 0 : FromFlag));
        BinaryPrimitives.WriteInt64BigEndian(target[1..], message.At);
        var rest = TextField.Write(target[9..], message.Key);
        rest = TextField.Write(rest, message.Event);
        rest = TextField.Write(rest, message.From);
        var payload = message.Payload.Bytes.Span;
        rest = rest[Varint.Write(rest, (uint)payload.Length)..];
        payload.CopyTo(rest);
        return rest[payload.Length..];
    }

    /// <summary>Reads the messages of a run from an offset on, until the page has enough; false when it has.</summary>
    /// <param name="run">The bytes; the payloads share them.</param>
    /// <param name="first">The offset of the run's first message.</param>
    /// <param name="page">Where they go.</param>
    /// <exception cref="InvalidDataException">It is not what was written.</exception>
    public static bool Read(ReadOnlyMemory<byte> run, long first, PageBuilder page)
    {
        var rest = run.Span;
        if (rest.IsEmpty || rest[0] != Version)
            throw new InvalidDataException($"A stored run of messages has the unknown form {(rest.IsEmpty ? -1 : rest[0])}.");
        rest = rest[HeaderBytes..];
        for (var offset = first; !rest.IsEmpty; offset++)
        {
            if (rest.Length < 10) throw new InvalidDataException("A stored message is cut short.");
            var flags = rest[0];
            var at = BinaryPrimitives.ReadInt64BigEndian(rest[1..]);
            rest = rest[9..];
            var key = (flags & KeyFlag) != 0 ? TextField.Read(ref rest) : null;
            var eventName = (flags & EventFlag) != 0 ? TextField.Read(ref rest) : null;
            var from = (flags & FromFlag) != 0 ? TextField.Read(ref rest) : null;
            var length = (int)Varint.Read(ref rest);
            if (length > rest.Length) throw new InvalidDataException("A stored message is cut short.");
            if (offset >= page.Next)
            {
                if (page.IsFull) return false;
                page.Add(new Message
                {
                    Offset = offset,
                    At = at,
                    Key = key,
                    Event = eventName,
                    From = from,
                    Payload = new Payload(run.Slice(run.Length - rest.Length, length), (flags & BinaryFlag) != 0),
                });
            }

            rest = rest[length..];
        }

        return true;
    }
}

/// <summary>Gathers the messages of a page up to its bounds.</summary>
internal sealed class PageBuilder(long first, int maxMessages, int maxBytes)
{
    private readonly List<Message> _messages = [];
    private long _bytes;

    /// <summary>The offset of the next message; what lies before is not of the page.</summary>
    public long Next { get; private set; } = first;

    /// <summary>Whether it takes no more.</summary>
    public bool IsFull => _messages.Count >= maxMessages || _bytes >= maxBytes;

    /// <summary>What it has.</summary>
    public IReadOnlyList<Message> Messages => _messages;

    /// <summary>Adds the next message.</summary>
    /// <exception cref="InvalidDataException">It is not the next one.</exception>
    public void Add(Message message)
    {
        if (message.Offset != Next) throw new InvalidDataException($"Message {Next} is missing from the store.");
        _messages.Add(message);
        _bytes += message.Payload.Bytes.Length;
        Next++;
    }
}

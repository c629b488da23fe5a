using System.Buffers.Binary;
using System.Text;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Log;

/// <summary>Keys of the embedded store. Numbers are big-endian, so that byte order is their order.</summary>
internal static class RowKeys
{
    /// <summary>Bytes of a message's key.</summary>
    public const int MessageBytes = 16;

    /// <summary>A message's key.</summary>
    public static void Message(Span<byte> key, long channelNumber, long offset)
    {
        BinaryPrimitives.WriteInt64BigEndian(key, channelNumber);
        BinaryPrimitives.WriteInt64BigEndian(key[8..], offset);
    }

    /// <summary>The channel number at the start of a key.</summary>
    public static long Number(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadInt64BigEndian(key);

    /// <summary>The offset in a message's key.</summary>
    public static long Offset(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadInt64BigEndian(key[8..]);

    /// <summary>A channel's key: <c>tenant/channel</c>.</summary>
    public static byte[] Channel(ChannelId channel) => Encoding.UTF8.GetBytes(channel.ToString());

    /// <summary>The key of a channel in the index of oldest messages.</summary>
    public static byte[] Age(ChannelId channel, long oldestAt, long channelNumber)
    {
        var ns = channel.Namespace;
        var length = Encoding.UTF8.GetByteCount(ns);
        var key = new byte[length + 17];
        Encoding.UTF8.GetBytes(ns, key);
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(length + 1), oldestAt);
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(length + 9), channelNumber);
        return key;
    }
}

/// <summary>
/// A stored message. Layout, version 1: version (1), flags (1), time in Unix milliseconds (8), payload bytes that the channel took
/// up to and with this message (8); then, as the flags say, key, event and from, each with a varint length; then the payload.
/// </summary>
/// <remarks>The running total makes retention by bytes a binary search instead of a scan.</remarks>
internal static class MessageRecord
{
    private const byte Version = 1;
    private const byte BinaryFlag = 1;
    private const byte KeyFlag = 2;
    private const byte EventFlag = 4;
    private const byte FromFlag = 8;
    private const int HeaderBytes = 18;

    /// <summary>How many bytes <see cref="Write"/> fills.</summary>
    public static int Size(Message message) =>
        HeaderBytes + TextField.Size(message.Key) + TextField.Size(message.Event) + TextField.Size(message.From) + message.Payload.Bytes.Length;

    /// <summary>Writes a message into exactly <see cref="Size"/> bytes.</summary>
    public static void Write(Span<byte> target, Message message, long total)
    {
        target[0] = Version;
        target[1] = (byte)((message.Payload.IsBinary ? BinaryFlag : 0) | (message.Key is null ? 0 : KeyFlag)
            | (message.Event is null ? 0 : EventFlag) | (message.From is null ? 0 : FromFlag));
        BinaryPrimitives.WriteInt64BigEndian(target[2..], message.At);
        BinaryPrimitives.WriteInt64BigEndian(target[10..], total);
        var rest = target[HeaderBytes..];
        rest = TextField.Write(rest, message.Key);
        rest = TextField.Write(rest, message.Event);
        rest = TextField.Write(rest, message.From);
        message.Payload.Bytes.Span.CopyTo(rest);
    }

    /// <summary>The time of a stored message.</summary>
    public static long At(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64BigEndian(Checked(record)[2..]);

    /// <summary>The running total of a stored message.</summary>
    public static long Total(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64BigEndian(Checked(record)[10..]);

    /// <summary>Reads a message.</summary>
    /// <exception cref="InvalidDataException">The record is not what <see cref="Write"/> writes.</exception>
    public static Message Read(ReadOnlySpan<byte> record, long offset)
    {
        var flags = Checked(record)[1];
        var rest = record[HeaderBytes..];
        var key = (flags & KeyFlag) != 0 ? TextField.Read(ref rest) : null;
        var eventName = (flags & EventFlag) != 0 ? TextField.Read(ref rest) : null;
        var from = (flags & FromFlag) != 0 ? TextField.Read(ref rest) : null;
        return new Message
        {
            Offset = offset,
            At = At(record),
            Key = key,
            Event = eventName,
            From = from,
            Payload = new Payload(rest.ToArray(), (flags & BinaryFlag) != 0),
        };
    }

    private static ReadOnlySpan<byte> Checked(ReadOnlySpan<byte> record) => record.Length >= HeaderBytes && record[0] == Version
        ? record
        : throw new InvalidDataException($"A stored message has the unknown form {(record.IsEmpty ? -1 : record[0])}.");
}

/// <summary>
/// What is stored of a channel besides its messages. It changes when the channel is made, trimmed or purged, and when its first
/// message after being empty arrives; never on an ordinary append: the head is the last message, so an append writes messages only.
/// </summary>
/// <param name="Number">The number that its messages' keys start with; never used again after a purge.</param>
/// <param name="Epoch">The epoch of its offsets.</param>
/// <param name="Oldest">The oldest offset kept. When no message is stored, the head is the one before.</param>
/// <param name="TotalBefore">The running total of payload bytes before the oldest message.</param>
/// <param name="IndexedAt">The time under which the channel stands in the index of oldest messages; 0 for not at all.</param>
internal readonly record struct ChannelRecord(long Number, string Epoch, long Oldest, long TotalBefore, long IndexedAt)
{
    private const byte Version = 1;

    /// <summary>Writes the record.</summary>
    public byte[] ToBytes()
    {
        var bytes = new byte[33 + Encoding.UTF8.GetByteCount(Epoch)];
        bytes[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(1), Number);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(9), Oldest);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(17), TotalBefore);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(25), IndexedAt);
        Encoding.UTF8.GetBytes(Epoch, bytes.AsSpan(33));
        return bytes;
    }

    /// <summary>Reads the record.</summary>
    /// <exception cref="InvalidDataException">It is not what <see cref="ToBytes"/> writes.</exception>
    public static ChannelRecord Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 33 || bytes[0] != Version) throw new InvalidDataException("A channel's record has an unknown form.");
        return new ChannelRecord(
            BinaryPrimitives.ReadInt64BigEndian(bytes[1..]),
            Encoding.UTF8.GetString(bytes[33..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[9..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[17..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[25..]));
    }
}

/// <summary>What is stored of an idempotency key: version (1), offset of its message (8), expiry in Unix milliseconds (8).</summary>
internal static class KeyRecord
{
    /// <summary>The size of every record.</summary>
    public const int Bytes = 17;

    /// <summary>The longest row key: the channel number and a key.</summary>
    public const int MaxRowKeyBytes = 8 + Message.MaxKeyBytes;

    private const byte Version = 1;

    /// <summary>Looks a key up; false when it is unknown or its window has passed.</summary>
    public static bool Find(OpenDatabase database, long channelNumber, string key, long now, out long offset)
    {
        offset = 0;
        if (key.Length > Message.MaxKeyBytes || Encoding.UTF8.GetByteCount(key) > Message.MaxKeyBytes) return false;
        Span<byte> row = stackalloc byte[MaxRowKeyBytes];
        row = row[..WriteRowKey(row, channelNumber, key)];
        Span<byte> record = stackalloc byte[Bytes];
        if (!database.Db.GetFixedSizeValue(row, record, database.Keys.Handle) || ExpiresAt(record) <= now) return false;
        offset = Offset(record);
        return true;
    }

    /// <summary>Writes a key's row key and returns its length.</summary>
    public static int WriteRowKey(Span<byte> row, long channelNumber, string key)
    {
        BinaryPrimitives.WriteInt64BigEndian(row, channelNumber);
        return 8 + Encoding.UTF8.GetBytes(key, row[8..]);
    }

    /// <summary>Writes a record.</summary>
    public static void Write(Span<byte> target, long offset, long expiresAt)
    {
        target[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(target[1..], offset);
        BinaryPrimitives.WriteInt64BigEndian(target[9..], expiresAt);
    }

    /// <summary>The offset of the key's message.</summary>
    public static long Offset(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64BigEndian(Checked(record)[1..]);

    /// <summary>When the key is forgotten.</summary>
    public static long ExpiresAt(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64BigEndian(Checked(record)[9..]);

    private static ReadOnlySpan<byte> Checked(ReadOnlySpan<byte> record) => record.Length == Bytes && record[0] == Version
        ? record
        : throw new InvalidDataException("An idempotency key's record has an unknown form.");
}

/// <summary>
/// The keys of one write that expire at the same time: version (1), then each row key of the keys' column family with a varint
/// length. One row for a whole group of appends keeps the index at a fraction of the keys' own cost.
/// </summary>
internal static class ExpiryRecord
{
    /// <summary>The first byte of a record.</summary>
    public const byte Version = 1;

    /// <summary>The bytes of a row's key.</summary>
    public const int KeyBytes = 16;

    /// <summary>Takes the next row key off a record whose version was checked and skipped.</summary>
    public static bool Next(ref ReadOnlySpan<byte> rest, out ReadOnlySpan<byte> key)
    {
        key = default;
        if (rest.IsEmpty) return false;
        var length = (int)Varint.Read(ref rest);
        key = rest[..length];
        rest = rest[length..];
        return true;
    }
}

/// <summary>An optional text in a record: its length in bytes as a varint, then the bytes. Whether it is there is told elsewhere.</summary>
internal static class TextField
{
    /// <summary>The bytes that a text takes; none for null.</summary>
    public static int Size(string? text)
    {
        if (text is null) return 0;
        var length = Encoding.UTF8.GetByteCount(text);
        return length + Varint.Size((uint)length);
    }

    /// <summary>Writes a text, unless it is null, and returns what is left of the target.</summary>
    public static Span<byte> Write(Span<byte> target, string? text)
    {
        if (text is null) return target;
        var prefix = Varint.Write(target, (uint)Encoding.UTF8.GetByteCount(text));
        return target[(prefix + Encoding.UTF8.GetBytes(text, target[prefix..]))..];
    }

    /// <summary>Reads a text and moves on behind it.</summary>
    /// <exception cref="InvalidDataException">It is cut short.</exception>
    public static string Read(ref ReadOnlySpan<byte> source)
    {
        var length = Varint.Read(ref source);
        if (length > source.Length) throw new InvalidDataException("A stored message is cut short.");
        var text = Encoding.UTF8.GetString(source[..(int)length]);
        source = source[(int)length..];
        return text;
    }
}

/// <summary>Unsigned numbers, seven bits a byte, low bits first.</summary>
internal static class Varint
{
    /// <summary>The longest form.</summary>
    public const int MaxBytes = 5;

    /// <summary>The bytes that a number takes.</summary>
    public static int Size(uint value) => value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;

    /// <summary>Writes a number and returns its size.</summary>
    public static int Write(Span<byte> target, uint value)
    {
        var at = 0;
        while (value >= 0x80)
        {
            target[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        target[at++] = (byte)value;
        return at;
    }

    /// <summary>Reads a number and moves on behind it.</summary>
    /// <exception cref="InvalidDataException">It is cut short or too long.</exception>
    public static uint Read(ref ReadOnlySpan<byte> source)
    {
        uint value = 0;
        for (var i = 0; i < MaxBytes && i < source.Length; i++)
        {
            value |= (uint)(source[i] & 0x7F) << (7 * i);
            if (source[i] >= 0x80) continue;
            source = source[(i + 1)..];
            return value;
        }

        throw new InvalidDataException("A stored number is cut short.");
    }
}

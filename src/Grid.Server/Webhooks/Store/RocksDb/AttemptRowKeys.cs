using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Keys of attempts: the day (4), what the row is, the subscription, for the indexes of messages the message; then the place of the row
/// (<see cref="Place"/>): of its newest attempt the time (8) and the name, then 0 and the sum of the row (4). The day comes first, so that
/// old days go as one range.
/// </summary>
/// <remarks>
/// The sum is there since attempts may be written again together with others than before: a row must not take the place of one that
/// holds more. Rows of a single attempt in the form of version 1 have none.
/// </remarks>
internal static class AttemptRowKeys
{
    /// <summary>The attempts themselves.</summary>
    public const byte Main = (byte)'a';

    /// <summary>Without a value: that one or more of a row's attempts failed.</summary>
    public const byte Failed = (byte)'f';

    /// <summary>Without a value: that a row has an attempt of a message, by the message's id.</summary>
    public const byte ByMessage = (byte)'m';

    /// <summary>That a row has attempts of a block of messages, by their place; the value: the first and the last in the block, a byte each.</summary>
    public const byte ByBlock = (byte)'p';

    /// <summary>How many messages of a channel are a block.</summary>
    public const int Block = 256;

    private const long DayMs = 24 * 3_600_000;

    /// <summary>The day of a time, in days since 1970.</summary>
    public static int Day(long atMs) => (int)Math.Min(atMs / DayMs, int.MaxValue);

    /// <summary>The day of a key.</summary>
    public static int Day(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadInt32BigEndian(key);

    /// <summary>The first key of a day.</summary>
    public static byte[] FirstOf(int day)
    {
        var key = new byte[sizeof(int)];
        SetDay(key, day);
        return key;
    }

    /// <summary>Puts a key, or the start of one, into another day.</summary>
    public static void SetDay(byte[] key, int day) => BinaryPrimitives.WriteInt32BigEndian(key, day);

    /// <summary>A row's key, or the start of several.</summary>
    /// <param name="day">The day.</param>
    /// <param name="kind">What the row is.</param>
    /// <param name="own">The subscription, see <see cref="WebhookRowKeys.Own"/>.</param>
    /// <param name="part">In an index of messages: <see cref="OfMessage"/> or <see cref="OfBlock"/>; else nothing.</param>
    /// <param name="place">The place of the row; nothing: of all.</param>
    public static byte[] Key(int day, byte kind, byte[] own, byte[]? part = null, byte[]? place = null)
    {
        var key = new byte[sizeof(int) + 1 + own.Length + (part?.Length ?? 0) + (place?.Length ?? 0)];
        SetDay(key, day);
        key[sizeof(int)] = kind;
        own.CopyTo(key, sizeof(int) + 1);
        part?.CopyTo(key, sizeof(int) + 1 + own.Length);
        place?.CopyTo(key, key.Length - place.Length);
        return key;
    }

    /// <summary>A message in the index by ids.</summary>
    public static byte[] OfMessage(string id) => Named(id);

    /// <summary>A message's block in the index by places.</summary>
    public static byte[] OfBlock(MessageRef message) =>
        [.. Named(message.Channel), .. Named(message.Epoch), .. WebhookRowKeys.Number(message.Offset / Block)];

    /// <summary>The place of a message in its block.</summary>
    public static byte IndexOf(MessageRef message) => (byte)(message.Offset % Block);

    /// <summary>The place of a row.</summary>
    /// <param name="newest">Its newest attempt.</param>
    /// <param name="record">Its value.</param>
    public static byte[] Place(StoredAttempt newest, ReadOnlySpan<byte> record)
    {
        var sum = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(sum, Sum(record));
        return [.. WebhookRowKeys.Number(newest.At), .. Named(newest.Id), .. sum];
    }

    /// <summary>Time and name of the newest attempt of a row.</summary>
    public static StoredPlace ReadPlace(ReadOnlySpan<byte> place)
    {
        var name = place[sizeof(long)..];
        var end = name.IndexOf((byte)0);
        return new StoredPlace(BinaryPrimitives.ReadInt64BigEndian(place), Encoding.UTF8.GetString(end < 0 ? name : name[..end]));
    }

    private static byte[] Named(string name) => [.. Encoding.UTF8.GetBytes(name), 0];

    /// <summary>CRC-32C, eight bytes at a time.</summary>
    private static uint Sum(ReadOnlySpan<byte> record)
    {
        var sum = uint.MaxValue;
        for (; record.Length >= sizeof(ulong); record = record[sizeof(ulong)..]) sum = BitOperations.Crc32C(sum, BinaryPrimitives.ReadUInt64LittleEndian(record));
        foreach (var value in record) sum = BitOperations.Crc32C(sum, value);
        return sum;
    }
}

using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Grid.Server.Log;

/// <summary>The idempotency keys of one group of appends, gathered by expiry into few rows of the expiry index.</summary>
internal sealed class ExpiringKeys
{
    /// <summary>A row is removed in one step of the sweep, which should be short.</summary>
    private const int MaxRowBytes = 16 * 1024;

    private readonly Dictionary<long, ArrayBufferWriter<byte>> _byExpiry = [];

    /// <summary>Makes rows' keys unique; starts anywhere, so that a restart does not repeat them.</summary>
    private long _next = BinaryPrimitives.ReadInt64BigEndian(RandomNumberGenerator.GetBytes(8));

    /// <summary>Whether the group stores any key.</summary>
    public bool Any => _byExpiry.Count > 0;

    /// <summary>Forgets the group.</summary>
    public void Clear() => _byExpiry.Clear();

    /// <summary>Adds a key.</summary>
    public void Add(WriteGroup group, long expiresAt, ReadOnlySpan<byte> rowKey)
    {
        if (!_byExpiry.TryGetValue(expiresAt, out var row))
        {
            _byExpiry[expiresAt] = row = new ArrayBufferWriter<byte>(1024);
            Start(row);
        }

        var target = row.GetSpan(Varint.MaxBytes + rowKey.Length);
        var prefix = Varint.Write(target, (uint)rowKey.Length);
        rowKey.CopyTo(target[prefix..]);
        row.Advance(prefix + rowKey.Length);
        if (row.WrittenCount < MaxRowBytes) return;
        WriteRow(group, expiresAt, row);
        row.ResetWrittenCount();
        Start(row);
    }

    /// <summary>Adds the rows to the group; called when no job is added any more.</summary>
    public void Write(WriteGroup group)
    {
        foreach (var (expiresAt, row) in _byExpiry)
        {
            if (row.WrittenCount > 1) WriteRow(group, expiresAt, row);
        }
    }

    private static void Start(ArrayBufferWriter<byte> row)
    {
        row.GetSpan(1)[0] = ExpiryRecord.Version;
        row.Advance(1);
    }

    private void WriteRow(WriteGroup group, long expiresAt, ArrayBufferWriter<byte> row)
    {
        Span<byte> key = stackalloc byte[ExpiryRecord.KeyBytes];
        BinaryPrimitives.WriteInt64BigEndian(key, expiresAt);
        BinaryPrimitives.WriteInt64BigEndian(key[8..], _next++);
        group.Rows.Put(group.Database.Expiry.Number, key, row.WrittenSpan);
    }
}

using System.Buffers.Binary;

namespace Grid.Server.Log;

/// <summary>
/// Rows gathered for one atomic write, in the byte form that RocksDB itself writes to its write-ahead log (which its files fix for
/// ever). Building that form here costs one copy per row and no call into native code; a test compares it with what RocksDB makes.
/// </summary>
/// <remarks>
/// Header: sequence (8 bytes, RocksDB fills it in), row count (4 bytes, little-endian). Each row: a tag, the column family's number
/// (varint), then length-prefixed key and, for a put, value; for a range deletion the first key and the one after the last.
/// </remarks>
internal sealed class BatchBuffer
{
    private const byte DeleteTag = 0x4;
    private const byte PutTag = 0x5;
    private const byte DeleteRangeTag = 0xE;
    private const int HeaderBytes = 12;

    /// <summary>A buffer that grew past this is given back after the write, so that one huge group does not stay in memory.</summary>
    private const int KeptBytes = 8 * 1024 * 1024;

    private byte[] _bytes = new byte[256 * 1024];
    private int _length = HeaderBytes;
    private int _count;

    /// <summary>Rows so far.</summary>
    public int Count => _count;

    /// <summary>Bytes so far.</summary>
    public int Length => _length;

    /// <summary>The whole, in RocksDB's form.</summary>
    public ReadOnlySpan<byte> Written
    {
        get
        {
            BinaryPrimitives.WriteInt32LittleEndian(_bytes.AsSpan(8), _count);
            return _bytes.AsSpan(0, _length);
        }
    }

    /// <summary>Starts anew.</summary>
    public void Reset()
    {
        if (_bytes.Length > KeptBytes) _bytes = new byte[256 * 1024];
        _length = HeaderBytes;
        _count = 0;
    }

    /// <summary>Adds a row and returns the places for its key and value, to be filled before anything else is added.</summary>
    public void Put(uint family, int keyBytes, int valueBytes, out Span<byte> key, out Span<byte> value)
    {
        // The tag and three varints of at most five bytes.
        Reserve(keyBytes + valueBytes + 16);
        _bytes[_length++] = PutTag;
        Varint(family);
        Varint((uint)keyBytes);
        key = _bytes.AsSpan(_length, keyBytes);
        _length += keyBytes;
        Varint((uint)valueBytes);
        value = _bytes.AsSpan(_length, valueBytes);
        _length += valueBytes;
        _count++;
    }

    /// <summary>Adds a row.</summary>
    public void Put(uint family, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value)
    {
        Put(family, key.Length, value.Length, out var k, out var v);
        key.CopyTo(k);
        value.CopyTo(v);
    }

    /// <summary>Removes a row.</summary>
    public void Delete(uint family, ReadOnlySpan<byte> key)
    {
        Reserve(key.Length + 11);
        _bytes[_length++] = DeleteTag;
        Varint(family);
        Prefixed(key);
        _count++;
    }

    /// <summary>Removes the rows from <paramref name="first"/> on and before <paramref name="end"/>.</summary>
    public void DeleteRange(uint family, ReadOnlySpan<byte> first, ReadOnlySpan<byte> end)
    {
        Reserve(first.Length + end.Length + 16);
        _bytes[_length++] = DeleteRangeTag;
        Varint(family);
        Prefixed(first);
        Prefixed(end);
        _count++;
    }

    private void Prefixed(ReadOnlySpan<byte> bytes)
    {
        Varint((uint)bytes.Length);
        bytes.CopyTo(_bytes.AsSpan(_length));
        _length += bytes.Length;
    }

    private void Varint(uint value)
    {
        while (value >= 0x80)
        {
            _bytes[_length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _bytes[_length++] = (byte)value;
    }

    private void Reserve(int more)
    {
        var needed = checked(_length + more);
        if (needed > _bytes.Length) Array.Resize(ref _bytes, (int)Math.Min(Math.Max((long)needed, _bytes.Length * 2L), Array.MaxLength));
    }
}

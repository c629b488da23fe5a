using System.Text;

namespace Grid.Protocol.Proto;

/// <summary>
/// Writes fields. A message within another one stands behind its length, so everything is gone through twice: once by a writer
/// that counts, once by one that writes into the room of exactly that size. Nothing is allocated, and nothing is moved afterwards.
/// </summary>
internal ref struct ProtoWriter
{
    private readonly Span<byte> _span;
    private readonly bool _writes;
    private int _length;

    /// <summary>A writer into <paramref name="span"/>. The default one counts.</summary>
    public ProtoWriter(Span<byte> span)
    {
        _span = span;
        _writes = true;
    }

    /// <summary>The bytes written, or counted.</summary>
    public readonly int Length => _length;

    /// <summary>An integer; left out when it is 0, as the format has it.</summary>
    public void Number(int field, long value)
    {
        if (value != 0) Present(field, value);
    }

    /// <summary>An integer that is written even when it is 0; left out when it is null.</summary>
    public void Optional(int field, long? value)
    {
        if (value is { } number) Present(field, number);
    }

    /// <summary>A flag; left out when it is false.</summary>
    public void Flag(int field, bool value)
    {
        if (value) Present(field, 1);
    }

    /// <summary>Text; left out when it is empty.</summary>
    public void Text(int field, string value)
    {
        if (value.Length > 0) Optional(field, value);
    }

    /// <summary>Text that is written even when it is empty; left out when it is null.</summary>
    public void Optional(int field, string? value)
    {
        if (value is null) return;
        var length = Encoding.UTF8.GetByteCount(value);
        Head(field, length);
        if (_writes) Encoding.UTF8.GetBytes(value, _span[_length..]);
        _length += length;
    }

    /// <summary>Bytes, written even when there are none.</summary>
    public void Bytes(int field, ReadOnlySpan<byte> value)
    {
        Head(field, value.Length);
        if (_writes) value.CopyTo(_span[_length..]);
        _length += value.Length;
    }

    /// <summary>What stands in front of bytes, text or a message: the field's number and the length of what follows.</summary>
    public void Head(int field, int length)
    {
        Varint(((ulong)field << 3) | (uint)WireType.Length);
        Varint((uint)length);
    }

    private void Present(int field, long value)
    {
        Varint(((ulong)field << 3) | (uint)WireType.Varint);
        Varint((ulong)value);
    }

    private void Varint(ulong value)
    {
        for (; value > 0x7F; value >>= 7) Byte((byte)(value | 0x80));
        Byte((byte)value);
    }

    private void Byte(byte value)
    {
        if (_writes) _span[_length] = value;
        _length++;
    }
}

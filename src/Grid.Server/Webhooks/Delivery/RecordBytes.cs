using System.Buffers;
using System.Text;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Writes the parts of a record: numbers as varints of up to 64 bits, low bits first; texts in UTF-8 behind their length.</summary>
internal sealed class RecordWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    /// <summary>What was written.</summary>
    public ReadOnlySpan<byte> Written => _bytes.WrittenSpan;

    /// <summary>Begins anew, in the same memory.</summary>
    public void Clear() => _bytes.ResetWrittenCount();

    /// <summary>Writes a byte.</summary>
    public void Byte(byte value)
    {
        _bytes.GetSpan(1)[0] = value;
        _bytes.Advance(1);
    }

    /// <summary>Writes a number that is not negative.</summary>
    public void Number(long value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        var rest = (ulong)value;
        var target = _bytes.GetSpan(RecordReader.MaxNumberBytes);
        var at = 0;
        for (; rest >= 0x80; rest >>= 7) target[at++] = (byte)(rest | 0x80);
        target[at++] = (byte)rest;
        _bytes.Advance(at);
    }

    /// <summary>Writes a text.</summary>
    public void Text(ReadOnlySpan<char> text)
    {
        var length = Encoding.UTF8.GetByteCount(text);
        Number(length);
        Encoding.UTF8.GetBytes(text, _bytes.GetSpan(length));
        _bytes.Advance(length);
    }

    /// <summary>Writes a text, or that there is none.</summary>
    public void OptionalText(string? text)
    {
        Byte(text is null ? (byte)0 : (byte)1);
        if (text is not null) Text(text);
    }

    /// <summary>
    /// Writes a text by what it has in common with another one, which the reader must know: how much of its beginning (in UTF-16), how much
    /// of its end, and what is between.
    /// </summary>
    public void TextLike(string text, string other)
    {
        var start = text.AsSpan().CommonPrefixLength(other);
        var most = Math.Min(text.Length, other.Length) - start;
        var end = 0;
        while (end < most && text[^(end + 1)] == other[^(end + 1)]) end++;

        // A character of two halves must not be cut, since neither has a form in UTF-8.
        if (start > 0 && char.IsHighSurrogate(text[start - 1])) start--;
        if (end > 0 && char.IsLowSurrogate(text[^end])) end--;
        Number(start);
        Number(end);
        Text(text.AsSpan(start, text.Length - start - end));
    }

    /// <summary>Writes bytes behind their length.</summary>
    public void Block(ReadOnlySpan<byte> bytes)
    {
        Number(bytes.Length);
        _bytes.Write(bytes);
    }
}

/// <summary>Reads what <see cref="RecordWriter"/> wrote.</summary>
/// <param name="source">The record.</param>
internal ref struct RecordReader(ReadOnlySpan<byte> source)
{
    /// <summary>The longest form of a number.</summary>
    public const int MaxNumberBytes = 9;

    private static readonly UTF8Encoding Strict = new(false, true);

    private ReadOnlySpan<byte> _rest = source;

    /// <summary>Whether everything was read.</summary>
    public readonly bool AtEnd => _rest.IsEmpty;

    /// <summary>Reads a byte.</summary>
    /// <exception cref="InvalidDataException">The record is cut short.</exception>
    public byte Byte()
    {
        if (_rest.IsEmpty) throw CutShort();
        var value = _rest[0];
        _rest = _rest[1..];
        return value;
    }

    /// <summary>Reads a number.</summary>
    /// <exception cref="InvalidDataException">The record is cut short, or there is no number.</exception>
    public long Number()
    {
        ulong value = 0;
        for (var i = 0; i < MaxNumberBytes && i < _rest.Length; i++)
        {
            value |= (ulong)(_rest[i] & 0x7F) << (7 * i);
            if (_rest[i] >= 0x80) continue;
            _rest = _rest[(i + 1)..];
            return (long)value;
        }

        throw CutShort();
    }

    /// <summary>Reads how many parts follow, each of which takes at least a byte.</summary>
    /// <exception cref="InvalidDataException">More than the record can hold.</exception>
    public int Length()
    {
        var count = Number();
        return count <= _rest.Length ? (int)count : throw CutShort();
    }

    /// <summary>Reads a text.</summary>
    /// <exception cref="InvalidDataException">The record is cut short, or this is no UTF-8.</exception>
    public string Text()
    {
        try
        {
            return Strict.GetString(Block());
        }
        catch (DecoderFallbackException e)
        {
            throw new InvalidDataException("A text in a webhook's record is no UTF-8.", e);
        }
    }

    /// <summary>Reads a text that may be absent.</summary>
    /// <exception cref="InvalidDataException">The record is cut short.</exception>
    public string? OptionalText() => Byte() == 0 ? null : Text();

    /// <summary>Reads a text that was written by what it has in common with another one.</summary>
    /// <exception cref="InvalidDataException">The record is cut short, or belongs to another text.</exception>
    public string TextLike(string other)
    {
        var (start, end, between) = (Number(), Number(), Text());
        if (start > other.Length || end > other.Length - start) throw new InvalidDataException("A text in a webhook's record is like no other.");
        if (between.Length == 0 && start == other.Length) return other;
        return string.Concat(other.AsSpan(0, (int)start), between, other.AsSpan(other.Length - (int)end));
    }

    /// <summary>Reads bytes behind their length.</summary>
    /// <exception cref="InvalidDataException">The record is cut short.</exception>
    public ReadOnlySpan<byte> Block()
    {
        var length = Length();
        var block = _rest[..length];
        _rest = _rest[length..];
        return block;
    }

    private static InvalidDataException CutShort() => new("A webhook's record is cut short.");
}

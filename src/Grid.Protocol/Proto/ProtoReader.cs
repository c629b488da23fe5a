using System.Text;
using System.Text.Unicode;

namespace Grid.Protocol.Proto;

/// <summary>How the bytes of a field's value are laid out.</summary>
internal enum WireType
{
    /// <summary>An integer in groups of seven bits.</summary>
    Varint = 0,

    /// <summary>Eight bytes.</summary>
    Fixed64 = 1,

    /// <summary>A length and so many bytes.</summary>
    Length = 2,

    /// <summary>Four bytes.</summary>
    Fixed32 = 5,
}

/// <summary>
/// Reads the fields of one message, one after the other, and never throws. Two kinds of fault are kept apart:
/// <see cref="IsBroken"/> for bytes that are no message, and <see cref="Problem"/> for a message that says nothing valid. The
/// getters read the value of the field that <see cref="Next"/> stopped at, note the first thing wrong and go on with a default.
/// </summary>
/// <remarks>
/// Groups, which the format had before 2008 and no writer of this file's messages makes, count as broken: reading past one takes a
/// stack, which a hostile client would choose the depth of.
/// </remarks>
internal ref struct ProtoReader
{
    private readonly ReadOnlySpan<byte> _frame;
    private readonly bool _strict;
    private int _at;
    private int _end;
    private uint _seen;
    private ulong _number;

    /// <summary>Prepares to read the message that is the whole of <paramref name="frame"/>.</summary>
    /// <param name="frame">The bytes.</param>
    /// <param name="strict">Whether a field that is given twice is a problem; else the last one counts, as the format has it.</param>
    public ProtoReader(ReadOnlySpan<byte> frame, bool strict)
    {
        _frame = frame;
        _strict = strict;
        _end = frame.Length;
    }

    /// <summary>The number of the current field.</summary>
    public int Field { get; private set; }

    /// <summary>The layout of the current field's value.</summary>
    public WireType Type { get; private set; }

    /// <summary>Where the value of the current field, of <see cref="WireType.Length"/>, starts in the frame.</summary>
    public int Start { get; private set; }

    /// <summary>The length of that value.</summary>
    public int Length { get; private set; }

    /// <summary>The first thing found wrong with what the message says; null when all is well.</summary>
    public string? Problem { get; private set; }

    /// <summary>Whether the bytes are no message.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>The bytes of the current field's value.</summary>
    public readonly ReadOnlySpan<byte> Bytes => _frame.Slice(Start, Length);

    /// <summary>Reads the next field, known or not; false at the end, and when the bytes are broken.</summary>
    public bool Next()
    {
        if (_at >= _end || !TryReadVarint(out var tag)) return false;
        Field = (int)(tag >> 3);
        Type = (WireType)(tag & 7);
        if (tag > uint.MaxValue || Field == 0) return Break();
        switch (Type)
        {
            case WireType.Varint:
                return TryReadVarint(out _number);
            case WireType.Fixed64:
                return TryTake(sizeof(ulong));
            case WireType.Fixed32:
                return TryTake(sizeof(uint));
            case WireType.Length:
                return TryReadVarint(out var length) && TryTake(length);
            default:
                return Break();
        }
    }

    /// <summary>Notes what is wrong, unless something was before.</summary>
    public void Fail(string problem) => Problem ??= problem;

    /// <summary>
    /// Whether the current field has the layout that it should; notes a problem if not, or if it was given before and may not be
    /// repeated.
    /// </summary>
    public bool Is(WireType type, bool repeated = false)
    {
        if (Type != type)
        {
            Fail("a field has the wrong wire type");
            return false;
        }
        // Fields of this protocol have numbers far below 32.
        var bit = 1u << Field;
        if (_strict && !repeated && (_seen & bit) != 0) Fail("a field is given twice");
        _seen |= bit;
        return true;
    }

    /// <summary>Whether a field was there.</summary>
    public readonly bool Has(int field) => (_seen & (1u << field)) != 0;

    /// <summary>The current field as an integer from 0.</summary>
    public long Integer(string problem, long max = WireLimits.MaxId)
    {
        if (!Is(WireType.Varint)) return 0;
        if (_number <= (ulong)max) return (long)_number;
        Fail(problem);
        return 0;
    }

    /// <summary>The current field as a flag.</summary>
    public bool Flag() => Is(WireType.Varint) && _number != 0;

    /// <summary>The current field as the number of an enum's value; 0 when it is out of all reason.</summary>
    public int Enum() => Is(WireType.Varint) && _number <= int.MaxValue ? (int)_number : 0;

    /// <summary>The current field as text.</summary>
    public string Text(string problem, int maxLength = int.MaxValue)
    {
        if (!Is(WireType.Length)) return "";
        // The format itself asks that text is UTF-8: what is not was made by no writer.
        if (!Utf8.IsValid(Bytes))
        {
            Break();
            return "";
        }
        var text = Encoding.UTF8.GetString(Bytes);
        if (text.Length <= maxLength) return text;
        Fail(problem);
        return "";
    }

    /// <summary>The current field as a channel's name.</summary>
    public string Channel()
    {
        if (!Is(WireType.Length)) return "";
        // Judged before a string is made: a name is at most 200 bytes, a frame 64 KiB.
        if (ChannelName.IsValid(Bytes)) return Encoding.UTF8.GetString(Bytes);
        if (!Utf8.IsValid(Bytes)) Break();
        Fail(ChannelProblem);
        return "";
    }

    /// <summary>The current field as a payload, a slice of <paramref name="frame"/>, the memory that this reads.</summary>
    public Payload Payload(ReadOnlyMemory<byte> frame, bool isBinary) =>
        Is(WireType.Length) ? new Payload(frame.Slice(Start, Length), isBinary) : default;

    /// <summary>A reader of the message that is the value of the current field; <see cref="Join"/> takes its findings over.</summary>
    public ProtoReader Message(bool repeated = false)
    {
        var inner = this;
        inner._seen = 0;
        inner.Problem = null;
        inner._at = inner._end = 0;
        if (!Is(WireType.Length, repeated)) return inner;
        inner._at = Start;
        inner._end = Start + Length;
        return inner;
    }

    /// <summary>Takes over what a reader of a message in this one found wrong.</summary>
    public void Join(scoped in ProtoReader inner)
    {
        if (inner.Problem is { } problem) Fail(problem);
        if (inner.IsBroken) Break();
    }

    /// <summary>Notes what is wrong unless one of <paramref name="field"/> was there.</summary>
    public void Require(int field, string problem)
    {
        if (!Has(field)) Fail(problem);
    }

    /// <summary>Reads to the end: of the fields that are left none is known, but the bytes must be some all the same.</summary>
    public void Skip()
    {
        while (Next())
        {
        }
    }

    /// <summary>Reads to the end a message that is about a channel, its field 1, and nothing else that is known.</summary>
    public string ChannelAlone()
    {
        var channel = "";
        while (Next())
        {
            if (Field == 1) channel = Channel();
        }
        Require(1, ChannelProblem);
        return channel;
    }

    /// <summary>What became of a frame, once the reader of its envelope (this) and that of its content are at their ends.</summary>
    /// <param name="content">The content's reader.</param>
    /// <param name="kind">The content's field; 0 for none that is known.</param>
    /// <param name="frame">The content as far as it could be read; null when there is none, or the envelope is broken.</param>
    /// <param name="id">The frame's number.</param>
    public Decoded<TFrame> Outcome<TFrame>(scoped in ProtoReader content, int kind, TFrame? frame, long? id)
        where TFrame : class
    {
        if (kind == 0) Fail("the frame has no content that is known");
        Join(in content);
        if (IsBroken) return Decoded<TFrame>.None("the bytes are no frame of grid.v1.proto");
        return Problem is not null || frame is null ? Decoded<TFrame>.Bad(Problem ?? "", id) : Decoded<TFrame>.Ok(frame);
    }

    /// <summary>What is wrong with a channel's name.</summary>
    public const string ChannelProblem = "channel must be a channel name";

    /// <summary>What is wrong with an epoch.</summary>
    public const string EpochProblem = "epoch must be a string of 1 to 64 characters";

    /// <summary>What is wrong with a payload.</summary>
    public const string PayloadProblem = "exactly one of json and binary must be given";

    private bool TryReadVarint(out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 64 && _at < _end; shift += 7)
        {
            var part = _frame[_at++];
            value |= (ulong)(part & 0x7F) << shift;
            // The tenth byte has room for one bit.
            if (part < 0x80) return shift < 63 || part <= 1 || Break();
        }
        return Break();
    }

    private bool TryTake(ulong length)
    {
        if (length > (ulong)(_end - _at)) return Break();
        (Start, Length) = (_at, (int)length);
        _at += (int)length;
        return true;
    }

    private bool Break()
    {
        IsBroken = true;
        _at = _end;
        return false;
    }
}

using System.Buffers;
using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace Grid.Protocol.Json;

/// <summary>
/// The members of one JSON object, found in one pass and read afterwards in any order. Two steps, because <c>type</c> may
/// come last, and because a frame that breaks off in the middle is no frame, however wrong the part before was.
/// The getters note the first thing wrong in <see cref="Problem"/> and go on with a default, so that a frame is built and then
/// judged once.
/// </summary>
internal ref struct ObjectMembers
{
    private static readonly SearchValues<byte> WhiteSpace = SearchValues.Create(" \t\r\n"u8);

    private readonly ReadOnlySpan<byte> _json;
    private readonly bool _nullIsAbsent;
    private Slots _slots;
    private HashSet<string>? _unknown;

    /// <summary>Prepares to read the object that is the whole of a text.</summary>
    /// <param name="json">The text, in valid UTF-8.</param>
    /// <param name="nullIsAbsent">Whether a member that is null counts as left out (but for <c>data</c>).</param>
    public ObjectMembers(ReadOnlySpan<byte> json, bool nullIsAbsent)
    {
        _json = json;
        _nullIsAbsent = nullIsAbsent;
    }

    /// <summary>The first thing found wrong; null when all is well.</summary>
    public string? Problem { get; private set; }

    /// <summary>Finds the members; false when the text is another value than an object.</summary>
    /// <exception cref="JsonException">The text is no JSON, or more than one value.</exception>
    public bool TryRead()
    {
        var reader = new Utf8JsonReader(_json, JsonText.AnyDepth);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) return false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName) ReadMember(ref reader);
        // Past the end of the object the reader accepts white space alone, and throws for anything else.
        reader.Read();
        return true;
    }

    /// <summary>The members of the object that is the value of <paramref name="member"/>.</summary>
    public readonly ObjectMembers ObjectAt(Member member)
    {
        var members = new ObjectMembers(Raw(member), _nullIsAbsent);
        members.TryRead();
        return members;
    }

    /// <summary>Notes what is wrong, unless something was before.</summary>
    public void Fail(string problem) => Problem ??= problem;

    /// <summary>Whether the object has <paramref name="member"/>.</summary>
    public readonly bool Has(Member member)
    {
        var type = TypeOf(member);
        return type != JsonTokenType.None && !(_nullIsAbsent && type == JsonTokenType.Null && member != Member.Data);
    }

    /// <summary>The kind of value of <paramref name="member"/>; None when it is absent.</summary>
    public readonly JsonTokenType TypeOf(Member member) => _slots[(int)member].Type;

    /// <summary>The bytes of the value of <paramref name="member"/>.</summary>
    public readonly ReadOnlySpan<byte> Raw(Member member)
    {
        var slot = _slots[(int)member];
        return _json.Slice(slot.Start, slot.Length);
    }

    /// <summary>A string; null when it is absent.</summary>
    public string? Text(Member member, string problem, int maxLength = int.MaxValue)
    {
        if (!Has(member)) return null;
        if (TypeOf(member) == JsonTokenType.String
            && JsonText.TryGetString(Raw(member), _slots[(int)member].Escaped, out var text)
            && text.Length <= maxLength)
        {
            return text;
        }
        Fail(problem);
        return null;
    }

    /// <summary>A string that must be there.</summary>
    public string RequiredText(Member member, string problem, int maxLength = int.MaxValue)
    {
        var text = Text(member, problem, maxLength);
        if (text is null) Fail(problem);
        return text ?? "";
    }

    /// <summary>
    /// The frame's type, as one of <paramref name="known"/> when it is among them: a string is made for unknown ones alone.
    /// </summary>
    public string Type(string[] known)
    {
        if (_slots[(int)Member.Type] is { Type: JsonTokenType.String, Escaped: false })
        {
            var name = Raw(Member.Type)[1..^1];
            foreach (var candidate in known)
            {
                if (Ascii.Equals(name, candidate)) return candidate;
            }
        }
        return RequiredText(Member.Type, "type must be a string");
    }

    /// <summary>A channel name that must be there.</summary>
    public string Channel()
    {
        const string Wrong = "channel must be a channel name";
        // The common case is judged before a string is made: a name is at most 200 bytes, a frame 64 KiB.
        var slot = _slots[(int)Member.Channel];
        if (slot is { Type: JsonTokenType.String, Escaped: false } && !ChannelName.IsValid(Raw(Member.Channel)[1..^1]))
        {
            Fail(Wrong);
            return "";
        }
        var name = RequiredText(Member.Channel, Wrong);
        if (!ChannelName.IsValid(name)) Fail(Wrong);
        return name;
    }

    /// <summary>An epoch that must be there.</summary>
    public string Epoch()
    {
        const string Wrong = "epoch must be a string of 1 to 64 characters";
        var epoch = RequiredText(Member.Epoch, Wrong, Position.MaxEpochLength);
        if (epoch.Length == 0) Fail(Wrong);
        return epoch;
    }

    /// <summary>An integer from 0; null when it is absent.</summary>
    public long? Integer(Member member, string problem, long max = WireLimits.MaxId)
    {
        if (!Has(member)) return null;
        if (TypeOf(member) == JsonTokenType.Number && JsonText.TryGetInteger(Raw(member), max, out var value)) return value;
        Fail(problem);
        return null;
    }

    /// <summary>An integer from 0 that must be there.</summary>
    public long RequiredInteger(Member member, string problem, long max = WireLimits.MaxId)
    {
        var value = Integer(member, problem, max);
        if (value is null) Fail(problem);
        return value ?? 0;
    }

    /// <summary>The request number; null when it is absent.</summary>
    public long? Id() => Integer(Member.Id, "id must be an integer from 0 to 2^53-1");

    /// <summary>
    /// The payload, of which exactly one form must be there. JSON stays where it is in <paramref name="json"/>, the memory that
    /// this object was read from.
    /// </summary>
    public Payload Payload(ReadOnlyMemory<byte> json)
    {
        if (Has(Member.Data) == Has(Member.Data64))
        {
            Fail("exactly one of data and data64 must be given");
            return default;
        }
        if (Has(Member.Data))
        {
            var slot = _slots[(int)Member.Data];
            return Protocol.Payload.Json(json.Slice(slot.Start, slot.Length));
        }
        if (TypeOf(Member.Data64) == JsonTokenType.String && TryDecodeBase64(out var bytes)) return Protocol.Payload.Binary(bytes);
        Fail("data64 must be base64");
        return default;
    }

    private readonly bool TryDecodeBase64(out byte[] bytes)
    {
        bytes = [];
        var text = Raw(Member.Data64);
        if (_slots[(int)Member.Data64].Escaped)
        {
            // Some writers escape the slash.
            if (!JsonText.TryGetString(text, true, out var unescaped)) return false;
            text = Encoding.UTF8.GetBytes(unescaped);
        }
        else
        {
            text = text[1..^1];
        }
        // RFC 4648, 3.3: characters outside the alphabet are refused, though .NET would pass over white space.
        if (!Base64.IsValid(text, out var length) || text.ContainsAny(WhiteSpace)) return false;
        bytes = length == 0 ? [] : new byte[length];
        return Base64.DecodeFromUtf8(text, bytes, out _, out _) == OperationStatus.Done;
    }

    private void ReadMember(ref Utf8JsonReader reader)
    {
        var member = MemberNames.Find(reader.ValueSpan);
        var duplicate = false;
        if (member == Member.Unknown && !TryFindOther(ref reader, out member, out duplicate))
        {
            Fail("a member's name is not valid Unicode");
        }

        reader.Read();
        var start = (int)reader.TokenStartIndex;
        var type = reader.TokenType;
        var escaped = reader.ValueIsEscaped;
        // The depth of the object's own values is 1.
        if (!JsonText.SkipValue(ref reader, WireLimits.MaxDepth)) Fail("the frame is nested too deeply");

        if (member != Member.Unknown)
        {
            ref var slot = ref _slots[(int)member];
            duplicate = slot.Type != JsonTokenType.None;
            slot = new Slot(start, (int)reader.BytesConsumed - start, type, escaped);
        }
        if (!duplicate) return;
        Fail("a member is given twice");
        // Of two request numbers none is the right one to answer with.
        if (member == Member.Id) _slots[(int)Member.Id] = default;
    }

    /// <summary>Handles names with escapes, and names not known. False when the name is no Unicode text.</summary>
    private bool TryFindOther(ref Utf8JsonReader reader, out Member member, out bool duplicate)
    {
        member = Member.Unknown;
        duplicate = false;
        // ValueSpan has no quotes; the token's bytes do.
        var token = _json.Slice((int)reader.TokenStartIndex, reader.ValueSpan.Length + 2);
        if (!JsonText.TryGetString(token, reader.ValueIsEscaped, out var name)) return false;
        if (reader.ValueIsEscaped) member = MemberNames.Find(Encoding.UTF8.GetBytes(name));
        if (member == Member.Unknown) duplicate = !(_unknown ??= new HashSet<string>(StringComparer.Ordinal)).Add(name);
        return true;
    }

    private readonly record struct Slot(int Start, int Length, JsonTokenType Type, bool Escaped);

    [InlineArray(MemberNames.Count)]
    private struct Slots
    {
        private Slot _first;
    }
}

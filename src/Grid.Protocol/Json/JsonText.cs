using System.Buffers.Text;
using System.Text;
using System.Text.Json;

namespace Grid.Protocol.Json;

/// <summary>Reads single JSON tokens whose bytes are known to be well-formed JSON in valid UTF-8.</summary>
internal static class JsonText
{
    /// <summary>
    /// The reader's own limit on depth is lifted, because past it the reader could not tell a frame that is too deep (answered)
    /// from one that is no JSON (closed). It keeps one bit per level and does not recurse, so depth costs it nothing.
    /// </summary>
    public static readonly JsonReaderOptions AnyDepth = new() { MaxDepth = int.MaxValue };

    /// <summary>
    /// Moves <paramref name="reader"/> to the last token of the value it stands on. False when an array or object lies deeper
    /// than <paramref name="maxDepth"/>, the depth of the outermost being 0; the whole value is read even then.
    /// </summary>
    public static bool SkipValue(ref Utf8JsonReader reader, int maxDepth)
    {
        if (reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray)) return true;
        var outer = reader.CurrentDepth;
        var shallow = outer <= maxDepth;
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject or JsonTokenType.StartArray:
                    shallow &= reader.CurrentDepth <= maxDepth;
                    break;
                case JsonTokenType.EndObject or JsonTokenType.EndArray when reader.CurrentDepth == outer:
                    return shallow;
            }
        }
        return shallow;
    }

    /// <summary>The string of a string token, quotes included; false when an escape in it is half a surrogate pair.</summary>
    public static bool TryGetString(ReadOnlySpan<byte> token, bool escaped, out string value)
    {
        value = "";
        if (!escaped)
        {
            value = Encoding.UTF8.GetString(token[1..^1]);
            return true;
        }
        // Asked first, because the reader answers by an exception: a frame can hold thousands of such strings.
        if (HasLoneSurrogate(token)) return false;
        var reader = new Utf8JsonReader(token);
        reader.Read();
        value = reader.GetString()!;
        return true;
    }

    /// <summary>
    /// An integer 0 to <paramref name="max"/> written in digits alone: no sign, fraction or exponent, so that one number has
    /// one form.
    /// </summary>
    public static bool TryGetInteger(ReadOnlySpan<byte> token, long max, out long value) =>
        Utf8Parser.TryParse(token, out value, out var consumed) && consumed == token.Length && token[0] != (byte)'-' && value <= max;

    private static bool HasLoneSurrogate(ReadOnlySpan<byte> token)
    {
        var high = false;
        for (var i = 0; i < token.Length; i++)
        {
            var unit = 0;
            if (token[i] == (byte)'\\' && token[++i] == (byte)'u')
            {
                if (!Utf8Parser.TryParse(token.Slice(i + 1, 4), out unit, out _, 'X')) return true;
                i += 4;
            }
            var low = unit is >= 0xDC00 and <= 0xDFFF;
            if (low != high) return true;
            high = unit is >= 0xD800 and <= 0xDBFF;
        }
        return high;
    }
}

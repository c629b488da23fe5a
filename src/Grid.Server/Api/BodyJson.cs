using System.Text.Json;
using System.Text.Unicode;
using Grid.Protocol;

namespace Grid.Server.Api;

/// <summary>What the hand-written readers of request bodies share. They end a bad body by <see cref="GridProblemException"/>.</summary>
internal static class BodyJson
{
    /// <summary>A reader over a whole body that may nest <paramref name="levels"/> deeper than a payload may.</summary>
    public static Utf8JsonReader Reader(ReadOnlySpan<byte> utf8, int levels)
    {
        // The reader itself does not look into the strings it skips.
        if (!Utf8.IsValid(utf8)) throw Bad("The body is no valid UTF-8.");
        return new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = WireLimits.MaxDepth + levels });
    }

    /// <summary>Says where JSON is broken. The exception's own text is not shown: it quotes the body.</summary>
    public static string Describe(JsonException e) =>
        $"The body is no valid JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine}, or nests deeper than {WireLimits.MaxDepth} levels.";

    /// <summary>The text of a string token; null for a JSON null.</summary>
    public static string? TextOrNull(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        if (reader.TokenType != JsonTokenType.String) throw Bad($"'{name}' must be a string.");
        try
        {
            return reader.GetString();
        }
        catch (InvalidOperationException)
        {
            throw Bad($"'{name}' has an unpaired surrogate.");
        }
    }

    /// <summary>A whole number from 0 to 2^53 - 1; null for a JSON null.</summary>
    public static long? WholeOrNull(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var value) || value is < 0 or > WireLimits.MaxId)
            throw Bad($"'{name}' must be a whole number from 0 to 2^53 - 1.");
        return value;
    }

    /// <summary>Refuses a member that came before.</summary>
    public static void Once(ref int seen, int bit, string name)
    {
        if ((seen & bit) != 0) throw Bad($"'{name}' is given twice.");
        seen |= bit;
    }

    /// <summary>Reads a body that is one object and whose members are all known; a wrong name would be a setting that silently does nothing.</summary>
    /// <param name="utf8">The body.</param>
    /// <param name="optional">Whether a body of nothing counts as an empty object.</param>
    /// <param name="member">Reads the members.</param>
    public static void ReadObject(ReadOnlySpan<byte> utf8, bool optional, MemberReader member)
    {
        if (optional && utf8.TrimStart(" \t\r\n"u8).IsEmpty) return;
        var reader = Reader(utf8, 0);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw Bad("The body must be a JSON object.");
            ReadMembers(ref reader, "", member);

            // Past the end the reader accepts white space alone.
            reader.Read();
        }
        catch (JsonException e)
        {
            throw Bad(Describe(e));
        }
    }

    /// <summary>Reads an object in the body, on whose beginning the reader stands.</summary>
    /// <param name="reader">Stands on the value.</param>
    /// <param name="name">The member whose value it is.</param>
    /// <param name="member">Reads its members.</param>
    public static void ReadObject(ref Utf8JsonReader reader, string name, MemberReader member)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw Bad($"'{name}' must be an object.");
        ReadMembers(ref reader, name + ".", member);
    }

    /// <summary>An array of strings; null for a JSON null.</summary>
    public static string[]? TextsOrNull(ref Utf8JsonReader reader, string name, int most)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        if (reader.TokenType != JsonTokenType.StartArray) throw Bad($"'{name}' must be an array of strings.");
        var texts = new List<string>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (texts.Count == most) throw Bad($"'{name}' has more than {most} entries.");
            texts.Add(reader.TokenType == JsonTokenType.String ? TextOrNull(ref reader, name)! : throw Bad($"'{name}' must be an array of strings."));
        }

        return [.. texts];
    }

    /// <summary>A number within bounds; null for a JSON null.</summary>
    public static double? NumberOrNull(ref Utf8JsonReader reader, string name, double least, double most)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetDouble(out var value) || !(value >= least && value <= most))
            throw Bad(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"'{name}' must be a number from {least} to {most}."));
        return value;
    }

    /// <summary>A whole number within bounds; null for a JSON null.</summary>
    public static int? WholeOrNull(ref Utf8JsonReader reader, string name, int least, int most)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out var value) || value < least || value > most)
            throw Bad($"'{name}' must be a whole number from {least} to {most}.");
        return value;
    }

    /// <summary>True or false; null for a JSON null.</summary>
    public static bool? FlagOrNull(ref Utf8JsonReader reader, string name) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.True => true,
        JsonTokenType.False => false,
        _ => throw Bad($"'{name}' must be true or false."),
    };

    /// <summary>A time as RFC 3339 has it; null for a JSON null.</summary>
    public static DateTimeOffset? TimeOrNull(ref Utf8JsonReader reader, string name)
    {
        var text = TextOrNull(ref reader, name);
        if (text is null) return null;
        return Rfc3339.TryParse(text, out var time) ? time : throw Bad($"'{name}' must be a time as RFC 3339 has it, such as 2026-01-01T12:00:00Z.");
    }

    /// <summary>A refusal of the body.</summary>
    public static GridProblemException Bad(string detail) => new(GridProblem.BadRequest(detail));

    private static void ReadMembers(ref Utf8JsonReader reader, string at, MemberReader member)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = NameOf(ref reader);
            if (!seen.Add(name)) throw Bad($"'{at}{Shown(name)}' is given twice.");
            reader.Read();
            if (!member(name, ref reader)) throw Bad($"'{at}{Shown(name)}' is not known here.");
        }
    }

    private static string NameOf(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Bad("A member's name has an unpaired surrogate.");
        }
    }

    /// <summary>A name of the body's choice, as far as it can be shown.</summary>
    private static string Shown(string name) => name.Length <= 64 && !name.AsSpan().ContainsAnyExceptInRange(' ', '~') ? name : "…";
}

/// <summary>Reads the value of one member; the reader stands on its first token, and afterwards on its last.</summary>
/// <param name="name">The member's name.</param>
/// <param name="reader">The reader.</param>
/// <returns>False: there is no such member.</returns>
internal delegate bool MemberReader(string name, ref Utf8JsonReader reader);

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

    /// <summary>A refusal of the body.</summary>
    public static GridProblemException Bad(string detail) => new(GridProblem.BadRequest(detail));
}

using System.Text.Json;
using System.Text.Unicode;
using Grid.Protocol.Json;

namespace Grid.Protocol;

/// <summary>What a JSON payload must be, wherever it comes from.</summary>
public static class JsonPayload
{
    /// <summary>
    /// Whether <paramref name="json"/> is one well-formed JSON value in valid UTF-8, nested at most
    /// <see cref="WireLimits.MaxDepth"/> deep: the same rule that the codec applies to <c>data</c>. White space may stand around it;
    /// a byte order mark may not.
    /// </summary>
    /// <param name="json">The text.</param>
    /// <param name="error">What is wrong, for a person; null when nothing is.</param>
    public static bool TryValidate(ReadOnlySpan<byte> json, out string? error)
    {
        error = null;
        if (!Utf8.IsValid(json))
        {
            error = "the JSON text is not valid UTF-8";
            return false;
        }
        try
        {
            var reader = new Utf8JsonReader(json, JsonText.AnyDepth);
            reader.Read();
            // A value that is nested once has depth 0 in the reader's count.
            if (!JsonText.SkipValue(ref reader, WireLimits.MaxDepth - 1)) error = "the JSON text is nested too deeply";
            reader.Read();
        }
        catch (JsonException)
        {
            error = "the text is not one well-formed JSON value";
        }
        return error is null;
    }
}

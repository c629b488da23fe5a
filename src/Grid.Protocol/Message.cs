using System.Text;

namespace Grid.Protocol;

/// <summary>What a message carries: the bytes of a JSON value exactly as the publisher sent them, or opaque bytes.</summary>
/// <param name="Bytes">The JSON text in UTF-8, or the opaque bytes. Never changed after it was made.</param>
/// <param name="IsBinary">True for opaque bytes (<c>data64</c> in JSON), false for JSON (<c>data</c>).</param>
public readonly record struct Payload(ReadOnlyMemory<byte> Bytes, bool IsBinary)
{
    /// <summary>A payload of JSON text; the caller warrants that it is one well-formed value.</summary>
    public static Payload Json(ReadOnlyMemory<byte> utf8) => new(utf8, false);

    /// <summary>A payload of opaque bytes.</summary>
    public static Payload Binary(ReadOnlyMemory<byte> bytes) => new(bytes, true);
}

/// <summary>
/// One message of a channel, as it is stored, relayed and delivered. Immutable: the log, every silo and every subscriber
/// share one instance.
/// </summary>
public sealed class Message
{
    /// <summary>The longest <see cref="Key"/>, in UTF-8 bytes.</summary>
    public const int MaxKeyBytes = 256;

    /// <summary>The longest <see cref="Event"/>, in characters.</summary>
    public const int MaxEventLength = 128;

    /// <summary>The place in the channel; 1 for the first message of an epoch.</summary>
    public required long Offset { get; init; }

    /// <summary>When the channel accepted it, in Unix milliseconds by the server's clock; never falls within an epoch.</summary>
    public required long At { get; init; }

    /// <summary>What the publisher sent.</summary>
    public required Payload Payload { get; init; }

    /// <summary>The idempotency key that the publisher gave, if any; also what <c>conflate</c> groups by.</summary>
    public string? Key { get; init; }

    /// <summary>The kind of event that the publisher named, if any.</summary>
    public string? Event { get; init; }

    /// <summary>The user of the token that published it; null for a publish by API key.</summary>
    public string? From { get; init; }

    /// <summary>
    /// Whether <paramref name="key"/> may be a <see cref="Key"/>: 1 to <see cref="MaxKeyBytes"/> bytes of UTF-8 without control
    /// characters or halves of surrogate pairs.
    /// </summary>
    public static bool IsValidKey(ReadOnlySpan<char> key) =>
        key.Length is > 0 and <= MaxKeyBytes && IsPlainText(key) && Encoding.UTF8.GetByteCount(key) <= MaxKeyBytes;

    /// <summary>
    /// Whether <paramref name="name"/> may be an <see cref="Event"/>: 1 to <see cref="MaxEventLength"/> characters, none of them a
    /// control character or half a surrogate pair.
    /// </summary>
    public static bool IsValidEvent(ReadOnlySpan<char> name) => name.Length is > 0 and <= MaxEventLength && IsPlainText(name);

    private static bool IsPlainText(ReadOnlySpan<char> text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsControl(text[i])) return false;
            if (!char.IsSurrogate(text[i])) continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1])) return false;
            i++;
        }
        return true;
    }
}

using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Grid.Protocol;

namespace Grid.Server.Webhooks.Signing;

/// <summary>
/// The <c>webhook-id</c> of a message: <c>msg_</c> and the message's place, in base64url. It follows from the place, so that every
/// attempt, also one after a crash, has the same without anybody storing it, and the place can be read from it again. To receivers it
/// is opaque.
/// </summary>
/// <remarks>
/// The bytes: the length of the epoch (1 byte), the epoch in UTF-8, the offset (7 bits a byte, lowest first, the high bit set on all
/// but the last), the channel. The alphabet of base64url has no full stop, which would let a part of the id be taken for the
/// timestamp that follows it in the signed text (Standard Webhooks, "Signature scheme").
/// </remarks>
internal static class WebhookMessageId
{
    /// <summary>The longest id, in characters: of a place with the longest epoch and channel.</summary>
    public const int MaxLength = 560;

    private const string Prefix = "msg_";
    private const int MaxOffsetBytes = 10;
    private const int RandomBytes = 15;

    private static readonly SearchValues<char> Allowed =
        SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c).Where(c => c != '.')]);

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>
    /// Whether a text may be sent as <c>webhook-id</c>: 1 to <see cref="MaxLength"/> printable ASCII characters without space and full
    /// stop.
    /// </summary>
    public static bool IsValid(ReadOnlySpan<char> id) => id.Length is > 0 and <= MaxLength && !id.ContainsAnyExcept(Allowed);

    /// <summary>The id of the message at a place.</summary>
    public static string For(string channel, Position position)
    {
        Span<byte> bytes = stackalloc byte[MaxBytes(channel, position)];
        return Prefix + Base64Url.EncodeToString(bytes[..Write(channel, position, bytes)]);
    }

    /// <summary>Whether a text is the id of the message at a place.</summary>
    public static bool IsFor(string id, string channel, Position position)
    {
        Span<byte> bytes = stackalloc byte[MaxBytes(channel, position)];
        var written = bytes[..Write(channel, position, bytes)];
        if (id.Length != Prefix.Length + Base64Url.GetEncodedLength(written.Length) || !id.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        Span<char> text = stackalloc char[id.Length - Prefix.Length];
        Base64Url.EncodeToChars(written, text);
        return id.AsSpan(Prefix.Length).SequenceEqual(text);
    }

    /// <summary>An id for what has no place in a channel, such as a test event: 120 random bits. It reads as no place.</summary>
    public static string Random() => "evt_" + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(RandomBytes));

    /// <summary>Reads the place back; false for any text that <see cref="For"/> does not make.</summary>
    public static bool TryParse(string id, [NotNullWhen(true)] out string? channel, out Position position)
    {
        (channel, position) = (null, default);
        if (id.Length > MaxLength || !id.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        Span<byte> bytes = stackalloc byte[MaxLength];
        // The decoders that answer with a bool throw at what is no base64url.
        if (Base64Url.DecodeFromChars(id.AsSpan(Prefix.Length), bytes, out _, out var length) != OperationStatus.Done || length < 2) return false;

        var epochEnd = 1 + bytes[0];
        if (epochEnd >= length) return false;
        var at = epochEnd;
        ulong offset = 0;
        for (var shift = 0; ; shift += 7)
        {
            if (at == length || at - epochEnd == MaxOffsetBytes) return false;
            offset |= (ulong)(bytes[at] & 0x7F) << shift;
            if (bytes[at++] < 0x80) break;
        }

        if (offset > long.MaxValue || !ChannelName.IsValid(bytes[at..length])) return false;
        try
        {
            position = new Position(StrictUtf8.GetString(bytes[1..epochEnd]), (long)offset);
        }
        catch (ArgumentException)
        {
            return false;
        }

        var name = Encoding.ASCII.GetString(bytes[at..length]);
        // One message has one id: another spelling of the same place is none.
        if (For(name, position) != id) return false;
        channel = name;
        return true;
    }

    private static int MaxBytes(string channel, Position position) => 1 + Encoding.UTF8.GetMaxByteCount(position.Epoch.Length) + MaxOffsetBytes + channel.Length;

    private static int Write(string channel, Position position, Span<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position.Offset);
        var length = 1 + Encoding.UTF8.GetBytes(position.Epoch, bytes[1..]);
        bytes[0] = checked((byte)(length - 1));
        var rest = (ulong)position.Offset;
        for (; rest >= 0x80; rest >>= 7) bytes[length++] = (byte)(rest | 0x80);
        bytes[length++] = (byte)rest;
        return length + Encoding.ASCII.GetBytes(channel, bytes[length..]);
    }
}

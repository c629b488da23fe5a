using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Grid.Protocol.Json;

/// <summary>
/// Writes a message frame straight into the output: the one frame that is written for every message published. The whole
/// frame's room is asked for once, and most of it is copying.
/// </summary>
internal ref struct MessageWriter
{
    /// <summary>The fixed text with all members, and three integers at their longest.</summary>
    private const int FixedLength = 192;

    /// <summary>The longest form of one character: <c>\uXXXX</c>.</summary>
    private const int MaxEscapedLength = 6;

    /// <summary>The characters that are written as they are: printable ASCII but the quote and the backslash.</summary>
    private static readonly SearchValues<char> Plain =
        SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (char)c).Where(c => c is not ('"' or '\\'))]);

    private readonly Span<byte> _span;
    private int _length;

    private MessageWriter(Span<byte> span) => _span = span;

    public static void Write(string channel, Message message, IBufferWriter<byte> output)
    {
        var payload = message.Payload.Bytes.Span;
        var texts = channel.Length + (message.Key?.Length ?? 0) + (message.Event?.Length ?? 0) + (message.From?.Length ?? 0);
        var payloadLength = message.Payload.IsBinary ? Base64.GetMaxEncodedToUtf8Length(payload.Length) : payload.Length;

        var writer = new MessageWriter(output.GetSpan(FixedLength + (texts * MaxEscapedLength) + payloadLength));
        writer.Raw("{\"type\":\"message\",\"channel\":"u8);
        writer.Text(channel);
        writer.Raw(",\"offset\":"u8);
        writer.Number(message.Offset);
        writer.Raw(",\"at\":"u8);
        writer.Number(message.At);
        if (message.Payload.IsBinary)
        {
            writer.Raw(",\"data64\":\""u8);
            Base64.EncodeToUtf8(payload, writer._span[writer._length..], out _, out var written);
            writer._length += written;
            writer.Raw("\""u8);
        }
        else
        {
            writer.Raw(",\"data\":"u8);
            writer.Raw(payload);
        }
        writer.Optional(",\"key\":"u8, message.Key);
        writer.Optional(",\"event\":"u8, message.Event);
        writer.Optional(",\"from\":"u8, message.From);
        writer.Raw("}"u8);
        output.Advance(writer._length);
    }

    private void Optional(ReadOnlySpan<byte> start, string? text)
    {
        if (text is null) return;
        Raw(start);
        Text(text);
    }

    private void Text(string text)
    {
        Raw("\""u8);
        // Letters that the encoder would leave alone but are not ASCII take the longer way too.
        if (!text.AsSpan().ContainsAnyExcept(Plain))
        {
            _length += Encoding.UTF8.GetBytes(text, _span[_length..]);
        }
        else
        {
            Escaped(text);
        }
        Raw("\""u8);
    }

    private void Escaped(string text)
    {
        var chars = ArrayPool<char>.Shared.Rent(text.Length * MaxEscapedLength);
        PooledWriter.Encoder.Encode(text, chars, out _, out var count);
        _length += Encoding.UTF8.GetBytes(chars.AsSpan(0, count), _span[_length..]);
        ArrayPool<char>.Shared.Return(chars);
    }

    private void Number(long value)
    {
        Utf8Formatter.TryFormat(value, _span[_length..], out var written);
        _length += written;
    }

    private void Raw(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_span[_length..]);
        _length += bytes.Length;
    }
}

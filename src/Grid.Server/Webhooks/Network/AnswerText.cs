using System.Buffers;
using System.Text;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Makes text of an endpoint's answer that can be stored and shown: UTF-8 with what is not replaced by U+FFFD, and so are control
/// characters (a database may refuse U+0000, a terminal obeys others) and those that turn the direction of writing, except tab and the
/// ends of lines.
/// </summary>
internal static class AnswerText
{
    /// <summary>Makes a text safe, and clips it.</summary>
    public static string Make(string text, int most) => Make(Encoding.UTF8.GetBytes(text), most, out _);

    /// <summary>Reads an answer.</summary>
    /// <param name="bytes">The answer.</param>
    /// <param name="most">The most bytes that the text may have as UTF-8.</param>
    /// <param name="clipped">Whether something was left out.</param>
    public static string Make(ReadOnlySpan<byte> bytes, int most, out bool clipped)
    {
        var text = new StringBuilder(Math.Min(bytes.Length, most));
        var size = 0;
        clipped = false;
        Span<char> pair = stackalloc char[2];
        while (bytes.Length > 0)
        {
            var status = Rune.DecodeFromUtf8(bytes, out var rune, out var read);
            if (status != OperationStatus.Done || IsUnsafe(rune)) rune = Rune.ReplacementChar;
            size += rune.Utf8SequenceLength;
            if (size > most)
            {
                clipped = true;
                break;
            }

            text.Append(pair[..rune.EncodeToUtf16(pair)]);
            bytes = bytes[read..];
        }

        return text.ToString();
    }

    private static bool IsUnsafe(Rune rune) => rune.Value switch
    {
        '\t' or '\n' or '\r' => false,
        < 0x20 or (>= 0x7F and < 0xA0) => true,
        0x200E or 0x200F or 0x061C or (>= 0x2028 and <= 0x202E) or (>= 0x2066 and <= 0x2069) => true,
        _ => false,
    };
}

using System.Buffers.Text;
using System.Diagnostics;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>
/// The payload that every peer carries alike: a JSON string of the size asked for, which begins with when it was sent, in hexadecimal
/// digits of fixed width, and by whom, where there is room. It is found by its first bytes, whatever frame is around it.
/// </summary>
internal static class Stamp
{
    /// <summary>The smallest payload: it says when it was sent, and not by whom.</summary>
    public const int MinSize = 3 + TickDigits + 1;

    /// <summary>The smallest payload that says who sent it.</summary>
    public const int MinSizeWithSender = MinSize + SenderDigits;

    /// <summary>From the payload's start to the time's first digit.</summary>
    public const int TickOffset = 3;

    // 48 bits of nanoseconds: more than three days, and the rest is known from when this process started.
    private const int TickDigits = 12;
    private const long Wrap = 1L << (4 * TickDigits);
    private const int SenderDigits = 8;

    private static readonly long Started = Stopwatch.GetTimestamp();
    private static readonly long Base = Started & ~(Wrap - 1);

    private static ReadOnlySpan<byte> Mark => "\"t~"u8;

    private static ReadOnlySpan<byte> Digits => "0123456789abcdef"u8;

    /// <summary>A payload without a time yet.</summary>
    public static byte[] Payload(int size, int sender)
    {
        if (size < MinSize) throw new BenchmarkException($"A payload has at least {MinSize} bytes.");
        var head = $"\"t~{new string('0', TickDigits)}{(size >= MinSizeWithSender ? $"{sender:x8}" : "")}";
        return Encoding.ASCII.GetBytes(head + new string('x', size - head.Length - 1) + "\"");
    }

    /// <summary>Writes the time at a place.</summary>
    public static void WriteTicks(Span<byte> at, long ticks)
    {
        for (var i = TickDigits - 1; i >= 0; i--)
        {
            at[i] = Digits[(int)(ticks & 15)];
            ticks >>= 4;
        }
    }

    /// <summary>When the message was sent, in ticks of the stopwatch; 0 when it carries no time.</summary>
    public static long Ticks(ReadOnlySpan<byte> message)
    {
        var at = message.IndexOf(Mark);
        if (at < 0 || !Utf8Parser.TryParse(message.Slice(at + TickOffset, TickDigits), out long ticks, out _, 'x') || ticks == 0) return 0;
        ticks |= Base;
        return ticks < Started ? ticks + Wrap : ticks;
    }

    /// <summary>Who sent the message, of at least <see cref="MinSizeWithSender"/> bytes; -1 when it does not say.</summary>
    public static int Sender(ReadOnlySpan<byte> message)
    {
        var at = message.IndexOf(Mark);
        return at >= 0 && Utf8Parser.TryParse(message.Slice(at + TickOffset + TickDigits, SenderDigits), out int sender, out _, 'x')
            ? sender : -1;
    }
}

using System.Buffers.Text;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>A keep-alive HTTP/1.1 connection with one request under way at a time.</summary>
internal abstract class HttpExchange(Load load, int index) : LoadConnection(load, index)
{
    public override void Start() => Load.OnOpen(this);

    /// <summary>A request was answered with 200.</summary>
    /// <param name="body">The body, in one piece.</param>
    protected abstract void OnAnswer(ReadOnlySpan<byte> body);

    protected override int Consume(Span<byte> bytes)
    {
        var end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0) return 0;
        ReadOnlySpan<byte> head = bytes[..(end + 4)];
        var rest = bytes[(end + 4)..];
        int length, used;
        if (head.IndexOf("Transfer-Encoding: chunked"u8) >= 0)
        {
            used = ChunkedEnd(rest);
            if (used < 0) return 0;
            length = JoinChunks(rest);
        }
        else
        {
            used = length = ContentLength(head);
            if (used > rest.Length) return 0;
        }

        if (head.StartsWith("HTTP/1.1 200"u8)) OnAnswer(rest[..length]);
        else Load.OnFault(this, Encoding.UTF8.GetString(head) + Encoding.UTF8.GetString(rest[..Math.Min(length, 400)]));
        return end + 4 + used;
    }

    private static int ContentLength(ReadOnlySpan<byte> head)
    {
        var at = head.IndexOf("Content-Length: "u8);
        return at >= 0 && Utf8Parser.TryParse(head[(at + 16)..], out int length, out _) ? length : 0;
    }

    /// <summary>The end of a chunked body; -1 when it is not all there.</summary>
    private static int ChunkedEnd(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        while (at < bytes.Length)
        {
            if (!TryChunk(bytes[at..], out var header, out var size)) return -1;
            at += header + size + 2;
            if (size == 0) return at <= bytes.Length ? at : -1;
        }

        return -1;
    }

    /// <summary>Moves the chunks of a whole body together, to its front; returns their length.</summary>
    private static int JoinChunks(Span<byte> bytes)
    {
        var (at, length) = (0, 0);
        while (TryChunk(bytes[at..], out var header, out var size) && size > 0)
        {
            bytes.Slice(at + header, size).CopyTo(bytes[length..]);
            length += size;
            at += header + size + 2;
        }

        return length;
    }

    private static bool TryChunk(ReadOnlySpan<byte> bytes, out int header, out int size)
    {
        size = 0;
        header = bytes.IndexOf("\r\n"u8) + 2;
        return header > 2 && Utf8Parser.TryParse(bytes, out size, out _, 'x');
    }
}

using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>A keep-alive HTTP/1.1 connection that publishes batches to one channel; one request is under way at a time.</summary>
internal sealed class HttpConnection(Load load, int index, string apiKey) : LoadConnection(load, index)
{
    private byte[]? _request;
    private int[] _ticksAt = [];
    private long _requests;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>Messages per request.</summary>
    public int Batch { get; init; } = 1;

    public override void Start() => Load.OnOpen(this);

    public override void Publish(long ticks)
    {
        _request ??= Template();
        var to = Append(_request.Length);
        _request.CopyTo(to);
        foreach (var at in _ticksAt) Stamp.WriteTicks(to[at..], ticks);
    }

    protected override int Consume(Span<byte> bytes)
    {
        var end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0) return 0;
        ReadOnlySpan<byte> head = bytes[..(end + 4)];
        var total = head.IndexOf("Transfer-Encoding: chunked"u8) >= 0
            ? ChunkedEnd(bytes, end + 4)
            : end + 4 + ContentLength(head);
        if (total < 0 || total > bytes.Length) return 0;
        if (!head.StartsWith("HTTP/1.1 200"u8)) Load.OnFault(this, Encoding.UTF8.GetString(bytes[..Math.Min(total, 400)]));
        Load.OnPublished(this, Batch, ++_requests);
        return total;
    }

    private static int ContentLength(ReadOnlySpan<byte> head)
    {
        var at = head.IndexOf("Content-Length: "u8);
        return at >= 0 && Utf8Parser.TryParse(head[(at + 16)..], out int length, out _) ? length : 0;
    }

    /// <summary>The end of a chunked body; -1 when it is not all there.</summary>
    private static int ChunkedEnd(ReadOnlySpan<byte> bytes, int at)
    {
        while (at < bytes.Length)
        {
            var line = bytes[at..].IndexOf("\r\n"u8);
            if (line < 0 || !Utf8Parser.TryParse(bytes[at..], out int size, out _, 'x')) return -1;
            at += line + 2 + size + 2;
            if (size == 0) return at;
        }

        return -1;
    }

    private byte[] Template()
    {
        var payload = Encoding.ASCII.GetString(Stamp.Payload(Size, Index));
        var items = string.Join(',', Enumerable.Repeat($$"""{"data":{{payload}}}""", Batch));
        var body = Batch == 1 ? items : $"[{items}]";
        var head = $"POST /v1/channels/{Channel}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {apiKey}\r\n"
            + $"Content-Type: application/json\r\nContent-Length: {body.Length.ToString(CultureInfo.InvariantCulture)}\r\n\r\n";
        var first = head.Length + (Batch == 1 ? 0 : 1) + "{\"data\":".Length + Stamp.TickOffset;
        var step = payload.Length + "{\"data\":},".Length;
        _ticksAt = [.. Enumerable.Range(0, Batch).Select(i => first + (i * step))];
        return Encoding.ASCII.GetBytes(head + body);
    }
}

using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>A keep-alive HTTP/1.1 connection that publishes batches to one channel; one request is under way at a time.</summary>
internal sealed class HttpConnection(Load load, int index, string apiKey) : HttpExchange(load, index)
{
    private byte[]? _request;
    private int[] _ticksAt = [];
    private long _requests;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>Messages per request.</summary>
    public int Batch { get; init; } = 1;

    public override void Publish(long ticks)
    {
        _request ??= Template();
        var to = Append(_request.Length);
        _request.CopyTo(to);
        foreach (var at in _ticksAt) Stamp.WriteTicks(to[at..], ticks);
    }

    protected override void OnAnswer(ReadOnlySpan<byte> body) => Load.OnPublished(this, Batch, ++_requests);

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

using System.Buffers.Text;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>Reads pages of the past over HTTP; what comes is looked at no further than its last offset, which has to be the right one.</summary>
internal sealed class HttpPages(Load load, int index, string apiKey) : HttpExchange(load, index)
{
    private long _expected;

    /// <summary>Messages of a page.</summary>
    public required int Limit { get; init; }

    /// <summary>Bytes of all pages.</summary>
    public long Bytes { get; private set; }

    /// <summary>Asks for a page.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="after">The offset before the page's first; the channel has a whole page after it.</param>
    public void Ask(string channel, long after)
    {
        _expected = after + Limit;
        var request = $"GET /v1/channels/{channel}/messages?after={after}&limit={Limit} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {apiKey}\r\n\r\n";
        Encoding.ASCII.GetBytes(request, Append(request.Length));
    }

    public override void Publish(long ticks) => throw new NotSupportedException("It only reads.");

    protected override void OnAnswer(ReadOnlySpan<byte> body)
    {
        Bytes += body.Length;
        var name = "\"offset\":"u8;
        var at = body.LastIndexOf(name);
        if (at < 0 || !Utf8Parser.TryParse(body[(at + name.Length)..], out long offset, out _) || offset != _expected)
            Load.OnFault(this, $"the page that was to end at {_expected} is {Encoding.UTF8.GetString(body[..Math.Min(body.Length, 200)])}");
        Load.OnPublished(this, Limit, _expected);
    }
}

using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>
/// A client of Grid's JSON subprotocol, after the wire contract. Frames are told apart by their first bytes and looked into no further
/// than needed; offsets are checked for every message, since a fast wrong answer is worth nothing.
/// </summary>
internal sealed class GridConnection(Load load, int index, string token) : WebSocketConnection(load, index)
{
    private const long FirstId = 1_000_000_000;
    private const int NumberDigits = 7;

    private byte[]? _publish;
    private int _ticksAt;
    private int _idAt;
    private int _keyAt;
    private int _numberAt;
    private long _nextId = FirstId;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>Whether publishes ask for an answer.</summary>
    public bool Acknowledged { get; init; }

    /// <summary>Where the subscription starts, in the protocol's words: <c>"start"</c>, <c>{"last":100}</c>; null for now.</summary>
    public string? From { get; init; }

    /// <summary>Whether it publishes to many channels: <see cref="LoadConnection.Channel"/> and a number of seven digits.</summary>
    public bool Numbered { get; init; }

    /// <summary>Whether publishes carry a key: the number of the publish.</summary>
    public bool Keyed { get; init; }

    /// <summary>The key that the next publish has if it names no other.</summary>
    public long NextKey => _nextId;

    /// <summary>The last offset received, or the place before the first.</summary>
    public long Cursor { get; private set; }

    /// <summary>The channel's epoch.</summary>
    public string Epoch { get; private set; } = "";

    /// <summary>The session; kept for a resume.</summary>
    public string Session { get; private set; } = "";

    /// <summary>Set before opening again: the next hello resumes.</summary>
    public bool Resumes { get; set; }

    /// <summary>What the last welcome said became of the session.</summary>
    public string State { get; private set; } = "";

    private string _resumeToken = "";

    protected override string Path => "/v1/ws";

    protected override string Subprotocol => "grid.v1.json";

    protected override void OnUpgraded()
    {
        var cursors = $$$"""{"{{{Channel}}}":{"epoch":"{{{Epoch}}}","offset":{{{Cursor}}}}}""";
        var resume = Resumes ? $$$""","resume":{"session":"{{{Session}}}","token":"{{{_resumeToken}}}","cursors":{{{cursors}}}}""" : "";
        WriteFrame(TextFrame, Encoding.UTF8.GetBytes($$$"""{"type":"hello","token":"{{{token}}}","client":"grid-bench/1.0"{{{resume}}}}"""));
    }

    public override void Publish(long ticks) => PublishAs(ticks, _nextId);

    /// <summary>Publishes to one of many channels. Returns the request's number.</summary>
    public long PublishTo(int number, long ticks)
    {
        _publish ??= Template();
        Utf8Formatter.TryFormat(number, _publish.AsSpan(_numberAt), out _, new StandardFormat('D', NumberDigits));
        return PublishAs(ticks, _nextId);
    }

    /// <summary>Publishes under a key of before: what was published with it, if it was, is not stored again. Returns the request's number.</summary>
    public long PublishAs(long ticks, long key)
    {
        _publish ??= Template();
        var to = Append(_publish.Length);
        _publish.CopyTo(to);
        Stamp.WriteTicks(to[_ticksAt..], ticks);
        if (_idAt > 0) Utf8Formatter.TryFormat(_nextId, to[_idAt..], out _);
        if (_keyAt > 0) Utf8Formatter.TryFormat(key, to[_keyAt..], out _);
        return _nextId++;
    }

    /// <summary>Subscribes to its channel.</summary>
    public void Subscribe()
    {
        var from = From is null ? "" : $",\"from\":{From}";
        WriteFrame(TextFrame, Encoding.UTF8.GetBytes($$"""{"type":"subscribe","id":1,"channel":"{{Channel}}"{{from}}}"""));
    }

    /// <summary>Ends the subscription; <see cref="Load.OnUnsubscribed"/> tells when.</summary>
    public void Unsubscribe() =>
        WriteFrame(TextFrame, Encoding.UTF8.GetBytes($$"""{"type":"unsubscribe","id":2,"channel":"{{Channel}}"}"""));

    protected override void OnPayload(Span<byte> payload)
    {
        ReadOnlySpan<byte> frame = payload;
        switch (frame.Length > 9 ? frame[9] : 0)
        {
            case (byte)'m':
                OnMessage(frame);
                return;
            case (byte)'p' when frame[10] == (byte)'u':
                Load.OnPublished(this, 1, Number(frame, "\"id\":"u8));
                return;
            case (byte)'p':
                return;
            case (byte)'w':
                OnWelcome(frame);
                return;
            case (byte)'s':
                Cursor = Number(frame, "\"cursor\":"u8);
                Epoch = String(frame, "\"epoch\":\""u8);
                Load.OnSubscribed(this);
                return;
            case (byte)'u':
                Load.OnUnsubscribed(this);
                return;
            case (byte)'g' when frame[10] == (byte)'a':
                Load.OnFault(this, "gap: " + Encoding.UTF8.GetString(frame));
                return;
            case (byte)'g':
                return;
            default:
                Load.OnRefused(this, Number(frame, "\"id\":"u8), Encoding.UTF8.GetString(frame));
                return;
        }
    }

    private void OnMessage(ReadOnlySpan<byte> frame)
    {
        var offset = Number(frame, "\"offset\":"u8);
        if (offset != Cursor + 1) Load.OnFault(this, $"offset {offset} after {Cursor}");
        Cursor = offset;
        Load.OnMessage(this, frame);
    }

    private void OnWelcome(ReadOnlySpan<byte> frame)
    {
        Session = String(frame, "\"session\":\""u8);
        _resumeToken = String(frame, "\"resumeToken\":\""u8);
        State = String(frame, "\"state\":\""u8);
        if (Subscribes && State == "new") Subscribe();
        Load.OnOpen(this);
    }

    private byte[] Template()
    {
        var number = FirstId.ToString(CultureInfo.InvariantCulture);
        var id = Acknowledged ? $$"""
            "id":{{number}},
            """ : "";
        var key = Keyed ? $$"""
            "key":"{{number}}",
            """ : "";
        var before = Encoding.UTF8.GetBytes($$"""{"type":"publish",{{id}}{{key}}"channel":"{{Channel}}{{(Numbered ? new string('0', NumberDigits) : "")}}","data":""");
        var payload = Stamp.Payload(Size, Index);
        Span<byte> header = stackalloc byte[MaxHeader];
        var length = Header(header, TextFrame, before.Length + payload.Length + 1);
        _idAt = Acknowledged ? length + "{\"type\":\"publish\",\"id\":".Length : 0;
        _keyAt = Keyed ? length + "{\"type\":\"publish\",".Length + id.Length + "\"key\":\"".Length : 0;
        _numberAt = length + before.Length - "\",\"data\":".Length - NumberDigits;
        _ticksAt = length + before.Length + Stamp.TickOffset;
        return [.. header[..length], .. before, .. payload, (byte)'}'];
    }

    private static long Number(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> name)
    {
        var at = frame.IndexOf(name);
        return at >= 0 && Utf8Parser.TryParse(frame[(at + name.Length)..], out long value, out _) ? value : -1;
    }

    private static string String(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> name)
    {
        var at = frame.IndexOf(name);
        if (at < 0) return "";
        var rest = frame[(at + name.Length)..];
        return Encoding.UTF8.GetString(rest[..rest.IndexOf((byte)'"')]);
    }
}

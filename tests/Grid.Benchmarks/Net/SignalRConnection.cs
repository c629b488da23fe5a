using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>
/// A client of SignalR's JSON hub protocol. Records end with 0x1e, whatever frames they come in; they are told apart by their type, the
/// first field, and looked into no further than needed.
/// </summary>
internal sealed class SignalRConnection(Load load, int index) : WebSocketConnection(load, index)
{
    private const byte Separator = 0x1e;
    private const string JoinId = "j";
    private const long FirstId = 1_000_000_000;

    private CutFrames _stream;
    private CutFrames.Consumer? _records;
    private byte[]? _publish;
    private int _ticksAt;
    private int _idAt;
    private long _nextId = FirstId;
    private bool _greeted;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>Whether publishes ask for an answer.</summary>
    public bool Acknowledged { get; init; }

    protected override string Path => "/hub";

    public override void Detach()
    {
        base.Detach();
        _stream.Clear();
        _greeted = false;
    }

    public override void Publish(long ticks)
    {
        _publish ??= Template();
        var to = Append(_publish.Length);
        _publish.CopyTo(to);
        Stamp.WriteTicks(to[_ticksAt..], ticks);
        if (_idAt > 0) Utf8Formatter.TryFormat(_nextId++, to[_idAt..], out _);
    }

    protected override void OnUpgraded() => Say("""{"protocol":"json","version":1}""");

    protected override void OnPayload(Span<byte> payload) => _stream.Take(payload, _records ??= Records);

    private int Records(ReadOnlySpan<byte> bytes)
    {
        var used = 0;
        while (Fd >= 0)
        {
            var length = bytes[used..].IndexOf(Separator);
            if (length < 0) break;
            OnRecord(bytes.Slice(used, length));
            used += length + 1;
        }

        return Fd >= 0 ? used : bytes.Length;
    }

    private void OnRecord(ReadOnlySpan<byte> record)
    {
        if (!_greeted)
        {
            OnGreeted(record);
            return;
        }

        // {"type":1,…
        switch (record.Length > 8 ? record[8] : 0)
        {
            case (byte)'1':
                Load.OnMessage(this, record);
                return;
            case (byte)'3' when record.IndexOf("\"error\":"u8) >= 0:
                Load.OnFault(this, Encoding.UTF8.GetString(record));
                return;
            case (byte)'3' when record.IndexOf("\"invocationId\":\"j\""u8) >= 0:
                Load.OnSubscribed(this);
                return;
            case (byte)'3':
                Load.OnPublished(this, 1, Id(record));
                return;
            case (byte)'6':
                return;
            default:
                Fail("unexpected: " + Encoding.UTF8.GetString(record));
                return;
        }
    }

    private void OnGreeted(ReadOnlySpan<byte> answer)
    {
        if (!answer.SequenceEqual("{}"u8))
        {
            Fail("the handshake was answered by " + Encoding.UTF8.GetString(answer));
            return;
        }

        _greeted = true;
        if (Subscribes) Say($$"""{"type":1,"invocationId":"{{JoinId}}","target":"Join","arguments":["{{Channel}}"]}""");
        Load.OnOpen(this);
    }

    private void Say(string record) => WriteFrame(TextFrame, [.. Encoding.UTF8.GetBytes(record), Separator]);

    private byte[] Template()
    {
        const string Start = "{\"type\":1,";
        var id = Acknowledged ? $"\"invocationId\":\"{FirstId.ToString(CultureInfo.InvariantCulture)}\"," : "";
        var before = Encoding.UTF8.GetBytes($"{Start}{id}\"target\":\"Publish\",\"arguments\":[\"{Channel}\",");
        var payload = Stamp.Payload(Size, Index);
        Span<byte> header = stackalloc byte[MaxHeader];
        var length = Header(header, TextFrame, before.Length + payload.Length + 3);
        _idAt = Acknowledged ? length + Start.Length + "\"invocationId\":\"".Length : 0;
        _ticksAt = length + before.Length + Stamp.TickOffset;
        return [.. header[..length], .. before, .. payload, (byte)']', (byte)'}', Separator];
    }

    private static long Id(ReadOnlySpan<byte> record)
    {
        var name = "\"invocationId\":\""u8;
        var at = record.IndexOf(name);
        return at >= 0 && Utf8Parser.TryParse(record[(at + name.Length)..], out long id, out _) ? id : -1;
    }
}

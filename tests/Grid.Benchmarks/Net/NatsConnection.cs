using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>
/// A client of the NATS protocol in binary WebSocket frames. What is published in one turn goes out as one frame, as NATS's own
/// clients do; what arrives is a stream of protocol lines that need not end with a frame.
/// </summary>
internal sealed class NatsConnection(Load load, int index) : WebSocketConnection(load, index)
{
    private const long FirstId = 1_000_000_000;
    private const int ReplyDigits = 10;

    private ArrayBufferWriter<byte>? _pending;
    private byte[] _rest = [];
    private int _restLength;
    private byte[]? _publish;
    private int _ticksAt;
    private int _idAt;
    private long _nextId = FirstId;
    private bool _connected;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>Whether publishes go to JetStream and ask for its acknowledgement.</summary>
    public bool Acknowledged { get; init; }

    protected override string Path => "/";

    private string Subject => Subject_(Channel);

    private string Inbox => $"_INBOX.b{Index}";

    /// <summary>A channel's name as a subject: dots part it, not colons.</summary>
    public static string Subject_(string channel) => channel.Replace(':', '.');

    public override void Detach()
    {
        base.Detach();
        (_pending, _restLength, _connected) = (null, 0, false);
    }

    protected override void OnUpgraded()
    {
        // The server speaks first: INFO.
    }

    public override void Publish(long ticks)
    {
        _publish ??= Template();
        var to = Pending(_publish.Length);
        _publish.CopyTo(to);
        Stamp.WriteTicks(to[_ticksAt..], ticks);
        if (_idAt > 0) Utf8Formatter.TryFormat(_nextId++, to[_idAt..], out _);
        _pending!.Advance(_publish.Length);
    }

    /// <summary>Sends protocol text.</summary>
    public void Say(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        bytes.CopyTo(Pending(bytes.Length));
        _pending!.Advance(bytes.Length);
    }

    protected override void BeforeFlush()
    {
        if (_pending is not { WrittenCount: > 0 }) return;
        WriteFrame(BinaryFrame, _pending.WrittenSpan);
        _pending.ResetWrittenCount();
    }

    protected override void OnPayload(Span<byte> payload)
    {
        if (_restLength == 0)
        {
            Keep(payload[Lines(payload)..]);
            return;
        }

        // Seldom: a line or a message was cut by the end of a frame.
        var whole = ArrayPool<byte>.Shared.Rent(_restLength + payload.Length);
        _rest.AsSpan(0, _restLength).CopyTo(whole);
        payload.CopyTo(whole.AsSpan(_restLength));
        var all = whole.AsSpan(0, _restLength + payload.Length);
        Keep(all[Lines(all)..]);
        ArrayPool<byte>.Shared.Return(whole);
    }

    private void Keep(ReadOnlySpan<byte> rest)
    {
        if (rest.Length > _rest.Length) _rest = new byte[rest.Length * 2];
        rest.CopyTo(_rest);
        _restLength = rest.Length;
    }

    private int Lines(ReadOnlySpan<byte> bytes)
    {
        var used = 0;
        while (used < bytes.Length)
        {
            var rest = bytes[used..];
            var end = rest.IndexOf((byte)'\n');
            if (end < 0) break;
            var line = rest[..(end - 1)];
            used += end + 1;
            switch (line[0])
            {
                case (byte)'M':
                    // MSG subject sid [reply] size
                    var size = Number(line[(line.LastIndexOf((byte)' ') + 1)..]);
                    if (bytes.Length - used < size + 2) return used - end - 1;
                    OnMsg(line, bytes.Slice(used, size));
                    used += size + 2;
                    break;
                case (byte)'P' when line[1] == (byte)'I':
                    Say("PONG\r\n");
                    break;
                case (byte)'P' when !_connected:
                    _connected = true;
                    Load.OnOpen(this);
                    if (Subscribes) Load.OnSubscribed(this);
                    break;
                case (byte)'I' when !_connected:
                    // The answer to PING says that everything before it was taken in: the subscription too.
                    Say("CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"name\":\"grid-bench\"}\r\n"
                        + (Subscribes ? $"SUB {Subject} 1\r\n" : "")
                        + (Acknowledged ? $"SUB {Inbox}.* 2\r\n" : "")
                        + "PING\r\n");
                    break;
                case (byte)'-':
                    Load.OnFault(this, Encoding.UTF8.GetString(line));
                    break;
            }
        }

        return used;
    }

    private void OnMsg(ReadOnlySpan<byte> line, ReadOnlySpan<byte> payload)
    {
        if (!line.StartsWith("MSG _INBOX."u8))
        {
            Load.OnMessage(this, payload);
            return;
        }

        if (payload.IndexOf("\"error\""u8) >= 0) Load.OnFault(this, Encoding.UTF8.GetString(payload));
        var subject = line[4..];
        subject = subject[..subject.IndexOf((byte)' ')];
        Load.OnPublished(this, 1, Number(subject[^ReplyDigits..]));
    }

    private static int Number(ReadOnlySpan<byte> digits) => Utf8Parser.TryParse(digits, out int value, out _) ? value : -1;

    private byte[] Template()
    {
        var reply = Acknowledged ? $"{Inbox}.{FirstId} " : "";
        var line = Encoding.UTF8.GetBytes($"PUB {Subject} {reply}{Size}\r\n");
        _idAt = Acknowledged ? $"PUB {Subject} {Inbox}.".Length : 0;
        _ticksAt = line.Length + Stamp.TickOffset;
        return [.. line, .. Stamp.Payload(Size, Index), (byte)'\r', (byte)'\n'];
    }

    private Span<byte> Pending(int length)
    {
        MarkDirty();
        return (_pending ??= new ArrayBufferWriter<byte>(512)).GetSpan(length);
    }
}

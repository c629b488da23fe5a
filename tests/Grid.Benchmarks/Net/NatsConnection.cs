using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
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

    private static int _consumers;

    // Where its push consumer delivers: nobody else's, of an earlier run neither.
    private readonly string _delivery = $"deliver.b{Interlocked.Increment(ref _consumers).ToString(CultureInfo.InvariantCulture)}";
    private ArrayBufferWriter<byte>? _pending;
    private CutFrames _stream;
    private CutFrames.Consumer? _lines;
    private byte[]? _publish;
    private int _ticksAt;
    private int _idAt;
    private long _nextId = FirstId;
    private bool _connected;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    /// <summary>The stream of JetStream that it subscribes through, by a push consumer of its own; null for a subscription of the core.</summary>
    public string? Stream { get; init; }

    /// <summary>Whether its push consumer begins with the oldest message kept, and not with the next.</summary>
    public bool FromStart { get; init; }

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
        _stream.Clear();
        (_pending, _connected) = (null, false);
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

    protected override void OnPayload(Span<byte> payload) => _stream.Take(payload, _lines ??= Lines);

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
                    if (Subscribes && Stream is not null) CreateConsumer();
                    else if (Subscribes) Load.OnSubscribed(this);
                    break;
                case (byte)'I' when !_connected:
                    // The answer to PING says that everything before it was taken in: the subscription too.
                    Say("CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"name\":\"grid-bench\"}\r\n"
                        + (Subscribes ? $"SUB {(Stream is null ? Subject : _delivery)} 1\r\n" : "")
                        + (Acknowledged || Stream is not null ? $"SUB {Inbox}.* 2\r\n" : "")
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
        if (payload.IndexOf("consumer_create_response"u8) >= 0)
        {
            Load.OnSubscribed(this);
            return;
        }

        var subject = line[4..];
        subject = subject[..subject.IndexOf((byte)' ')];
        Load.OnPublished(this, 1, Number(subject[^ReplyDigits..]));
    }

    /// <summary>An ephemeral push consumer without acknowledgements: what one subscription costs in JetStream at the least.</summary>
    private void CreateConsumer()
    {
        var policy = FromStart ? "all" : "new";
        var settings = $$$"""{"stream_name":"{{{Stream}}}","config":{"deliver_subject":"{{{_delivery}}}","deliver_policy":"{{{policy}}}","ack_policy":"none","filter_subject":"{{{Subject}}}","replay_policy":"instant"}}""";
        Say($"PUB $JS.API.CONSUMER.CREATE.{Stream} {Inbox}.c {settings.Length}\r\n{settings}\r\n");
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

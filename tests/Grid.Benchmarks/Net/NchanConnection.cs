namespace Grid.Benchmarks.Net;

/// <summary>
/// A client of nchan: the address names the channel, and a frame is a message and nothing else. Publishers that do not subscribe are
/// told with every message how the channel stands, which is nchan's acknowledgement.
/// </summary>
internal sealed class NchanConnection(Load load, int index) : WebSocketConnection(load, index)
{
    private byte[]? _publish;
    private int _ticksAt;
    private long _published;

    /// <summary>Bytes of a published payload.</summary>
    public int Size { get; init; } = 128;

    protected override string Path => Subscribes ? $"/ws/{Channel}" : $"/pub/{Channel}";

    public override void Publish(long ticks)
    {
        _publish ??= Template();
        var to = Append(_publish.Length);
        _publish.CopyTo(to);
        Stamp.WriteTicks(to[_ticksAt..], ticks);
    }

    protected override void OnUpgraded()
    {
        Load.OnOpen(this);
        if (Subscribes) Load.OnSubscribed(this);
    }

    protected override void OnPayload(Span<byte> payload)
    {
        if (payload.Length > 0 && payload[0] == (byte)'"') Load.OnMessage(this, payload);
        else Load.OnPublished(this, 1, ++_published);
    }

    private byte[] Template()
    {
        Span<byte> header = stackalloc byte[MaxHeader];
        var length = Header(header, TextFrame, Size);
        _ticksAt = length + Stamp.TickOffset;
        return [.. header[..length], .. Stamp.Payload(Size, Index)];
    }
}

using System.Buffers.Binary;
using System.Text;

namespace Grid.Benchmarks.Net;

/// <summary>
/// A WebSocket client (RFC 6455) reduced to what a benchmark needs: the handshake is sent and its status looked at; frames go out
/// masked with a key of zeros, which the server has to apply like any other and the client does not.
/// </summary>
internal abstract class WebSocketConnection(Load load, int index) : LoadConnection(load, index)
{
    /// <summary>The longest header of a client's frame.</summary>
    protected const int MaxHeader = 14;

    /// <summary>Opcode and the bit that says "whole".</summary>
    protected const byte TextFrame = 0x81;

    protected const byte BinaryFrame = 0x82;
    private const byte CloseOpcode = 8;
    private const byte PingOpcode = 9;

    private bool _upgraded;

    protected abstract string Path { get; }

    protected virtual string? Subprotocol => null;

    public override void Detach()
    {
        base.Detach();
        _upgraded = false;
    }

    public override void Start()
    {
        var offer = Subprotocol is null ? "" : $"Sec-WebSocket-Protocol: {Subprotocol}\r\n";
        Write(Encoding.ASCII.GetBytes(
            $"GET {Path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + $"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"));
    }

    /// <summary>The upgrade was accepted.</summary>
    protected abstract void OnUpgraded();

    /// <summary>A part of a data frame's payload; returns false when the connection has ended.</summary>
    protected abstract void OnPayload(Span<byte> payload);

    protected void Write(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Append(bytes.Length));

    protected void WriteFrame(byte first, ReadOnlySpan<byte> payload)
    {
        Span<byte> header = stackalloc byte[MaxHeader];
        var length = Header(header, first, payload.Length);
        var to = Append(length + payload.Length);
        header[..length].CopyTo(to);
        payload.CopyTo(to[length..]);
    }

    /// <summary>A frame's header with a mask of zeros; returns its length.</summary>
    public static int Header(Span<byte> header, byte first, int payload)
    {
        header[..MaxHeader].Clear();
        header[0] = first;
        switch (payload)
        {
            case < 126:
                header[1] = (byte)(0x80 | payload);
                return 6;
            case <= ushort.MaxValue:
                header[1] = 0x80 | 126;
                BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)payload);
                return 8;
            default:
                header[1] = 0x80 | 127;
                BinaryPrimitives.WriteUInt64BigEndian(header[2..], (ulong)payload);
                return 14;
        }
    }

    protected override int Consume(Span<byte> bytes)
    {
        var used = 0;
        if (!_upgraded)
        {
            var end = bytes.IndexOf("\r\n\r\n"u8);
            if (end < 0) return 0;
            if (!bytes.StartsWith("HTTP/1.1 101"u8))
            {
                Fail("upgrade refused: " + Encoding.ASCII.GetString(bytes[..Math.Min(end, 120)]));
                return 0;
            }

            _upgraded = true;
            used = end + 4;
            OnUpgraded();
        }

        while (Fd >= 0)
        {
            var rest = bytes[used..];
            if (!TryFrame(rest, out var header, out var length) || rest.Length - header < length) return used;
            var payload = rest.Slice(header, length);
            switch (rest[0] & 15)
            {
                case CloseOpcode:
                    var code = length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(payload) : 1005;
                    Fail($"closed with {code} {(length > 2 ? Encoding.UTF8.GetString(payload[2..]) : "")}");
                    return used;
                case PingOpcode:
                    WriteFrame(0x8A, payload);
                    break;
                case 10:
                    break;
                default:
                    OnPayload(payload);
                    break;
            }

            used += header + length;
        }

        return used;
    }

    private static bool TryFrame(ReadOnlySpan<byte> bytes, out int header, out int length)
    {
        (header, length) = (2, 0);
        if (bytes.Length < 2) return false;
        length = bytes[1] & 127;
        if (length == 126)
        {
            header = 4;
            if (bytes.Length < 4) return false;
            length = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        }
        else if (length == 127)
        {
            header = 10;
            if (bytes.Length < 10) return false;
            length = checked((int)BinaryPrimitives.ReadUInt64BigEndian(bytes[2..]));
        }

        return true;
    }
}

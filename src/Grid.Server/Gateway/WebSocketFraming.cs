using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Relay;

namespace Grid.Server.Gateway;

/// <summary>
/// Writes server-side WebSocket frames (RFC 6455 section 5.2: unmasked, never fragmented), so that many frames can go out as one
/// write and one encoding can serve many sockets. Reading stays with the library.
/// </summary>
internal static class WebSocketFraming
{
    /// <summary>Opcodes of RFC 6455 section 11.8.</summary>
    public enum Opcode : byte
    {
        /// <summary>UTF-8 text.</summary>
        Text = 1,

        /// <summary>Bytes.</summary>
        Binary = 2,

        /// <summary>Close.</summary>
        Close = 8,

        /// <summary>Ping.</summary>
        Ping = 9,
    }

    /// <summary>An empty ping.</summary>
    public static readonly byte[] Ping = [0x80 | (byte)Opcode.Ping, 0];

    /// <summary>Writes one frame; RFC 7692 section 6 marks one whose payload is deflated by the first reserved bit.</summary>
    public static void Write(Opcode opcode, ReadOnlySpan<byte> payload, IBufferWriter<byte> output, bool isDeflated = false)
    {
        var header = output.GetSpan(10);
        header[0] = (byte)(0x80 | (isDeflated ? 0x40 : 0) | (byte)opcode);
        int length;
        switch (payload.Length)
        {
            case < 126:
                header[1] = (byte)payload.Length;
                length = 2;
                break;
            case <= ushort.MaxValue:
                header[1] = 126;
                BinaryPrimitives.WriteUInt16BigEndian(header[2..], (ushort)payload.Length);
                length = 4;
                break;
            default:
                header[1] = 127;
                BinaryPrimitives.WriteUInt64BigEndian(header[2..], (ulong)payload.Length);
                length = 10;
                break;
        }

        output.Advance(length);
        output.Write(payload);
    }

    /// <summary>A close frame; RFC 6455 section 5.5 leaves 123 bytes for the reason.</summary>
    public static byte[] CloseFrame(int code, string reason)
    {
        Span<byte> payload = stackalloc byte[125];
        BinaryPrimitives.WriteUInt16BigEndian(payload, (ushort)code);
        Encoding.UTF8.TryGetBytes(reason.Length > 120 ? reason[..120] : reason, payload[2..], out var written);
        var output = new ArrayBufferWriter<byte>(2 + 2 + written);
        Write(Opcode.Close, payload[..(2 + written)], output);
        return output.WrittenSpan.ToArray();
    }
}

/// <summary>
/// Encodes deliveries as complete WebSocket frames of one codec. Messages alone are deflated: other frames are small, and some carry
/// a secret, whose length must not depend on what else is in a compressed frame.
/// </summary>
internal sealed class WebSocketEncoder(IWireCodec codec, bool deflates = false) : IDeliveryEncoder
{
    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _scratch;

    private readonly WebSocketFraming.Opcode _opcode = codec.IsText ? WebSocketFraming.Opcode.Text : WebSocketFraming.Opcode.Binary;

    /// <summary>The codec.</summary>
    public IWireCodec Codec => codec;

    /// <inheritdoc/>
    public void EncodeMessage(ChannelId channel, string epoch, Message message, IBufferWriter<byte> output)
    {
        var scratch = Scratch();
        codec.EncodeMessage(channel.Name, message, scratch);
        if (deflates && MessageDeflate.TryDeflate(scratch.WrittenSpan, out var deflated))
            WebSocketFraming.Write(_opcode, deflated, output, isDeflated: true);
        else
            WebSocketFraming.Write(_opcode, scratch.WrittenSpan, output);
    }

    /// <inheritdoc/>
    public void EncodeGap(GapFrame gap, IBufferWriter<byte> output) => Encode(gap, output);

    /// <summary>Writes any frame.</summary>
    public void Encode(ServerFrame frame, IBufferWriter<byte> output)
    {
        var scratch = Scratch();
        codec.Encode(frame, scratch);
        WebSocketFraming.Write(_opcode, scratch.WrittenSpan, output);
    }

    private static ArrayBufferWriter<byte> Scratch()
    {
        var scratch = _scratch ??= new ArrayBufferWriter<byte>(4096);
        scratch.ResetWrittenCount();
        return scratch;
    }
}

using System.Buffers.Binary;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Grid.Testing.Wire;

/// <summary>A WebSocket frame as bytes.</summary>
/// <param name="Opcode">0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.</param>
/// <param name="Final">Whether it ends its message.</param>
/// <param name="Payload">Its payload.</param>
/// <param name="Reserved">Its three reserved bits, 0 to 7; 4 for a payload that is deflated.</param>
public sealed record WireFrame(int Opcode, bool Final, byte[] Payload, int Reserved = 0)
{
    /// <summary>The payload as text.</summary>
    public string Text => Encoding.UTF8.GetString(Payload);

    /// <summary>The code of a close frame; 1005 when it has none.</summary>
    public int CloseCode => Payload.Length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(Payload) : 1005;
}

/// <summary>
/// A TCP socket that does its own upgrade and writes whatever bytes a test wants: for what a well-behaved WebSocket library refuses
/// to send.
/// </summary>
public sealed class RawSocket : IDisposable
{
    private readonly TcpClient _tcp = new() { NoDelay = true };
    private readonly TimeSpan _timeout;
    private NetworkStream _stream = null!;

    private RawSocket(TimeSpan timeout) => _timeout = timeout;

    /// <summary>The status line and headers of the answer to the upgrade.</summary>
    public string ResponseHead { get; private set; } = "";

    /// <summary>The HTTP status of the answer to the upgrade; 0 before it.</summary>
    public int Status => ResponseHead.Length > 12 ? int.Parse(ResponseHead.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture) : 0;

    /// <summary>The subprotocol that the server chose; null for none.</summary>
    public string? Subprotocol => ResponseHead.Split("\r\n").Select(line => line.Split(": ", 2))
        .FirstOrDefault(header => header[0].Equals("Sec-WebSocket-Protocol", StringComparison.OrdinalIgnoreCase))?[1];

    /// <summary>The opcode of Grid's frames in the subprotocol agreed on.</summary>
    public int DataOpcode => Subprotocol == Subprotocols.Proto ? 2 : 1;

    /// <summary>Opens a TCP connection and nothing more.</summary>
    public static async Task<RawSocket> ConnectAsync(Uri host, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        var socket = new RawSocket(timeout ?? TimeSpan.FromSeconds(30));
        using var deadline = new TestDeadline(socket._timeout);
        await socket._tcp.ConnectAsync(host.Host, host.Port, deadline.Token).ConfigureAwait(false);
        socket._stream = socket._tcp.GetStream();
        return socket;
    }

    /// <summary>Opens a connection and upgrades it.</summary>
    public static async Task<RawSocket> UpgradeAsync(Uri host, string? token, string? subprotocol = Subprotocols.Json, TimeSpan? timeout = null, string? extensions = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        var socket = await ConnectAsync(host, timeout).ConfigureAwait(false);
        var key = Convert.ToBase64String(RandomNumberGenerator.GetBytes(16));
        var request = $"GET /v1/ws HTTP/1.1\r\nHost: {host.Authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + $"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            + (subprotocol is null ? "" : $"Sec-WebSocket-Protocol: {subprotocol}\r\n")
            + (extensions is null ? "" : $"Sec-WebSocket-Extensions: {extensions}\r\n")
            + (token is null ? "" : $"Authorization: Bearer {token}\r\n") + "\r\n";
        await socket.SendBytesAsync(Encoding.ASCII.GetBytes(request)).ConfigureAwait(false);
        await socket.ReadHeadAsync().ConfigureAwait(false);
        if (socket.Status == 101)
        {
            // RFC 6455 section 4.2.2: the answer proves that the server understood this very request.
#pragma warning disable CA5350 // The RFC prescribes SHA-1 here; nothing is protected by it.
            var expected = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
            if (!socket.ResponseHead.Contains(expected, StringComparison.Ordinal))
            {
                throw new TestFailedException($"The upgrade's answer has no valid Sec-WebSocket-Accept:\n{socket.ResponseHead}");
            }
        }

        return socket;
    }

    /// <summary>Writes bytes as they are.</summary>
    public async Task SendBytesAsync(ReadOnlyMemory<byte> bytes)
    {
        using var deadline = new TestDeadline(_timeout);
        await _stream.WriteAsync(bytes, deadline.Token).ConfigureAwait(false);
    }

    /// <summary>Writes one WebSocket frame.</summary>
    /// <param name="opcode">The opcode, valid or not.</param>
    /// <param name="payload">The payload.</param>
    /// <param name="final">The FIN bit.</param>
    /// <param name="masked">Whether it is masked, as a client must.</param>
    /// <param name="reserved">The three reserved bits, 0 to 7.</param>
    /// <param name="claimedLength">A length to claim instead of the payload's own.</param>
    public Task SendFrameAsync(
        int opcode, ReadOnlyMemory<byte> payload, bool final = true, bool masked = true, int reserved = 0, long? claimedLength = null) =>
        SendBytesAsync(Encode(opcode, payload.Span, final, masked, reserved, claimedLength));

    /// <summary>Writes one frame that is given as JSON, in the form of the subprotocol agreed on.</summary>
    public Task SendAsync(string text) => SendFrameAsync(DataOpcode, BytesOf(Subprotocol, text));

    /// <summary>The bytes that a frame, given as JSON, has in a subprotocol.</summary>
    public static byte[] BytesOf(string? subprotocol, string text) =>
        subprotocol == Subprotocols.Proto ? ProtoFrames.FromJson(text) : Encoding.UTF8.GetBytes(text);

    /// <summary>Reads until a frame of Grid's of this type; null when the stream ended before.</summary>
    public Task<WireFrame?> ReadUntilAsync(string type) => ReadUntilAsync(
        f => f.Opcode == DataOpcode && new RawFrame(0, DataOpcode == 2 ? ProtoFrames.ToJson(f.Payload) : f.Text).Type == type);

    /// <summary>The bytes of one WebSocket frame; see <see cref="SendFrameAsync"/>.</summary>
    public static byte[] Encode(
        int opcode, ReadOnlySpan<byte> payload, bool final = true, bool masked = true, int reserved = 0, long? claimedLength = null)
    {
        var length = claimedLength ?? payload.Length;
        var head = length < 126 ? 2 : length <= ushort.MaxValue ? 4 : 10;
        var frame = new byte[head + (masked ? 4 : 0) + payload.Length];
        frame[0] = (byte)((final ? 0x80 : 0) | ((reserved & 7) << 4) | (opcode & 15));
        frame[1] = (byte)(masked ? 0x80 : 0);
        if (head == 2)
        {
            frame[1] |= (byte)length;
        }
        else if (head == 4)
        {
            frame[1] |= 126;
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(2), (ushort)length);
        }
        else
        {
            frame[1] |= 127;
            BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(2), length);
        }

        var body = frame.AsSpan(head + (masked ? 4 : 0));
        payload.CopyTo(body);
        if (!masked) return frame;
        var mask = frame.AsSpan(head, 4);
        RandomNumberGenerator.Fill(mask);
        for (var i = 0; i < body.Length; i++) body[i] ^= mask[i & 3];
        return frame;
    }

    /// <summary>The next frame from the server; null at the end of the stream or a reset.</summary>
    public async Task<WireFrame?> ReadFrameAsync()
    {
        using var deadline = new TestDeadline(_timeout);
        try
        {
            var head = new byte[10];
            await _stream.ReadExactlyAsync(head.AsMemory(0, 2), deadline.Token).ConfigureAwait(false);
            long length = head[1] & 0x7F;
            if ((head[1] & 0x80) != 0) throw new TestFailedException("The server masked a frame, which RFC 6455 forbids.");
            if (length == 126)
            {
                await _stream.ReadExactlyAsync(head.AsMemory(2, 2), deadline.Token).ConfigureAwait(false);
                length = BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(2));
            }
            else if (length == 127)
            {
                await _stream.ReadExactlyAsync(head.AsMemory(2, 8), deadline.Token).ConfigureAwait(false);
                length = BinaryPrimitives.ReadInt64BigEndian(head.AsSpan(2));
            }

            var payload = new byte[length];
            await _stream.ReadExactlyAsync(payload, deadline.Token).ConfigureAwait(false);
            return new WireFrame(head[0] & 15, (head[0] & 0x80) != 0, payload, (head[0] >> 4) & 7);
        }
        catch (Exception e) when (e is EndOfStreamException or IOException or SocketException)
        {
            return null;
        }
        catch (OperationCanceledException)
        {
            throw new TestFailedException($"No frame came within {_timeout.TotalSeconds:0} s.");
        }
    }

    /// <summary>Reads frames until one matches; null when the stream ended before.</summary>
    public async Task<WireFrame?> ReadUntilAsync(Func<WireFrame, bool> match)
    {
        ArgumentNullException.ThrowIfNull(match);
        while (await ReadFrameAsync().ConfigureAwait(false) is { } frame)
        {
            if (match(frame)) return frame;
        }

        return null;
    }

    /// <summary>Reads to the end; the close frame's code, or 1006 when the stream ended without one.</summary>
    public async Task<int> ReadToCloseAsync() => (await ReadUntilAsync(f => f.Opcode == 8).ConfigureAwait(false))?.CloseCode ?? 1006;

    /// <inheritdoc/>
    public void Dispose() => _tcp.Dispose();

    private async Task ReadHeadAsync()
    {
        using var deadline = new TestDeadline(_timeout);
        var head = new List<byte>(512);
        var one = new byte[1];
        // Byte by byte, so that nothing after the head is swallowed.
        while (await _stream.ReadAsync(one, deadline.Token).ConfigureAwait(false) == 1)
        {
            head.Add(one[0]);
            if (head.Count > 3 && one[0] == '\n' && head[^3] == '\n') break;
        }

        ResponseHead = Encoding.ASCII.GetString([.. head]);
    }
}

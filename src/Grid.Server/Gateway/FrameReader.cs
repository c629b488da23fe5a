using System.Buffers;
using System.Net.WebSockets;

namespace Grid.Server.Gateway;

/// <summary>What was read from a socket.</summary>
internal enum ReadOutcome
{
    /// <summary>A whole message.</summary>
    Frame,

    /// <summary>The peer closed, or the connection is gone.</summary>
    Closed,

    /// <summary>The message is larger than allowed.</summary>
    TooLarge,

    /// <summary>The bytes break the WebSocket protocol, or the message is of the other kind (text, binary) than the subprotocol's.</summary>
    Violation,
}

/// <summary>
/// Reads whole messages from a socket. While it waits, no buffer is held: a zero-byte read tells when there is something.
/// </summary>
internal sealed class FrameReader(WebSocket socket, WebSocketMessageType expected, int maxBytes)
{
    private const int FirstRent = 4096;

    /// <summary>So many parts in a row of a message may be empty.</summary>
    private const int MostEmpty = 4096;
    private byte[]? _buffer;

    /// <summary>The message read last; valid until the next read.</summary>
    public ReadOnlyMemory<byte> Frame { get; private set; }

    /// <summary>The close code that the peer sent, if it closed with one.</summary>
    public int? PeerCloseCode => (int?)socket.CloseStatus;

    /// <summary>Reads the next message.</summary>
    public async ValueTask<ReadOutcome> ReadAsync(CancellationToken cancellationToken)
    {
        Frame = default;
        try
        {
            var waiting = socket.ReceiveAsync(Memory<byte>.Empty, cancellationToken);
            if (!waiting.IsCompleted) Release();
            var first = await waiting;
            if (first.MessageType == WebSocketMessageType.Close) return ReadOutcome.Closed;

            // Only an empty message ends without a byte.
            if (first.EndOfMessage) return first.MessageType == expected ? ReadOutcome.Frame : ReadOutcome.Violation;

            var empty = 0;
            _buffer ??= ArrayPool<byte>.Shared.Rent(FirstRent);
            for (var length = 0; ;)
            {
                if (length == _buffer.Length) Grow();

                // One byte more than allowed is enough to know, however much more a header claims.
                var window = _buffer.AsMemory(length, Math.Min(_buffer.Length, maxBytes + 1) - length);
                var got = await socket.ReceiveAsync(window, cancellationToken);
                if (got.MessageType == WebSocketMessageType.Close) return ReadOutcome.Closed;
                length += got.Count;
                if (length > maxBytes) return ReadOutcome.TooLarge;
                if (!got.EndOfMessage)
                {
                    // Deflated blocks may hold nothing, and so may fragments: a loop over them must end although nothing is waited for.
                    if (got.Count > 0) empty = 0;
                    else if (++empty > MostEmpty) return ReadOutcome.Violation;
                    continue;
                }

                if (got.MessageType != expected) return ReadOutcome.Violation;
                Frame = _buffer.AsMemory(0, length);
                return ReadOutcome.Frame;
            }
        }
        catch (WebSocketException e) when (e.WebSocketErrorCode is not WebSocketError.ConnectionClosedPrematurely)
        {
            return ReadOutcome.Violation;
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException)
        {
            return ReadOutcome.Closed;
        }
    }

    /// <summary>Gives the buffer back.</summary>
    public void Release()
    {
        if (_buffer is null) return;
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = null;
    }

    private void Grow()
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Min(_buffer!.Length * 4, maxBytes + 1));
        _buffer.CopyTo(larger, 0);
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = larger;
    }
}

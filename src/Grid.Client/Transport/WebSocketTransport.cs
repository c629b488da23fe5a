using System.Net.WebSockets;
using Grid.Protocol;

namespace Grid.Client;

/// <summary>Connections over <see cref="ClientWebSocket"/>.</summary>
public sealed class WebSocketTransport : IGridTransport
{
    /// <summary>
    /// Called for each connection before it is made, for proxies, certificates and headers. The subprotocol and the keep-alive, which
    /// the client's own heartbeat replaces, are already set.
    /// </summary>
    public Action<ClientWebSocketOptions>? Configure { get; init; }

    /// <summary>
    /// The largest frame taken from the server, in bytes. Default 4 MiB: a resume's <c>welcome</c> names every subscription. A larger
    /// one ends the connection.
    /// </summary>
    public int MaxReceiveBytes { get; init; } = 4 * 1024 * 1024;

    /// <inheritdoc/>
    public async Task<IGridConnection> ConnectAsync(Uri uri, string subprotocol, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(uri);
        var socket = new ClientWebSocket();
        try
        {
            socket.Options.AddSubProtocol(subprotocol);
            socket.Options.KeepAliveInterval = TimeSpan.Zero;
            Configure?.Invoke(socket.Options);
            await socket.ConnectAsync(uri, cancellationToken);
            return new Connection(socket, MaxReceiveBytes);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private sealed class Connection(ClientWebSocket socket, int maxReceiveBytes) : IGridConnection
    {
        private byte[] _buffer = new byte[4096];

        public ValueTask SendAsync(ReadOnlyMemory<byte> frame, bool isText, CancellationToken cancellationToken) => socket.SendAsync(
            frame, isText ? WebSocketMessageType.Text : WebSocketMessageType.Binary, endOfMessage: true, cancellationToken);

        public async ValueTask<Incoming> ReceiveAsync(CancellationToken cancellationToken)
        {
            var length = 0;
            while (true)
            {
                var result = await socket.ReceiveAsync(_buffer.AsMemory(length), cancellationToken);
                if (result.MessageType == WebSocketMessageType.Close)
                    return Incoming.Closed((int)(socket.CloseStatus ?? WebSocketCloseStatus.Empty), socket.CloseStatusDescription ?? "");
                length += result.Count;
                if (result.EndOfMessage) break;
                if (length < _buffer.Length) continue;
                if (length >= maxReceiveBytes) throw new InvalidDataException($"A frame from the server exceeds {maxReceiveBytes} bytes.");
                Array.Resize(ref _buffer, Math.Min(length * 2, maxReceiveBytes));
            }

            // A copy of its own: payloads point into it for as long as the application keeps the message.
            var frame = _buffer.AsSpan(0, length).ToArray();
            if (_buffer.Length > 64 * 1024) _buffer = new byte[4096];
            return Incoming.FromFrame(frame);
        }

        public async ValueTask CloseAsync(CloseCode code, string reason, CancellationToken cancellationToken)
        {
            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
                await socket.CloseOutputAsync((WebSocketCloseStatus)(int)code, reason, cancellationToken);
        }

        public ValueTask DisposeAsync()
        {
            socket.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}

using Grid.Protocol;

namespace Grid.Client;

/// <summary>Makes connections. The default is <see cref="WebSocketTransport"/>; tests put their own here.</summary>
public interface IGridTransport
{
    /// <summary>Opens a connection. Throws whatever describes the failure best; the client tries again.</summary>
    /// <param name="uri">The server's WebSocket address.</param>
    /// <param name="subprotocol">The WebSocket subprotocol to ask for.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    Task<IGridConnection> ConnectAsync(Uri uri, string subprotocol, CancellationToken cancellationToken);
}

/// <summary>
/// One connection: whole frames in order, in both directions. One caller sends and one receives, at the same time. Disposing it
/// while they run makes both fail.
/// </summary>
public interface IGridConnection : IAsyncDisposable
{
    /// <summary>Sends one frame.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> frame, bool isText, CancellationToken cancellationToken);

    /// <summary>
    /// Waits for the next frame, or for the server's close. The memory returned is not used again. Throws when the connection broke.
    /// </summary>
    ValueTask<Incoming> ReceiveAsync(CancellationToken cancellationToken);

    /// <summary>Says that nothing more will be sent. Does not wait for the server.</summary>
    ValueTask CloseAsync(CloseCode code, string reason, CancellationToken cancellationToken);
}

/// <summary>What a connection received: a frame, or the server's close.</summary>
public readonly record struct Incoming
{
    private Incoming(ReadOnlyMemory<byte> frame, int? closeCode, string closeReason) =>
        (Frame, CloseCode, CloseReason) = (frame, closeCode, closeReason);

    /// <summary>The frame's bytes.</summary>
    public ReadOnlyMemory<byte> Frame { get; }

    /// <summary>The WebSocket close code; null for a frame. 1005 when the server gave none.</summary>
    public int? CloseCode { get; }

    /// <summary>Why the server closed, for a person.</summary>
    public string CloseReason { get; }

    /// <summary>A frame.</summary>
    public static Incoming FromFrame(ReadOnlyMemory<byte> frame) => new(frame, null, "");

    /// <summary>The server's close.</summary>
    public static Incoming Closed(int code, string reason) => new(default, code, reason);
}

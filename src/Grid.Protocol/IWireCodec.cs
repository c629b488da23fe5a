using System.Buffers;

namespace Grid.Protocol;

/// <summary>
/// Turns frames into bytes and back. A codec has no state and does no I/O; one instance serves all connections at once.
/// Decoding never throws for any input: what is wrong comes back as a <see cref="Decoded{TFrame}"/>.
/// </summary>
public interface IWireCodec
{
    /// <summary>The WebSocket subprotocol that selects this codec, for example <c>grid.v1.json</c>.</summary>
    string Subprotocol { get; }

    /// <summary>Whether frames travel as WebSocket text messages (else binary).</summary>
    bool IsText { get; }

    /// <summary>
    /// Reads what a client sent. Payloads of the result may point into <paramref name="frame"/>, which must then stay unchanged
    /// for as long as they are used.
    /// </summary>
    Decoded<ClientFrame> DecodeClient(ReadOnlyMemory<byte> frame);

    /// <summary>Reads what a server sent; the same rule for payloads as in <see cref="DecodeClient"/>.</summary>
    Decoded<ServerFrame> DecodeServer(ReadOnlyMemory<byte> frame);

    /// <summary>Writes a frame from a client.</summary>
    void Encode(ClientFrame frame, IBufferWriter<byte> output);

    /// <summary>Writes a frame from a server.</summary>
    void Encode(ServerFrame frame, IBufferWriter<byte> output);

    /// <summary>Writes a <see cref="MessageFrame"/> without needing one: the path that every delivered message takes once.</summary>
    void EncodeMessage(string channel, Message message, IBufferWriter<byte> output);
}

/// <summary>How much of a frame could be understood.</summary>
public enum DecodeStatus
{
    /// <summary>A valid frame.</summary>
    Ok,

    /// <summary>A well-formed frame that asks for nothing valid: answered by <c>bad_frame</c>, and the connection goes on.</summary>
    BadFrame,

    /// <summary>Bytes that are no frame at all: the connection is closed with <see cref="CloseCode.ProtocolViolation"/>.</summary>
    NoFrame,
}

/// <summary>The outcome of decoding: a frame, or what is wrong with the bytes.</summary>
/// <typeparam name="TFrame">The kind of frame.</typeparam>
public readonly record struct Decoded<TFrame>
    where TFrame : class
{
    private Decoded(DecodeStatus status, TFrame? frame, long? id, string? error) =>
        (Status, Frame, Id, Error) = (status, frame, id, error);

    /// <summary>How much was understood.</summary>
    public DecodeStatus Status { get; }

    /// <summary>The frame, when <see cref="Status"/> is <see cref="DecodeStatus.Ok"/>.</summary>
    public TFrame? Frame { get; }

    /// <summary>The request number of a bad frame, if one could be read.</summary>
    public long? Id { get; }

    /// <summary>What is wrong, for a person.</summary>
    public string? Error { get; }

    /// <summary>A valid frame.</summary>
    public static Decoded<TFrame> Ok(TFrame frame) => new(DecodeStatus.Ok, frame, null, null);

    /// <summary>A well-formed but invalid frame.</summary>
    public static Decoded<TFrame> Bad(string error, long? id = null) => new(DecodeStatus.BadFrame, null, id, error);

    /// <summary>No frame at all.</summary>
    public static Decoded<TFrame> None(string error) => new(DecodeStatus.NoFrame, null, null, error);
}

/// <summary>Limits of the wire format that hold for every codec and are not settings.</summary>
public static class WireLimits
{
    /// <summary>The deepest nesting of a payload, the frame's own object not counted.</summary>
    public const int MaxDepth = 64;

    /// <summary>The largest request number: 2^53 - 1, which every JSON implementation keeps exactly.</summary>
    public const long MaxId = (1L << 53) - 1;

    /// <summary>The most cursors in one <c>hello</c> or <c>ack</c>.</summary>
    public const int MaxCursors = 10_000;

    /// <summary>The longest token accepted, in characters.</summary>
    public const int MaxTokenLength = 16 * 1024;
}

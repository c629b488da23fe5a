using System.Buffers;
using Grid.Protocol.Proto;

namespace Grid.Protocol;

/// <summary>
/// The subprotocol <c>grid.v1.proto</c>: one Protocol Buffers message per binary message, as <c>grid.v1.proto</c> (beside this
/// file, and in the package) describes it.
/// </summary>
/// <remarks>
/// <para>
/// Read and written by hand, not by generated classes: those would be a second set of frames to be copied to and from, allocate for
/// every delivery, answer each hostile frame by an exception, and can't tell a frame that says nothing valid (answered) from
/// bytes that are no frame (closed). The tests hold this codec against the classes that Google's compiler makes of the file.
/// </para>
/// <para>
/// No frame (<see cref="DecodeStatus.NoFrame"/>): bytes that break off, that use a wire type which does not exist, groups, field
/// number 0, a number longer than 64 bits, text that is not UTF-8.
/// </para>
/// <para>
/// A bad frame (<see cref="DecodeStatus.BadFrame"/>): no content that is known, or more than one; a field given twice, of the wrong
/// wire type or out of its bounds; a channel outside the grammar; a JSON payload that is not one JSON value, or nested deeper than
/// <see cref="WireLimits.MaxDepth"/>. Fields that are not known are ignored.
/// </para>
/// </remarks>
public sealed class ProtoWireCodec : IWireCodec
{
    private ProtoWireCodec()
    {
    }

    /// <summary>The one instance.</summary>
    public static ProtoWireCodec Instance { get; } = new();

    /// <inheritdoc/>
    public string Subprotocol => "grid.v1.proto";

    /// <inheritdoc/>
    public bool IsText => false;

    /// <inheritdoc/>
    public Decoded<ClientFrame> DecodeClient(ReadOnlyMemory<byte> frame) => ClientFrameReader.Read(frame);

    /// <inheritdoc/>
    /// <remarks>
    /// A frame with a content that this version does not know is a <see cref="DecodeStatus.BadFrame"/>, which a client passes over:
    /// servers may be newer.
    /// </remarks>
    public Decoded<ServerFrame> DecodeServer(ReadOnlyMemory<byte> frame) => ServerFrameReader.Read(frame);

    /// <inheritdoc/>
    public void Encode(ClientFrame frame, IBufferWriter<byte> output) => FrameWriter.Write(frame, output);

    /// <inheritdoc/>
    public void Encode(ServerFrame frame, IBufferWriter<byte> output) => FrameWriter.Write(frame, output);

    /// <inheritdoc/>
    public void EncodeMessage(string channel, Message message, IBufferWriter<byte> output) =>
        FrameWriter.WriteMessage(channel, message, output);
}

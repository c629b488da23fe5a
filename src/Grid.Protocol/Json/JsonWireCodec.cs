using System.Buffers;
using System.Text.Json;
using Grid.Protocol.Json;

namespace Grid.Protocol;

/// <summary>
/// The subprotocol <c>grid.v1.json</c>: one JSON object per text message. JSON payloads pass through byte for byte, in the
/// number forms, escapes and white space that the publisher chose.
/// </summary>
/// <remarks>
/// <para>
/// No frame (<see cref="DecodeStatus.NoFrame"/>): bytes that are not one JSON object in valid UTF-8, such as text that breaks
/// off, a byte order mark, or anything but white space after the object.
/// </para>
/// <para>
/// A bad frame (<see cref="DecodeStatus.BadFrame"/>): a member given twice, missing, of the wrong type or out of its bounds; an
/// unknown <c>type</c>; a channel outside the grammar; nesting deeper than <see cref="WireLimits.MaxDepth"/>. Members that are
/// not known are ignored. Numbers are integers written in digits alone.
/// </para>
/// </remarks>
public sealed class JsonWireCodec : IWireCodec
{
    private JsonWireCodec()
    {
    }

    /// <summary>The one instance.</summary>
    public static JsonWireCodec Instance { get; } = new();

    /// <inheritdoc/>
    public string Subprotocol => "grid.v1.json";

    /// <inheritdoc/>
    public bool IsText => true;

    /// <inheritdoc/>
    public Decoded<ClientFrame> DecodeClient(ReadOnlyMemory<byte> frame) => ClientFrameReader.Read(frame);

    /// <inheritdoc/>
    /// <remarks>
    /// A frame of a type that this version does not know is a <see cref="DecodeStatus.BadFrame"/>, which a client passes over:
    /// servers may be newer.
    /// </remarks>
    public Decoded<ServerFrame> DecodeServer(ReadOnlyMemory<byte> frame) => ServerFrameReader.Read(frame);

    /// <inheritdoc/>
    public void Encode(ClientFrame frame, IBufferWriter<byte> output)
    {
        var writer = PooledWriter.Rent(output);
        FrameWriter.Write(writer, frame);
        PooledWriter.FlushAndReturn(writer);
    }

    /// <inheritdoc/>
    public void Encode(ServerFrame frame, IBufferWriter<byte> output)
    {
        if (frame is MessageFrame message)
        {
            EncodeMessage(message.Channel, message.Message, output);
            return;
        }
        var writer = PooledWriter.Rent(output);
        FrameWriter.Write(writer, frame);
        PooledWriter.FlushAndReturn(writer);
    }

    /// <inheritdoc/>
    public void EncodeMessage(string channel, Message message, IBufferWriter<byte> output) =>
        MessageWriter.Write(channel, message, output);

    /// <summary>
    /// Writes <paramref name="message"/> as one item of a history or of an event stream:
    /// <c>{"channel"?,"offset","at","data"|"data64","key"?,"event"?,"from"?}</c>.
    /// </summary>
    /// <remarks>
    /// The payload keeps its white space, line breaks among it: who writes Server-Sent Events must begin a <c>data:</c> line after
    /// each. Not flushed.
    /// </remarks>
    /// <param name="writer">Where to; stands where a value may be written.</param>
    /// <param name="message">The message.</param>
    /// <param name="channel">The channel; null leaves the member out.</param>
    public static void WriteMessageItem(Utf8JsonWriter writer, Message message, string? channel = null) =>
        FrameWriter.WriteMessageItem(writer, message, channel);
}

using System.Buffers;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

/// <summary>What each message costs in memory in the binary form: the bounds are what was measured, as for JSON.</summary>
public class ProtoAllocationTests
{
    private const int Rounds = 1000;

    private static readonly ProtoWireCodec Codec = ProtoWireCodec.Instance;

    [Fact]
    public void Decoding_a_publish_allocates_the_frame_and_its_strings()
    {
        var bytes = Bytes(new PublishFrame
        {
            Id = 3, Channel = "room:1", Payload = Payload.Binary(new byte[1000]), Key = "k-1", Event = "chat.message",
        });
        Assert.InRange(Allocated(() => Codec.DecodeClient(bytes)), 0, 216);
    }

    [Fact]
    public void Decoding_a_ping_allocates_nothing()
    {
        var bytes = Bytes(PingFrame.Instance);
        Assert.Equal(0, Allocated(() => Codec.DecodeClient(bytes)));
    }

    [Theory]
    [InlineData("k-1", "chat.message", "ana", false)]
    [InlineData("k\"1", "é", "漢", true)]
    public void Encoding_a_message_allocates_nothing(string key, string name, string user, bool isBinary)
    {
        var message = new Message
        {
            Offset = 42, At = 1795452674123, Payload = new Payload(Utf8("""{"x":1}"""), isBinary), Key = key, Event = name, From = user,
        };
        var output = new ArrayBufferWriter<byte>(4096);
        Assert.Equal(0, Allocated(() =>
        {
            output.ResetWrittenCount();
            Codec.EncodeMessage("room:1", message, output);
        }));
    }

    [Fact]
    public void Encoding_an_answer_allocates_nothing()
    {
        var frame = new PublishedFrame(3, "room:1", "E", 42, false);
        var output = new ArrayBufferWriter<byte>(4096);
        Assert.Equal(0, Allocated(() =>
        {
            output.ResetWrittenCount();
            Codec.Encode(frame, output);
        }));
    }

    private static byte[] Bytes(ClientFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(frame, output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>Bytes per call on this thread, once everything has been called before.</summary>
    private static long Allocated(Action action)
    {
        for (var i = 0; i < Rounds; i++) action();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < Rounds; i++) action();
        return (GC.GetAllocatedBytesForCurrentThread() - before) / Rounds;
    }
}

using System.Buffers;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

/// <summary>
/// Guards on what each message costs in memory. The bounds are what was measured, so that a change which allocates more is a
/// decision.
/// </summary>
public class JsonAllocationTests
{
    private const int Rounds = 1000;

    [Fact]
    public void Decoding_a_publish_allocates_the_frame_and_its_strings()
    {
        var json = Utf8($$"""{"type":"publish","id":3,"channel":"room:1","data":{"text":"{{new string('x', 1000)}}"},"key":"k-1","event":"chat.message"}""");
        // The frame is 96 bytes, the strings of channel, key and event are 40, 32 and 48.
        Assert.InRange(Allocated(() => JsonWireCodec.Instance.DecodeClient(json)), 0, 216);
    }

    [Fact]
    public void Decoding_a_ping_allocates_nothing()
    {
        var json = Utf8("""{"type":"ping"}""");
        Assert.Equal(0, Allocated(() => JsonWireCodec.Instance.DecodeClient(json)));
    }

    [Theory]
    [InlineData("k-1", "chat.message", "ana")]
    [InlineData("k\"1", "é", "漢")]
    public void Encoding_a_message_allocates_nothing(string key, string name, string user)
    {
        var message = new Message
        {
            Offset = 42, At = 1795452674123, Payload = Payload.Json(Utf8("""{"x":1}""")), Key = key, Event = name, From = user,
        };
        var output = new ArrayBufferWriter<byte>(4096);
        Assert.Equal(0, Allocated(() =>
        {
            output.ResetWrittenCount();
            JsonWireCodec.Instance.EncodeMessage("room:1", message, output);
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
            JsonWireCodec.Instance.Encode(frame, output);
        }));
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

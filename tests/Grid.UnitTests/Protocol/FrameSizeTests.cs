using System.Buffers;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

/// <summary>The sizes in <c>docs/performance.md</c>: who changes a form of frames changes what stands there.</summary>
public class FrameSizeTests
{
    private const string Epoch = "4f1a71bd7097cde1", Channel = "room:1";
    private const long At = 1_795_452_674_123;

    private static readonly Payload Json128 = Payload.Json(Utf8($"\"{new string('x', 126)}\""));
    private static readonly Payload Bytes128 = Payload.Binary(new byte[128]);

    public static TheoryData<string, int, int> Sizes => new()
    {
        { "message, 128 bytes of JSON", 219, 157 },
        { "message, 128 bytes", 267, 157 },
        { "message, with key and event", 258, 180 },
        { "publish, 128 bytes of JSON", 200, 154 },
        { "publish, 128 bytes", 248, 154 },
        { "published", 109, 34 },
        { "subscribe", 65, 14 },
        { "subscribed", 100, 36 },
        { "gap", 99, 34 },
        { "ack of 1", 40, 15 },
        { "ack of 20", 326, 283 },
        { "ping", 15, 2 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Frames_have_the_sizes_that_the_documentation_gives(string name, int json, int proto)
    {
        Assert.Equal((name, json, proto), (name, Size(JsonWireCodec.Instance, name), Size(ProtoWireCodec.Instance, name)));
    }

    private static int Size(IWireCodec codec, string name)
    {
        var output = new ArrayBufferWriter<byte>();
        switch (Frame(name))
        {
            case ClientFrame frame:
                codec.Encode(frame, output);
                break;
            case ServerFrame frame:
                codec.Encode(frame, output);
                break;
        }
        return output.WrittenCount;
    }

    private static object Frame(string name) => name switch
    {
        "message, 128 bytes of JSON" => Delivered(Json128),
        "message, 128 bytes" => Delivered(Bytes128),
        "message, with key and event" => Delivered(Json128, "k-12345", "chat.message"),
        "publish, 128 bytes of JSON" => new PublishFrame { Id = 12345, Channel = Channel, Payload = Json128, Key = "k-12345" },
        "publish, 128 bytes" => new PublishFrame { Id = 12345, Channel = Channel, Payload = Bytes128, Key = "k-12345" },
        "published" => new PublishedFrame(12345, Channel, Epoch, 4242, false),
        "subscribe" => new SubscribeFrame { Id = 7, Channel = Channel, From = StartPoint.Last(50), HasFrom = true },
        "subscribed" => new SubscribedFrame(7, Channel, Epoch, 4242, 4192),
        "gap" => new GapFrame(Channel, Epoch, 10, 57, GapReason.Retention),
        "ack of 1" => new AckFrame { Cursors = new Dictionary<string, long> { [Channel] = 4242 } },
        "ack of 20" => new AckFrame { Cursors = Enumerable.Range(10, 20).ToDictionary(i => $"room:{i}", _ => 4242L) },
        _ => PingFrame.Instance,
    };

    private static MessageFrame Delivered(Payload payload, string? key = null, string? name = null) =>
        new(Channel, new Message { Offset = 4242, At = At, Payload = payload, Key = key, Event = name, From = "ana" });
}

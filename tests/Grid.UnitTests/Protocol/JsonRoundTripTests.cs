using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

public class JsonRoundTripTests
{
    private static readonly JsonWireCodec Codec = JsonWireCodec.Instance;

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Client_frames_come_back_as_they_went(ClientFrame frame) => Assert.Equal(Describe(frame), Describe(FromClient(Encode(frame))));

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Server_frames_come_back_as_they_went(ServerFrame frame) => Assert.Equal(Describe(frame), Describe(FromServer(Encode(frame))));

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 1000)]
    public void Both_ways_of_writing_a_message_agree(Message message)
    {
        var frame = new ArrayBufferWriter<byte>();
        Codec.EncodeMessage("room:1", message, frame);
        var item = new ArrayBufferWriter<byte>();
        using (var writer = new System.Text.Json.Utf8JsonWriter(item, new System.Text.Json.JsonWriterOptions
        {
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        }))
        {
            JsonWireCodec.WriteMessageItem(writer, message, "room:1");
        }
        Assert.Equal(
            "{\"type\":\"message\"," + Encoding.UTF8.GetString(item.WrittenSpan)[1..],
            Encoding.UTF8.GetString(frame.WrittenSpan));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Mutated_client_frames_have_an_outcome(int seed) => Mutations.Run(
        seed,
        FrameGenerators.ClientFrames.Sample(10, new Rnd((ulong)seed), 400).Select(frame => Utf8(Encode(frame))),
        kinds: Mutations.Common + 3,
        Change,
        bytes =>
        {
            var decoded = Codec.DecodeClient(bytes);
            if (decoded.Frame is { } frame) Assert.Equal(Describe(frame), Describe(FromClient(Encode(frame))));
            Mutations.Check(decoded);
            return decoded.Status;
        });

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void Mutated_server_frames_have_an_outcome(int seed) => Mutations.Run(
        seed,
        FrameGenerators.ServerFrames.Sample(10, new Rnd((ulong)seed), 400).Select(frame => Utf8(Encode(frame))),
        kinds: Mutations.Common + 3,
        Change,
        bytes =>
        {
            var decoded = Codec.DecodeServer(bytes);
            if (decoded.Frame is { } frame) Assert.Equal(Describe(frame), Describe(FromServer(Encode(frame))));
            Mutations.Check(decoded);
            return decoded.Status;
        });

    private static void Change(int kind, List<byte> frame, int at, byte[][] corpus, Random random)
    {
        switch (kind)
        {
            case Mutations.Common:
                string[] tokens =
                [
                    "{", "}", "[", "]", "\"", ",", ":", "\\", "\\ud800", "null", "-1", "1.5", "1e2", "9007199254740992", " ", "\"id\":1,",
                    "\"type\":\"ping\",", "\"data\":1,", "\"from\":", "{\"last\":1}", "\u0000", "é",
                ];
                frame.InsertRange(at, Utf8(tokens[random.Next(tokens.Length)]));
                break;
            case Mutations.Common + 1:
                // A whole member of another frame, roughly: from a comma or brace to the next comma.
                var other = corpus[random.Next(corpus.Length)];
                var start = Array.IndexOf(other, (byte)',', random.Next(other.Length));
                var end = start < 0 ? -1 : Array.IndexOf(other, (byte)',', start + 1);
                var comma = frame.IndexOf((byte)',');
                if (end > 0 && comma > 0) frame.InsertRange(comma, other[start..end]);
                break;
            default:
                // A digit becomes another, so that numbers stay numbers.
                var digit = frame.FindIndex(b => b is >= (byte)'0' and <= (byte)'9');
                if (digit >= 0) frame[digit] = (byte)random.Next('0', '9' + 1);
                break;
        }
    }
}

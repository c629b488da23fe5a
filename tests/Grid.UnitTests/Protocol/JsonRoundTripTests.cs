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
    public void Mutated_client_frames_have_an_outcome(int seed) => Mutate(
        seed,
        FrameGenerators.ClientFrames.Sample(10, new Rnd((ulong)seed), 400).Select(Encode),
        bytes =>
        {
            var decoded = Codec.DecodeClient(bytes);
            if (decoded.Frame is { } frame) Assert.Equal(Describe(frame), Describe(FromClient(Encode(frame))));
            Check(decoded);
            return decoded.Status;
        });

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void Mutated_server_frames_have_an_outcome(int seed) => Mutate(
        seed,
        FrameGenerators.ServerFrames.Sample(10, new Rnd((ulong)seed), 400).Select(Encode),
        bytes =>
        {
            var decoded = Codec.DecodeServer(bytes);
            if (decoded.Frame is { } frame) Assert.Equal(Describe(frame), Describe(FromServer(Encode(frame))));
            Check(decoded);
            return decoded.Status;
        });

    private static void Check<TFrame>(Decoded<TFrame> decoded)
        where TFrame : class
    {
        Assert.True(Enum.IsDefined(decoded.Status));
        Assert.Equal(decoded.Status == DecodeStatus.Ok, decoded.Frame is not null);
        Assert.Equal(decoded.Status == DecodeStatus.Ok, string.IsNullOrEmpty(decoded.Error));
        Assert.True(decoded.Id is null || decoded.Status == DecodeStatus.BadFrame);
    }

    /// <summary>Decodes 25,000 frames, each with one to three changes, and expects each outcome to have come up.</summary>
    private static void Mutate(int seed, IEnumerable<string> frames, Func<byte[], DecodeStatus> decode)
    {
        var random = new Random(seed);
        var corpus = frames.Select(Utf8).ToArray();
        var outcomes = new int[3];
        for (var i = 0; i < 25_000; i++)
        {
            var frame = corpus[random.Next(corpus.Length)].ToList();
            for (var changes = random.Next(1, 4); changes > 0; changes--) Change(frame, corpus, random);
            outcomes[(int)decode([.. frame])]++;
        }
        Assert.All(outcomes, count => Assert.True(count > 250, $"outcomes: {string.Join(", ", outcomes)}"));
    }

    private static void Change(List<byte> frame, byte[][] corpus, Random random)
    {
        string[] tokens =
        [
            "{", "}", "[", "]", "\"", ",", ":", "\\", "\\ud800", "null", "-1", "1.5", "1e2", "9007199254740992", " ", "\"id\":1,",
            "\"type\":\"ping\",", "\"data\":1,", "\"from\":", "{\"last\":1}", "\u0000", "é",
        ];
        var at = random.Next(frame.Count + 1);
        var some = Math.Min(random.Next(1, 12), frame.Count - at);
        switch (random.Next(7))
        {
            case 0 when at < frame.Count:
                frame[at] = (byte)random.Next(256);
                break;
            case 1 when at < frame.Count:
                frame[at] ^= (byte)(1 << random.Next(8));
                break;
            case 2:
                frame.RemoveRange(at, some);
                break;
            case 3:
                frame.InsertRange(random.Next(frame.Count + 1), frame.GetRange(at, some));
                break;
            case 4:
                frame.InsertRange(at, Utf8(tokens[random.Next(tokens.Length)]));
                break;
            case 5:
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

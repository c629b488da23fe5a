using System.Buffers;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Google.Protobuf;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;
using Wire = Grid.V1;

namespace Grid.UnitTests.Protocol;

/// <summary>
/// The binary codec against itself, and against the classes that Google's compiler made of <c>grid.v1.proto</c>, which know nothing of
/// it.
/// </summary>
public class ProtoRoundTripTests
{
    private static readonly ProtoWireCodec Codec = ProtoWireCodec.Instance;

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Client_frames_come_back_as_they_went(ClientFrame frame) =>
        Assert.Equal(Describe(frame), Describe(Frame(Codec.DecodeClient(Bytes(frame)))));

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Server_frames_come_back_as_they_went(ServerFrame frame) =>
        Assert.Equal(Describe(ToMilliseconds(frame)), Describe(Frame(Codec.DecodeServer(Bytes(frame)))));

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 1000)]
    public void Both_ways_of_writing_a_message_agree(Message message)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.EncodeMessage("room:1", message, output);
        Assert.Equal(Bytes(new MessageFrame("room:1", message)), output.WrittenSpan.ToArray());
    }

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Googles_classes_read_and_write_the_same_client_frames(ClientFrame frame)
    {
        var bytes = Bytes(frame);
        var theirs = Wire.ClientFrame.Parser.ParseFrom(bytes);

        // They leave out a token that is empty, without which these frames are none.
        if (frame is AuthFrame { Token: "" } or HelloFrame { Resume: { Session: "" } or { Token: "" } }) return;
        Assert.Equal(bytes, theirs.ToByteArray());
        Assert.Equal(Describe(frame), Describe(Frame(Codec.DecodeClient(theirs.ToByteArray()))));
    }

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 2000)]
    public void Googles_classes_read_and_write_the_same_server_frames(ServerFrame frame)
    {
        var bytes = Bytes(frame);
        Assert.Equal(bytes, Wire.ServerFrame.Parser.ParseFrom(bytes).ToByteArray());
    }

    [Property(Arbitrary = [typeof(FrameGenerators)], MaxTest = 1000)]
    public void Fields_of_a_later_version_are_passed_over(ServerFrame frame)
    {
        // Every layout that there is, at the end of the frame, where any order of fields is allowed.
        var later = new ArrayBufferWriter<byte>();
        later.Write((byte[])[0xC0, 0x3E, 0x96, 0x01]);
        later.Write((byte[])[0xC1, 0x3E, 1, 2, 3, 4, 5, 6, 7, 8]);
        later.Write((byte[])[0xC2, 0x3E, 3, 1, 2, 3]);
        later.Write((byte[])[0xC5, 0x3E, 1, 2, 3, 4]);
        byte[] bytes = [.. Bytes(frame), .. later.WrittenSpan];
        Assert.Equal(Describe(ToMilliseconds(frame)), Describe(Frame(Codec.DecodeServer(bytes))));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Mutated_client_frames_have_an_outcome(int seed) => Mutations.Run(
        seed,
        FrameGenerators.ClientFrames.Sample(10, new Rnd((ulong)seed), 400).Select(Bytes),
        kinds: Mutations.Common + 2,
        Change,
        bytes =>
        {
            var decoded = Codec.DecodeClient(bytes);
            Mutations.Check(decoded);
            if (decoded.Frame is not { } frame) return decoded.Status;
            Assert.Equal(Describe(frame), Describe(Frame(Codec.DecodeClient(Bytes(frame)))));

            // What is taken for a frame here is one to everybody.
            Wire.ClientFrame.Parser.ParseFrom(bytes);
            return decoded.Status;
        });

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    public void Mutated_server_frames_have_an_outcome(int seed) => Mutations.Run(
        seed,
        FrameGenerators.ServerFrames.Sample(10, new Rnd((ulong)seed), 400).Select(Bytes),
        kinds: Mutations.Common + 2,
        Change,
        bytes =>
        {
            var decoded = Codec.DecodeServer(bytes);
            Mutations.Check(decoded);
            if (decoded.Frame is { } frame) Assert.Equal(Describe(frame), Describe(Frame(Codec.DecodeServer(Bytes(frame)))));
            return decoded.Status;
        });

    [Theory]
    [InlineData(5)]
    [InlineData(6)]
    public void Random_bytes_have_an_outcome(int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < 100_000; i++)
        {
            var bytes = new byte[random.Next(64)];
            random.NextBytes(bytes);
            // One in two begins like a frame, or hardly any would get past the first field.
            if (bytes.Length > 2 && i % 2 == 0) (bytes[0], bytes[1]) = ((byte)((random.Next(1, 12) << 3) | 2), (byte)(bytes.Length - 2));
            Mutations.Check(Codec.DecodeClient(bytes));
            Mutations.Check(Codec.DecodeServer(bytes));
        }
    }

    private static byte[] Bytes(ClientFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(frame, output);
        return output.WrittenSpan.ToArray();
    }

    private static byte[] Bytes(ServerFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(frame, output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>The form on the wire knows no shorter times.</summary>
    private static ServerFrame ToMilliseconds(ServerFrame frame) => frame is AuthorizedFrame authorized
        ? authorized with { ExpiresAt = DateTimeOffset.FromUnixTimeMilliseconds(authorized.ExpiresAt.ToUnixTimeMilliseconds()) }
        : frame;

    private static void Change(int kind, List<byte> frame, int at, byte[][] corpus, Random random)
    {
        if (kind == Mutations.Common)
        {
            // A whole frame behind this one: to the format, one message with more fields.
            frame.AddRange(corpus[random.Next(corpus.Length)]);
            return;
        }

        // Numbers too long, groups, the field 0, lengths past the end.
        byte[][] odd = [[0x80], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], [0x0B], [0x02, 0x00], [0x1A, 0x7F], [0x08, 0x05]];
        frame.InsertRange(at, odd[random.Next(odd.Length)]);
    }
}

using System.Buffers;
using System.Text;
using Google.Protobuf;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;
using ErrorCode = Grid.Protocol.ErrorCode;
using Wire = Grid.V1;

namespace Grid.UnitTests.Protocol;

/// <summary>What is answered and what closes the connection, in the binary form.</summary>
public class ProtoBadInputTests
{
    private static readonly ProtoWireCodec Codec = ProtoWireCodec.Instance;

    /// <summary>Bytes that are no frame, in hexadecimal.</summary>
    public static TheoryData<string> NoFrames =>
    [
        "08", // an id without its value
        "0880", // a number that breaks off
        "08FFFFFFFFFFFFFFFFFF02", // one of 65 bits
        "08808080808080808080808000", // one that does not end in time
        "00", // the field 0
        "0200",
        "4203" + "0000", // a ping longer than the frame
        "42FFFFFFFF0F", // longer than any frame
        "42FFFFFFFFFFFFFFFFFF01", // longer than any memory
        "0B0C", // a group
        "4200" + "0B",
        "0E", // wire types that there are none
        "0F",
        "F9FFFFFFFFFFFFFFFF01", // a field number past its range
        "4200" + "C13E0102030405", // an unknown field that breaks off
        "4200" + "C53E0102",
        "4200" + "C23E05" + "00",
        "4201" + "08", // a ping with a broken content
        "2A03" + "0A01C3", // a channel that is not UTF-8
        "120C" + "0A0A" + "EDA08061616161616161", // a token with half a surrogate pair
        "0801" + "0802" + "42", // what is wrong in the frame's sense does not hide that it breaks off
    ];

    /// <summary>Well-formed frames that ask for nothing valid, with the request number that the answer carries.</summary>
    public static TheoryData<string, long?> BadFrames => new()
    {
        { "", null }, // no content
        { "0805", 5 },
        { "0805" + "C23E00", 5 }, // one of a later version
        { "C23E00" + "0805", 5 },
        { "0805" + "4200" + "4200", 5 }, // two
        { "0805" + "4200" + "3A00", 5 },
        { "0805" + "0805" + "4200", null }, // an id given twice
        { "0880808080808080" + "10" + "4200", null }, // an id of 2^53
        { "0A0105" + "4200", null }, // an id that is text
        { "0805" + "4000", 5 }, // a content that is a number
        { "0805" + "2A00", 5 }, // an unsubscribe without a channel
        { "0805" + "2A02" + "0A00", 5 },
        { "0805" + "2A02" + "0801", 5 }, // a channel that is a number
        { "0805" + "2A06" + "0A0161" + "0A0162", 5 }, // a channel given twice
        { "0805" + "2A05" + "0A03" + "612F62", 5 }, // a/b
        { "0805" + "2205" + "0A0161" + "1000", 5 }, // from an anchor that is none
        { "0805" + "2205" + "0A0161" + "1003", 5 },
        { "0805" + "2205" + "0A0161" + "2000", 5 }, // the last 0
        { "0805" + "2206" + "0A0161" + "20E907", 5 }, // the last 1,001
        { "0805" + "2207" + "0A0161" + "1001" + "2001", 5 }, // two starts
        { "0805" + "2205" + "0A0161" + "1A00", 5 }, // a position without an epoch
        { "0805" + "2211" + "0A0161" + "1A0C" + "0A0165" + "10" + "8080808080808010", 5 }, // an offset of 2^53
        { "0805" + "1A00", 5 }, // an auth without a token
        { "1A02" + "0A00" + "0805" + "0805", null }, // a good one, but for what follows
        { "3A02" + "0A00", null }, // an ack of no channel
        { "3A05" + "0A03" + "0A0120", null }, // of a channel that is none
        { "3A0A" + "0A03" + "0A0161" + "0A03" + "0A0161", null }, // of one twice
        { "1202" + "1A00", null }, // a resume of nothing
        { "120D" + "1A0B" + "0A0173" + "120174" + "1A03" + "0A0161", null }, // a cursor without a position
    };

    [Theory]
    [MemberData(nameof(NoFrames))]
    public void Bytes_that_are_no_frame_close_the_connection(string hex)
    {
        var decoded = Codec.DecodeClient(Convert.FromHexString(hex));
        Assert.Equal(DecodeStatus.NoFrame, decoded.Status);
        Assert.NotEmpty(decoded.Error!);
        Assert.Null(decoded.Id);
    }

    [Theory]
    [MemberData(nameof(BadFrames))]
    public void Frames_that_ask_for_nothing_valid_are_answered(string hex, long? id)
    {
        var decoded = Codec.DecodeClient(Convert.FromHexString(hex));
        Assert.Equal((DecodeStatus.BadFrame, id), (decoded.Status, decoded.Id));
        Assert.NotEmpty(decoded.Error!);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("1 2")]
    [InlineData("1,\"key\":\"k\"")]
    [InlineData("{\"a\":1")]
    [InlineData("'a'")]
    [InlineData("\u00EF\u00BB\u00BF1")]
    [InlineData("\"\u00ED\u00A0\u0080\"")]
    public void A_json_payload_is_one_json_value(string latin)
    {
        var frame = new Wire.ClientFrame
        {
            Id = 7,
            Publish = new Wire.Publish { Channel = "a", Json = ByteString.CopyFrom(Encoding.Latin1.GetBytes(latin)) },
        };
        var decoded = Codec.DecodeClient(frame.ToByteArray());
        Assert.Equal((DecodeStatus.BadFrame, 7), (decoded.Status, decoded.Id));
        frame.Publish.Binary = frame.Publish.Json;
        var publish = Assert.IsType<PublishFrame>(Frame(Codec.DecodeClient(frame.ToByteArray())));
        Assert.Equal(Encoding.Latin1.GetBytes(latin), publish.Payload.Bytes.ToArray());
    }

    [Theory]
    [InlineData(WireLimits.MaxDepth, DecodeStatus.Ok)]
    [InlineData(WireLimits.MaxDepth + 1, DecodeStatus.BadFrame)]
    [InlineData(20_000, DecodeStatus.BadFrame)]
    public void A_json_payload_nests_as_deep_as_in_json(int depth, DecodeStatus status)
    {
        var text = new string('[', depth) + new string(']', depth);
        var frame = new Wire.ClientFrame { Publish = new Wire.Publish { Channel = "a", Json = ByteString.CopyFromUtf8(text) } };
        Assert.Equal(status, Codec.DecodeClient(frame.ToByteArray()).Status);
        Assert.Equal(status, JsonWireCodec.Instance.DecodeClient(Utf8($$"""{"type":"publish","channel":"a","data":{{text}}}""")).Status);
    }

    [Fact]
    public void White_space_around_a_json_payload_is_no_part_of_it()
    {
        var frame = new Wire.ClientFrame { Publish = new Wire.Publish { Channel = "a", Json = ByteString.CopyFromUtf8(" \r\n{ \"a\" : 1 }\t") } };
        var publish = Assert.IsType<PublishFrame>(Frame(Codec.DecodeClient(frame.ToByteArray())));
        Assert.Equal("json { \"a\" : 1 }", Describe(publish.Payload));
    }

    [Fact]
    public void A_publish_has_one_payload()
    {
        byte[] none = [0x32, 3, 0x0A, 1, (byte)'a'];
        byte[] two = [0x32, 9, 0x0A, 1, (byte)'a', 0x12, 1, (byte)'1', 0x1A, 1, (byte)'1'];
        Assert.Equal(DecodeStatus.BadFrame, Codec.DecodeClient(none).Status);
        Assert.Equal(DecodeStatus.BadFrame, Codec.DecodeClient(two).Status);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\nb")]
    [InlineData("\u0085")]
    public void Keys_and_events_are_plain_text(string text)
    {
        var frame = new Wire.ClientFrame { Publish = new Wire.Publish { Channel = "a", Binary = ByteString.Empty, Key = text } };
        Assert.Equal(DecodeStatus.BadFrame, Codec.DecodeClient(frame.ToByteArray()).Status);
        frame.Publish.ClearKey();
        frame.Publish.Event = text;
        Assert.Equal(DecodeStatus.BadFrame, Codec.DecodeClient(frame.ToByteArray()).Status);
    }

    [Fact]
    public void Cursors_are_limited_in_number()
    {
        Assert.Equal(DecodeStatus.Ok, Codec.DecodeClient(Ack(WireLimits.MaxCursors)).Status);
        Assert.Equal(DecodeStatus.BadFrame, Codec.DecodeClient(Ack(WireLimits.MaxCursors + 1)).Status);

        static byte[] Ack(int count)
        {
            var output = new ArrayBufferWriter<byte>();
            Codec.Encode(new AckFrame { Cursors = Enumerable.Range(0, count).ToDictionary(i => $"c{i}", i => (long)i) }, output);
            return output.WrittenSpan.ToArray();
        }
    }

    [Fact]
    public void Every_beginning_of_a_frame_is_no_frame_but_those_that_end_with_a_field()
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(new PublishFrame { Id = 300, Channel = "room:1", Payload = Payload.Json(Utf8("[1]")), Key = "k", IfOffset = 300 }, output);
        var bytes = output.WrittenMemory.ToArray();
        for (var length = 0; length < bytes.Length; length++)
        {
            // Nothing at all, or the id alone, is a message to the format: one without content.
            var status = length is 0 or 3 ? DecodeStatus.BadFrame : DecodeStatus.NoFrame;
            Assert.Equal(status, Codec.DecodeClient(bytes.AsMemory(0, length)).Status);
        }
        Assert.Equal(DecodeStatus.Ok, Codec.DecodeClient(bytes).Status);
    }

    [Fact]
    public void A_client_reads_values_of_later_versions_as_the_nearest()
    {
        var gap = new Wire.ServerFrame { Gap = new Wire.Gap { Channel = "a", Epoch = "e", From = 1, To = 2, Reason = (Wire.Gap.Types.Reason)9 } };
        Assert.Equal(new GapFrame("a", "e", 1, 2, GapReason.Dropped), Frame(Codec.DecodeServer(gap.ToByteArray())));
        var error = new Wire.ServerFrame { Id = 3, Error = new Wire.Error { Code = (Wire.ErrorCode)99, Message = "new" } };
        Assert.Equal(new ErrorFrame(3, ErrorCode.Internal, "new"), Frame(Codec.DecodeServer(error.ToByteArray())));
        var later = Codec.DecodeServer(new byte[] { 0x08, 5, 0xC2, 0x3E, 0 });
        Assert.Equal((DecodeStatus.BadFrame, 5), (later.Status, later.Id));
    }

    [Fact]
    public void The_names_of_the_error_codes_are_those_of_the_contract()
    {
        foreach (var code in Enum.GetValues<ErrorCode>())
            Assert.Equal(code.ToString(), ((Wire.ErrorCode)((int)code + 1)).ToString());
    }
}

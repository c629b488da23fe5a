using System.Text;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

/// <summary>What is answered and what closes the connection.</summary>
public class JsonBadInputTests
{
    /// <summary>Bytes that are no frame, written one char per byte so that any byte can be.</summary>
    public static TheoryData<string> NoFrames =>
    [
        "",
        " ",
        "\n",
        "{",
        "}",
        "{\"type\":\"ping\"",
        "{\"type\":\"pin",
        "{\"type\":\"publish\",\"id\":1,\"channel\":\"a\",\"data\":[1,2}",
        "{\"type\":\"ping\"}{",
        "{\"type\":\"ping\"}{\"type\":\"ping\"}",
        "{\"type\":\"ping\"}x",
        "{\"type\":\"ping\"}\0",
        "{\"type\":\"ping\",}",
        "{\"type\":\"ping\"}//",
        "/**/{\"type\":\"ping\"}",
        "{'type':'ping'}",
        "{type:\"ping\"}",
        "{\"type\":\"ping\",\"id\":01}",
        "{\"type\":\"ping\",\"id\":+1}",
        "{\"type\":\"ping\",\"id\":.5}",
        "{\"type\":\"ping\",\"id\":NaN}",
        "{\"type\":\"ping\",\"x\":\"\\x41\"}",
        "{\"type\":\"ping\",\"x\":\"\\u12g4\"}",
        "{\"type\":\"ping\",\"x\":\"\n\"}",
        "{\"type\":\"ping\",\"x\":\"\0\"}",
        "null",
        "1",
        "\"ping\"",
        "true",
        "[]",
        "[{\"type\":\"ping\"}]",
        "ping",
        "\u00EF\u00BB\u00BF{\"type\":\"ping\"}",
        "\u00FF\u00FE{\0}\0",
        // Invalid UTF-8 in a member's name, in an ignored value, in the payload, in the channel: a stray continuation byte, a
        // sequence broken off, an overlong form, an encoded surrogate, a code point past U+10FFFF.
        "{\"type\":\"ping\",\"\u0080\":1}",
        "{\"type\":\"ping\",\"x\":\"\u00C3\"}",
        "{\"type\":\"publish\",\"id\":1,\"channel\":\"a\",\"data\":\"\u00C0\u00AF\"}",
        "{\"type\":\"publish\",\"id\":1,\"channel\":\"a\",\"data\":{\"x\":[\"\u00ED\u00A0\u0080\"]}}",
        "{\"type\":\"publish\",\"id\":1,\"channel\":\"\u00F4\u0090\u0080\u0080\",\"data\":1}",
        // What is wrong in the frame's sense does not hide that the text is broken after it.
        "{\"type\":\"nothing\",\"id\":1,\"id\":2,\"x\":",
    ];

    /// <summary>Well-formed frames that ask for nothing valid, with the request number that the answer carries.</summary>
    public static TheoryData<string, long?> BadFrames => new()
    {
        // type
        { """{}""", null },
        { """{"id":1}""", 1 },
        { """{"type":"nothing","id":1}""", 1 },
        { """{"id":1,"type":"Ping"}""", 1 },
        { """{"type":"","id":1}""", 1 },
        { """{"type":"pong","id":1}""", 1 },
        { """{"type":"message","id":1,"channel":"a","offset":1,"at":1,"data":1}""", 1 },
        { """{"type":null,"id":1}""", 1 },
        { """{"type":1,"id":1}""", 1 },
        { """{"type":["ping"],"id":1}""", 1 },
        { """{"type":"\ud800","id":1}""", 1 },
        // id
        { """{"type":"unsubscribe","channel":"a","id":-1}""", null },
        { """{"type":"unsubscribe","channel":"a","id":-0}""", null },
        { """{"type":"unsubscribe","channel":"a","id":9007199254740992}""", null },
        { """{"type":"unsubscribe","channel":"a","id":99999999999999999999999}""", null },
        { """{"type":"unsubscribe","channel":"a","id":1.5}""", null },
        { """{"type":"unsubscribe","channel":"a","id":1.0}""", null },
        { """{"type":"unsubscribe","channel":"a","id":1e2}""", null },
        { """{"type":"unsubscribe","channel":"a","id":1E0}""", null },
        { """{"type":"unsubscribe","channel":"a","id":"1"}""", null },
        { """{"type":"unsubscribe","channel":"a","id":null}""", null },
        { """{"type":"unsubscribe","channel":"a","id":true}""", null },
        { """{"type":"unsubscribe","channel":"a","id":{}}""", null },
        { """{"type":"unsubscribe","channel":"a","id":[1]}""", null },
        { """{"type":"nothing","id":"1"}""", null },
        // members given twice
        { """{"type":"ping","type":"ping"}""", null },
        { """{"type":"ping","t\u0079pe":"ping","id":4}""", 4 },
        { """{"type":"unsubscribe","id":1,"channel":"a","channel":"a"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a","id":1}""", null },
        { """{"type":"ping","x":1,"x":2,"id":3}""", 3 },
        { """{"type":"ping","x":1,"\u0078":2,"id":3}""", 3 },
        { """{"type":"publish","channel":"a","data":1,"data":2,"id":3}""", 3 },
        { """{"type":"hello","resume":{"session":"S","token":"R"},"resume":{"session":"S","token":"R"}}""", null },
        { """{"type":"hello","resume":{"session":"S","session":"S","token":"R"}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","x":1,"x":1}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a":{"epoch":"E","offset":1,"offset":1}}}}""", null },
        {
            """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a":{"epoch":"E","offset":1},"\u0061":{"epoch":"E","offset":1}}}}""",
            null
        },
        { """{"type":"ack","cursors":{"a":1,"a":1}}""", null },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":1,"last":1}}""", 1 },
        { """{"type":"ping","\ud800":1}""", null },
        // channel
        { """{"type":"unsubscribe","id":1}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":""}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":null}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":1}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":["a"]}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a b"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a*"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a/b"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a\/b"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"é"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"a\u0000"}""", 1 },
        { """{"type":"unsubscribe","id":1,"channel":"\udc00"}""", 1 },
        { $$"""{"type":"unsubscribe","id":1,"channel":"{{new string('a', 201)}}"}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a b"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a b","data":1}""", 1 },
        // from
        { """{"type":"subscribe","id":1,"channel":"a","from":null}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":""}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":"end"}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":5}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":[]}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"first":1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":0}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":1001}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":-1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":"5"}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":5.5}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"last":5,"epoch":"E","offset":1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"E"}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"offset":1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"E","offset":-1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"E","offset":1e2}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"E","offset":9007199254740992}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"E","offset":"1"}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":1,"offset":1}}""", 1 },
        { """{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"","offset":1}}""", 1 },
        { $$$"""{"type":"subscribe","id":1,"channel":"a","from":{"epoch":"{{{new string('E', 65)}}}","offset":1}}""", 1 },
        // publish
        { """{"type":"publish","id":1,"channel":"a"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"data64":""}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":null}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":5}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"A"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"AAA"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"AA=A"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"AA-_"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"AA AA"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"AAAA\n"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data64":"\ud800"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":""}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":null}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":5}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":"a\tb"}""", 1 },
        { "{\"type\":\"publish\",\"id\":1,\"channel\":\"a\",\"data\":1,\"key\":\"\u007f\"}", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":"\u0085"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":"\ud800"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"key":"\udc00\ud800"}""", 1 },
        { $$"""{"type":"publish","id":1,"channel":"a","data":1,"key":"{{new string('k', 257)}}"}""", 1 },
        { $$"""{"type":"publish","id":1,"channel":"a","data":1,"key":"{{new string('é', 129)}}"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"event":""}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"event":{}}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"event":"a\u0000"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"event":"\ud83d"}""", 1 },
        { $$"""{"type":"publish","id":1,"channel":"a","data":1,"event":"{{new string('e', 129)}}"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"ifOffset":-1}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"ifOffset":1e2}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"ifOffset":"1"}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"ifOffset":null}""", 1 },
        { """{"type":"publish","id":1,"channel":"a","data":1,"ifOffset":9007199254740992}""", 1 },
        // hello, auth, ack
        { """{"type":"hello","token":5}""", null },
        { """{"type":"hello","token":null}""", null },
        { """{"type":"hello","client":["c"]}""", null },
        { """{"type":"hello","resume":null}""", null },
        { """{"type":"hello","resume":"S"}""", null },
        { """{"type":"hello","resume":[]}""", null },
        { """{"type":"hello","resume":{}}""", null },
        { """{"type":"hello","resume":{"session":"S"}}""", null },
        { """{"type":"hello","resume":{"token":"R"}}""", null },
        { """{"type":"hello","resume":{"session":1,"token":"R"}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":[]}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":null}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a":1}}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a":{"epoch":"E"}}}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a":{"epoch":"E","offset":-1}}}}""", null },
        { """{"type":"hello","resume":{"session":"S","token":"R","cursors":{"a b":{"epoch":"E","offset":1}}}}""", null },
        { $$"""{"type":"hello","token":"{{new string('t', WireLimits.MaxTokenLength + 1)}}"}""", null },
        { """{"type":"auth","id":1}""", 1 },
        { """{"type":"auth","id":1,"token":5}""", 1 },
        { """{"type":"ack"}""", null },
        { """{"type":"ack","cursors":[]}""", null },
        { """{"type":"ack","cursors":{"a":"1"}}""", null },
        { """{"type":"ack","cursors":{"a":-1}}""", null },
        { """{"type":"ack","cursors":{"a":1e2}}""", null },
        { """{"type":"ack","cursors":{"a":{"epoch":"E","offset":1}}}""", null },
        { """{"type":"ack","cursors":{"":1}}""", null },
        { """{"type":"ack","cursors":{"a b":1}}""", null },
        { """{"type":"ack","cursors":{"\ud800":1}}""", null },
    };

    [Theory]
    [MemberData(nameof(NoFrames))]
    public void Bytes_that_are_no_frame_close_the_connection(string bytes)
    {
        var decoded = JsonWireCodec.Instance.DecodeClient(Encoding.Latin1.GetBytes(bytes));
        Assert.Equal(DecodeStatus.NoFrame, decoded.Status);
        Assert.NotNull(decoded.Error);
        Assert.Null(decoded.Frame);
        Assert.Equal(DecodeStatus.NoFrame, JsonWireCodec.Instance.DecodeServer(Encoding.Latin1.GetBytes(bytes)).Status);
    }

    [Theory]
    [MemberData(nameof(BadFrames))]
    public void Frames_that_ask_for_nothing_valid_are_answered(string json, long? id)
    {
        var decoded = JsonWireCodec.Instance.DecodeClient(Utf8(json));
        Assert.Equal((DecodeStatus.BadFrame, id), (decoded.Status, decoded.Id));
        Assert.False(string.IsNullOrEmpty(decoded.Error));
        Assert.Null(decoded.Frame);
    }

    [Fact]
    public void Cursors_are_limited_in_number()
    {
        static string Ack(int count)
        {
            var cursors = Enumerable.Range(0, count).Select(i => $"\"c:{i}\":{i}");
            return "{\"type\":\"ack\",\"cursors\":{" + string.Join(",", cursors) + "}}";
        }
        Assert.Equal(WireLimits.MaxCursors, Assert.IsType<AckFrame>(FromClient(Ack(WireLimits.MaxCursors))).Cursors.Count);
        Assert.Equal(DecodeStatus.BadFrame, JsonWireCodec.Instance.DecodeClient(Utf8(Ack(WireLimits.MaxCursors + 1))).Status);
    }

    [Fact]
    public void Values_at_their_limits_are_valid()
    {
        var key = new string('é', Message.MaxKeyBytes / 2);
        var name = new string('é', Message.MaxEventLength);
        var channel = new string('c', ChannelName.MaxLength);
        var frame = Assert.IsType<PublishFrame>(FromClient(
            $$"""{"type":"publish","channel":"{{channel}}","data":1,"key":"{{key}}","event":"{{name}}","ifOffset":9007199254740991}"""));
        Assert.Equal((channel, key, name, WireLimits.MaxId), (frame.Channel, frame.Key, frame.Event, frame.IfOffset));
        var token = new string('t', WireLimits.MaxTokenLength);
        Assert.Equal(token, Assert.IsType<HelloFrame>(FromClient($$"""{"type":"hello","token":"{{token}}"}""")).Token);
    }

    [Fact]
    public void Every_beginning_of_a_frame_is_no_frame()
    {
        var json = Utf8("""{"type":"publish","id":3,"channel":"room:1","data":{"é":[1,"x\n",null]},"key":"k-1","event":"e","ifOffset":41}""");
        for (var length = 0; length < json.Length; length++)
            Assert.Equal(DecodeStatus.NoFrame, JsonWireCodec.Instance.DecodeClient(json.AsMemory(0, length)).Status);
        Assert.Equal(DecodeStatus.Ok, JsonWireCodec.Instance.DecodeClient(json).Status);
    }

    [Theory]
    [InlineData("1", true)]
    [InlineData(" {\"a\":[1,\"\\ud800\"]} \n", true)]
    [InlineData("", false)]
    [InlineData(" ", false)]
    [InlineData("1 2", false)]
    [InlineData("{\"a\":}", false)]
    [InlineData("[1,]", false)]
    [InlineData("\u00EF\u00BB\u00BF1", false)]
    [InlineData("\"\u00FF\"", false)]
    [InlineData("[{\"x\":\"\u00ED\u00A0\u0080\"}]", false)]
    public void JsonPayload_is_one_value_in_valid_UTF8(string bytes, bool valid)
    {
        Assert.Equal(valid, JsonPayload.TryValidate(Encoding.Latin1.GetBytes(bytes), out var error));
        Assert.Equal(valid, error is null);
    }

    [Fact]
    public void JsonPayload_nests_as_deep_as_a_frame_allows()
    {
        static byte[] Nested(int depth) => Utf8(new string('[', depth) + new string(']', depth));
        Assert.True(JsonPayload.TryValidate(Nested(WireLimits.MaxDepth), out _));
        Assert.False(JsonPayload.TryValidate(Nested(WireLimits.MaxDepth + 1), out _));
        Assert.False(JsonPayload.TryValidate(Nested(300_000), out _));
        Assert.False(JsonPayload.TryValidate(Nested(300_000).AsSpan(0, 300_000), out _));
    }
}

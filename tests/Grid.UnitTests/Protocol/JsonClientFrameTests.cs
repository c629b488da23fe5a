using System.Text;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

public class JsonClientFrameTests
{
    /// <summary>The lines of the wire contract with their ellipses filled in, in the order in which the codec writes members.</summary>
    public static TheoryData<string, string> Contract => new()
    {
        {
            """{"type":"hello","token":"T","client":"name/1.0","resume":{"session":"S","token":"R","cursors":{"room:1":{"epoch":"E","offset":12}}}}""",
            """hello "T" "name/1.0" "S" "R" [room:1=E:12]"""
        },
        { """{"type":"hello"}""", "hello - - -" },
        { """{"type":"hello","resume":{"session":"S","token":"R"}}""", """hello - - "S" "R" []""" },
        { """{"type":"auth","id":9,"token":"T"}""", "auth 9 \"T\"" },
        { """{"type":"subscribe","id":1,"channel":"room:1"}""", "subscribe 1 room:1 False Now :0 0" },
        { """{"type":"subscribe","id":1,"channel":"room:1","from":"now"}""", "subscribe 1 room:1 True Now :0 0" },
        { """{"type":"subscribe","id":1,"channel":"room:1","from":"start"}""", "subscribe 1 room:1 True Start :0 0" },
        {
            """{"type":"subscribe","id":1,"channel":"room:1","from":{"epoch":"E","offset":12}}""",
            "subscribe 1 room:1 True Position E:12 0"
        },
        { """{"type":"subscribe","id":1,"channel":"room:1","from":{"last":50}}""", "subscribe 1 room:1 True Last :0 50" },
        { """{"type":"subscribe","channel":"room:1","from":{"last":1000}}""", "subscribe - room:1 True Last :0 1000" },
        { """{"type":"unsubscribe","id":2,"channel":"room:1"}""", "unsubscribe 2 room:1" },
        {
            """{"type":"publish","id":3,"channel":"room:1","data":{"x":1},"key":"k-1","event":"chat.message","ifOffset":41}""",
            """publish 3 room:1 json {"x":1} "k-1" "chat.message" 41"""
        },
        { """{"type":"publish","channel":"room:1","data64":"AP8="}""", "publish - room:1 binary 00FF - - -" },
        { """{"type":"publish","channel":"room:1","data64":""}""", "publish - room:1 binary  - - -" },
        { """{"type":"publish","id":0,"channel":"a","data":null,"ifOffset":0}""", "publish 0 a json null - - 0" },
        { """{"type":"publish","id":9007199254740991,"channel":"a","data":""}""", "publish 9007199254740991 a json \"\" - - -" },
        { """{"type":"ack","cursors":{"room:1":42}}""", "ack [room:1=42]" },
        { """{"type":"ack","cursors":{}}""", "ack []" },
        { """{"type":"ping"}""", "PingFrame { }" },
    };

    [Theory]
    [MemberData(nameof(Contract))]
    public void Reads_and_writes_the_frames_of_the_contract(string json, string meaning)
    {
        var frame = FromClient(json);
        Assert.Equal(meaning, Describe(frame));
        Assert.Equal(json, Encode(frame));
    }

    [Theory]
    [InlineData("""{"channel":"a","data":1,"id":7,"type":"publish"}""", "publish 7 a json 1 - - -")]
    [InlineData(" \r\n\t{ \"type\" : \"ping\" } \n", "PingFrame { }")]
    [InlineData("""{"type":"ping","new":{"type":[{"type":1}]},"newer":null}""", "PingFrame { }")]
    [InlineData("""{"type":"ping","data":1,"channel":false,"id":"not of this frame"}""", "PingFrame { }")]
    [InlineData("""{"\u0074ype":"pi\u006eg"}""", "PingFrame { }")]
    [InlineData("""{"type":"unsubscribe","channel":"\u0061\u003a1"}""", "unsubscribe - a:1")]
    [InlineData("""{"type":"publish","channel":"a","data64":"\/\/8="}""", "publish - a binary FFFF - - -")]
    [InlineData("""{"type":"publish","channel":"a","data":1,"key":"\ud83d\ude00","event":"é"}""", "publish - a json 1 \"😀\" \"é\" -")]
    [InlineData("""{"type":"publish","channel":"a","data":{"a":1,"a":2}}""", """publish - a json {"a":1,"a":2} - - -""")]
    [InlineData("""{"type":"subscribe","channel":"a","from":{"offset":0,"x":[],"epoch":"E"}}""", "subscribe - a True Position E:0 0")]
    [InlineData("""{"type":"ack","cursors":{"\u0061":1,"b":2}}""", "ack [a=1,b=2]")]
    [InlineData("""{"type":"hello","resume":{"x":1,"token":"R","session":"S","cursors":{}}}""", """hello - - "S" "R" []""")]
    public void Accepts_any_order_white_space_escapes_and_unknown_members(string json, string meaning) =>
        Assert.Equal(meaning, Describe(FromClient(json)));

    [Theory]
    [InlineData("1e2")]
    [InlineData("1.000000000000000000000000000000000001")]
    [InlineData("-0")]
    [InlineData("123456789012345678901234567890")]
    [InlineData("true")]
    [InlineData("null")]
    [InlineData("\"\"")]
    [InlineData("\"\\u0041\\/\\ud800 é 😀\"")]
    [InlineData("[ 1 ,\t2\n, 3 ]")]
    [InlineData("{ \"b\" : 1, \"a\":  {} , \"a\": [] }")]
    [InlineData("{}")]
    [InlineData("[]")]
    public void Keeps_the_payload_byte_for_byte(string data)
    {
        foreach (var json in (string[])[
            $$"""{"type":"publish","channel":"a","data":{{data}}}""",
            $$"""{"type":"publish","data": {{data}} ,"channel":"a"}""",
        ])
        {
            var frame = Assert.IsType<PublishFrame>(FromClient(json));
            Assert.False(frame.Payload.IsBinary);
            Assert.Equal(data, Encoding.UTF8.GetString(frame.Payload.Bytes.Span));
            Assert.Equal($$"""{"type":"publish","channel":"a","data":{{data}}}""", Encode(frame));
        }
    }

    [Fact]
    public void Payload_is_a_slice_of_the_frame()
    {
        var json = Utf8("""{"type":"publish","channel":"a","data":"here"}""");
        var frame = Assert.IsType<PublishFrame>(Frame(JsonWireCodec.Instance.DecodeClient(json)));
        Assert.True(json.AsSpan().Overlaps(frame.Payload.Bytes.Span));
    }

    [Fact]
    public void Nesting_is_allowed_to_the_limit_and_answered_past_it()
    {
        Assert.IsType<PublishFrame>(FromClient(Nested(WireLimits.MaxDepth, "\"data\"")));
        Assert.IsType<PublishFrame>(FromClient(Nested(WireLimits.MaxDepth, "\"data\":0,\"more\"")));
        foreach (var depth in (int[])[WireLimits.MaxDepth + 1, 1000, 30_000, 300_000])
        {
            foreach (var name in (string[])["\"data\"", "\"data\":0,\"more\""])
            {
                var decoded = JsonWireCodec.Instance.DecodeClient(Utf8(Nested(depth, name)));
                Assert.Equal((DecodeStatus.BadFrame, 5), (decoded.Status, decoded.Id));
            }
        }
    }

    [Fact]
    public void Deep_text_that_breaks_off_is_no_frame()
    {
        var json = Nested(30_000, "\"data\"");
        Assert.Equal(DecodeStatus.NoFrame, JsonWireCodec.Instance.DecodeClient(Utf8(json[..(json.Length / 2)])).Status);
        Assert.Equal(DecodeStatus.NoFrame, JsonWireCodec.Instance.DecodeClient(Utf8(json.Replace("}]", "]", StringComparison.Ordinal))).Status);
    }

    [Fact]
    public void Keeps_128_characters_of_client()
    {
        var client = new string('a', 127) + "😀";
        Assert.Equal(client[..127], Assert.IsType<HelloFrame>(FromClient($$"""{"type":"hello","client":"{{client}}"}""")).Client);
        client = new string('a', 128);
        Assert.Equal(client, Assert.IsType<HelloFrame>(FromClient($$"""{"type":"hello","client":"{{client}}more"}""")).Client);
    }

    [Fact]
    public void Writes_a_start_that_was_not_announced()
    {
        var frame = new SubscribeFrame { Channel = "a", From = StartPoint.Last(3) };
        Assert.Equal("""{"type":"subscribe","channel":"a","from":{"last":3}}""", Encode(frame));
    }

    /// <summary>A publish with id 5 whose member nests so deeply, arrays and objects by turns; the id comes after it.</summary>
    private static string Nested(int depth, string name)
    {
        var text = new StringBuilder($$"""{"type":"publish","channel":"a",{{name}}:""");
        for (var i = 0; i < depth; i++) text.Append(i % 2 == 0 ? "[" : "{\"a\":");
        text.Append('1');
        for (var i = depth - 1; i >= 0; i--) text.Append(i % 2 == 0 ? ']' : '}');
        return text.Append(",\"id\":5}").ToString();
    }
}

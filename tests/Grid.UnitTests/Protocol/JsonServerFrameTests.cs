using System.Buffers;
using System.Text;
using System.Text.Json;
using Grid.Protocol;
using static Grid.UnitTests.Protocol.Frames;

namespace Grid.UnitTests.Protocol;

public class JsonServerFrameTests
{
    /// <summary>The lines of the wire contract with their ellipses filled in.</summary>
    public static TheoryData<string, string> Contract => new()
    {
        {
            """{"type":"welcome","session":"S","resumeToken":"R","state":"new","resumeWindowMs":300000,"heartbeatMs":15000,"maxFrameBytes":65536,"subscriptions":[]}""",
            """welcome "S" "R" New 300000 15000 65536 """
        },
        {
            """{"type":"welcome","session":"S","resumeToken":"R","state":"resumed","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":3,"subscriptions":[{"channel":"room:1","epoch":"E","head":5,"cursor":4}]}""",
            """welcome "S" "R" Resumed 1 2 3 SubscriptionState { Channel = room:1, Epoch = E, Head = 5, Cursor = 4 }"""
        },
        {
            """{"type":"welcome","session":"S","resumeToken":"R","state":"expired","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":3,"subscriptions":[]}""",
            """welcome "S" "R" Expired 1 2 3 """
        },
        {
            """{"type":"authorized","id":9,"expiresAt":"2026-11-23T10:30:00Z"}""",
            "AuthorizedFrame { Id = 9, ExpiresAt = 11/23/2026 10:30:00 +00:00 }"
        },
        {
            """{"type":"subscribed","id":1,"channel":"room:1","epoch":"E","head":41,"cursor":40}""",
            "SubscribedFrame { Id = 1, Channel = room:1, Epoch = E, Head = 41, Cursor = 40 }"
        },
        {
            """{"type":"subscribed","channel":"room:1","epoch":"E","head":0,"cursor":0}""",
            "SubscribedFrame { Id = , Channel = room:1, Epoch = E, Head = 0, Cursor = 0 }"
        },
        { """{"type":"unsubscribed","id":2,"channel":"room:1"}""", "UnsubscribedFrame { Id = 2, Channel = room:1 }" },
        {
            """{"type":"published","id":3,"channel":"room:1","epoch":"E","offset":42,"duplicate":false}""",
            "PublishedFrame { Id = 3, Channel = room:1, Epoch = E, Offset = 42, Duplicate = False }"
        },
        {
            """{"type":"published","id":3,"channel":"room:1","epoch":"E","offset":42,"duplicate":true}""",
            "PublishedFrame { Id = 3, Channel = room:1, Epoch = E, Offset = 42, Duplicate = True }"
        },
        {
            """{"type":"message","channel":"room:1","offset":42,"at":1795452674123,"data":{"x": 1.0},"key":"k-1","event":"chat.message","from":"ana"}""",
            """message room:1 42 1795452674123 json {"x": 1.0} "k-1" "chat.message" "ana" """.TrimEnd()
        },
        { """{"type":"message","channel":"room:1","offset":1,"at":0,"data64":"AP8="}""", "message room:1 1 0 binary 00FF - - -" },
        { """{"type":"message","channel":"room:1","offset":1,"at":0,"data":null}""", "message room:1 1 0 json null - - -" },
        {
            """{"type":"gap","channel":"room:1","epoch":"E","from":10,"to":57,"reason":"retention"}""",
            "GapFrame { Channel = room:1, Epoch = E, From = 10, To = 57, Reason = Retention }"
        },
        {
            """{"type":"gap","channel":"room:1","epoch":"E","from":1,"to":0,"reason":"epoch"}""",
            "GapFrame { Channel = room:1, Epoch = E, From = 1, To = 0, Reason = Epoch }"
        },
        {
            """{"type":"gap","channel":"room:1","epoch":"E","from":1,"to":2,"reason":"dropped"}""",
            "GapFrame { Channel = room:1, Epoch = E, From = 1, To = 2, Reason = Dropped }"
        },
        {
            """{"type":"error","id":3,"code":"forbidden","message":"M","retryAfterMs":250}""",
            "ErrorFrame { Id = 3, Code = Forbidden, Message = M, RetryAfterMs = 250 }"
        },
        {
            """{"type":"error","code":"bad_frame","message":""}""",
            "ErrorFrame { Id = , Code = BadFrame, Message = , RetryAfterMs =  }"
        },
        { """{"type":"goaway","reason":"drain","reconnectInMs":740}""", "GoAwayFrame { Reason = drain, ReconnectInMs = 740 }" },
        { """{"type":"pong"}""", "PongFrame { }" },
    };

    [Theory]
    [MemberData(nameof(Contract))]
    public void Reads_and_writes_the_frames_of_the_contract(string json, string meaning)
    {
        var frame = FromServer(json);
        Assert.Equal(meaning, Describe(frame));
        Assert.Equal(json, Encode(frame));
    }

    [Theory]
    [InlineData("""{"new":[],"type":"pong"}""", "PongFrame { }")]
    [InlineData("""{"type":"error","id":null,"code":"newer","message":null,"retryAfterMs":null}""",
        "ErrorFrame { Id = , Code = Internal, Message = , RetryAfterMs =  }")]
    [InlineData("""{"type":"gap","channel":"a","epoch":"E","from":1,"to":2,"reason":"newer"}""",
        "GapFrame { Channel = a, Epoch = E, From = 1, To = 2, Reason = Dropped }")]
    [InlineData("""{"type":"message","channel":"a","offset":1,"at":0,"data":null,"data64":null,"key":null}""", "message a 1 0 json null - - -")]
    [InlineData("""{"type":"published","channel":"a","epoch":"E","offset":1,"new":true}""",
        "PublishedFrame { Id = , Channel = a, Epoch = E, Offset = 1, Duplicate = False }")]
    [InlineData("""{"type":"authorized","expiresAt":"2026-11-23T12:30:00.5+02:00"}""",
        "AuthorizedFrame { Id = , ExpiresAt = 11/23/2026 12:30:00 +02:00 }")]
    public void Accepts_what_newer_servers_send(string json, string meaning) => Assert.Equal(meaning, Describe(FromServer(json)));

    [Theory]
    [InlineData("""{"type":"newer","id":7}""", 7L)]
    [InlineData("""{"type":"welcome"}""", null)]
    [InlineData("""{"type":"welcome","session":"S","resumeToken":"R","state":"new","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":2147483648}""", null)]
    [InlineData("""{"type":"welcome","session":"S","resumeToken":"R","state":"?","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":3}""", null)]
    [InlineData("""{"type":"welcome","session":"S","resumeToken":"R","state":"new","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":3,"subscriptions":[1]}""", null)]
    [InlineData("""{"type":"welcome","session":"S","resumeToken":"R","state":"new","resumeWindowMs":1,"heartbeatMs":2,"maxFrameBytes":3,"subscriptions":{}}""", null)]
    [InlineData("""{"type":"message","channel":"a","offset":"1","at":0,"data":1}""", null)]
    [InlineData("""{"type":"message","channel":"a","offset":1,"at":0}""", null)]
    [InlineData("""{"type":"gap","channel":"a","epoch":"E","from":1,"to":-1,"reason":"epoch"}""", null)]
    [InlineData("""{"type":"published","id":3,"channel":"a","epoch":"E","offset":1,"duplicate":"no"}""", 3L)]
    [InlineData("""{"type":"authorized","id":3,"expiresAt":"soon"}""", 3L)]
    [InlineData("""{"type":"goaway","reason":"drain"}""", null)]
    public void Frames_that_cannot_be_understood_are_bad_frames(string json, long? id)
    {
        var decoded = JsonWireCodec.Instance.DecodeServer(Utf8(json));
        Assert.Equal((DecodeStatus.BadFrame, id), (decoded.Status, decoded.Id));
        Assert.False(string.IsNullOrEmpty(decoded.Error));
    }

    [Fact]
    public void Escapes_little()
    {
        var message = new Message
        {
            Offset = long.MaxValue,
            At = long.MinValue,
            Payload = Payload.Json(Utf8("1")),
            Key = "a\"\\/<>&'+`",
            Event = "\u0000\n\u001f\u007f",
            From = "é漢😀\u2028",
        };
        var json = Encode(new MessageFrame("a", message));
        Assert.Equal(
            """{"type":"message","channel":"a","offset":9223372036854775807,"at":-9223372036854775808,"data":1,"key":"a\"\\/<>&'+`","event":"\u0000\n\u001F\u007F","from":"é漢\uD83D\uDE00\u2028"}""",
            json);
        using var document = JsonDocument.Parse(json);
        Assert.Equal(message.Event, document.RootElement.GetProperty("event").GetString());
        Assert.Equal(message.From, document.RootElement.GetProperty("from").GetString());
    }

    [Fact]
    public void Writes_half_a_surrogate_pair_as_the_replacement_character() =>
        Assert.Equal("\uFFFD", Assert.IsType<GoAwayFrame>(FromServer(Encode(new GoAwayFrame("\ud800", 1)))).Reason);

    [Fact]
    public void A_message_item_is_the_frame_without_its_type()
    {
        var message = new Message
        {
            Offset = 7, At = 8, Payload = Payload.Json(Utf8("{ \"x\" : 1e2 }")), Key = "k", Event = "e", From = "é",
        };
        Assert.Equal("""{"channel":"a","offset":7,"at":8,"data":{ "x" : 1e2 },"key":"k","event":"e","from":"é"}""", Item(message, "a"));
        Assert.Equal("""{"offset":7,"at":8,"data":{ "x" : 1e2 },"key":"k","event":"e","from":"é"}""", Item(message, null));
        Assert.Equal(
            """{"offset":1,"at":2,"data64":"AP8="}""",
            Item(new Message { Offset = 1, At = 2, Payload = Payload.Binary(new byte[] { 0, 255 }) }, null));
    }

    [Fact]
    public void A_frame_may_be_written_while_another_is()
    {
        var outer = new NestingOutput();
        JsonWireCodec.Instance.Encode(new GoAwayFrame("drain", 1), outer);
        Assert.Equal("""{"type":"goaway","reason":"drain","reconnectInMs":1}""", Encoding.UTF8.GetString(outer.Written.WrittenSpan));
        Assert.Equal("""{"type":"pong"}""", outer.Inner);
    }

    private static string Item(Message message, string? channel)
    {
        var output = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(output, new JsonWriterOptions
        {
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        }))
        {
            JsonWireCodec.WriteMessageItem(writer, message, channel);
        }
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>An output that writes a frame of its own whenever it is asked for room.</summary>
    private sealed class NestingOutput : IBufferWriter<byte>
    {
        public ArrayBufferWriter<byte> Written { get; } = new();

        public string Inner { get; private set; } = "";

        public void Advance(int count) => Written.Advance(count);

        public Memory<byte> GetMemory(int sizeHint = 0)
        {
            Inner = Encode(PongFrame.Instance);
            return Written.GetMemory(sizeHint);
        }

        public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;
    }
}

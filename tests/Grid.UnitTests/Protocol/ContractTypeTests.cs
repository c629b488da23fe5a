using FsCheck.Xunit;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Protocol;

public class ContractTypeTests
{
    [Fact]
    public void Error_codes_have_the_names_of_the_contract() => Assert.Equal(
        [
            "bad_frame", "unauthorized", "forbidden", "not_subscribed", "too_large", "rate_limited", "quota_exceeded", "conflict",
            "invalid_position", "unavailable", "internal",
        ],
        Enum.GetValues<ErrorCode>().Select(code => code.Name()));

    [Fact]
    public void Error_codes_are_found_by_name()
    {
        foreach (var code in Enum.GetValues<ErrorCode>())
        {
            Assert.True(ErrorCodes.TryParse(code.Name(), out var found));
            Assert.Equal(code, found);
        }
        Assert.False(ErrorCodes.TryParse("newer", out var unknown));
        Assert.Equal(ErrorCode.Internal, unknown);
        Assert.False(ErrorCodes.TryParse("Internal", out _));
    }

    [Theory]
    [InlineData(1000, true)]
    [InlineData(1006, true)]
    [InlineData(4000, true)]
    [InlineData(4001, true)]
    [InlineData(4002, true)]
    [InlineData(4003, true)]
    [InlineData(4499, true)]
    [InlineData(4500, false)]
    [InlineData(4501, false)]
    [InlineData(4502, false)]
    [InlineData(4503, false)]
    [InlineData(4504, false)]
    [InlineData(4505, false)]
    [InlineData(4599, false)]
    [InlineData(4600, true)]
    public void Close_codes_say_whether_to_reconnect(int code, bool may) => Assert.Equal(may, CloseCodes.MayReconnect(code));

    [Fact]
    public void Close_codes_have_the_numbers_of_the_contract() => Assert.Equal(
        [1000, 4000, 4001, 4002, 4003, 4500, 4501, 4502, 4503, 4504, 4505],
        Enum.GetValues<CloseCode>().Select(code => (int)code));

    [Theory]
    [InlineData("a", true)]
    [InlineData("room:1", true)]
    [InlineData(":", true)]
    [InlineData("AZaz09_.:~@-", true)]
    [InlineData("", false)]
    [InlineData("a b", false)]
    [InlineData("a*", false)]
    [InlineData("a/b", false)]
    [InlineData("a\n", false)]
    [InlineData("é", false)]
    [InlineData("a+b", false)]
    public void Channel_names_follow_the_grammar(string name, bool valid)
    {
        Assert.Equal(valid, ChannelName.IsValid(name));
        Assert.Equal(valid, ChannelName.IsValid(Frames.Utf8(name)));
    }

    [Fact]
    public void Channel_names_are_at_most_200_characters()
    {
        Assert.True(ChannelName.IsValid(new string('a', 200)));
        Assert.False(ChannelName.IsValid(new string('a', 201)));
        Assert.True(ChannelName.IsValid(Frames.Utf8(new string('a', 200))));
        Assert.False(ChannelName.IsValid(Frames.Utf8(new string('a', 201))));
    }

    [Property]
    public void Channel_names_are_judged_alike_as_text_and_as_bytes(string? name) =>
        Assert.Equal(ChannelName.IsValid(name ?? ""), ChannelName.IsValid(Frames.Utf8(name ?? "")));

    [Theory]
    [InlineData("room:1", true)]
    [InlineData("room:*", true)]
    [InlineData("*", true)]
    [InlineData("ro*m", false)]
    [InlineData("**", false)]
    [InlineData("", false)]
    [InlineData("a b*", false)]
    public void Patterns_are_names_or_prefixes(string pattern, bool valid) => Assert.Equal(valid, ChannelName.IsValidPattern(pattern));

    [Theory]
    [InlineData("room:1", "room")]
    [InlineData("room:1:2", "room")]
    [InlineData("room:", "room")]
    [InlineData("room", "default")]
    [InlineData(":room", "default")]
    public void The_namespace_is_the_part_before_the_first_colon(string name, string expected) =>
        Assert.Equal(expected, ChannelName.NamespaceOf(name).ToString());

    [Theory]
    [InlineData("E:0", "E", 0)]
    [InlineData("E:12", "E", 12)]
    [InlineData("a:b:12", "a:b", 12)]
    [InlineData("E:9223372036854775807", "E", long.MaxValue)]
    public void Positions_are_read_and_written(string text, string epoch, long offset)
    {
        Assert.True(Position.TryParse(text, out var position));
        Assert.Equal(new Position(epoch, offset), position);
        Assert.Equal(text, position.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("E")]
    [InlineData("E:")]
    [InlineData(":1")]
    [InlineData("E:-1")]
    [InlineData("E: 1")]
    [InlineData("E:1 ")]
    [InlineData("E:+1")]
    [InlineData("E:1e2")]
    [InlineData("E:9223372036854775808")]
    public void Text_that_is_no_position_is_refused(string text) => Assert.False(Position.TryParse(text, out _));

    [Fact]
    public void Epochs_of_positions_are_at_most_64_characters()
    {
        Assert.True(Position.TryParse(new string('e', 64) + ":1", out _));
        Assert.False(Position.TryParse(new string('e', 65) + ":1", out _));
    }

    [Fact]
    public void Start_points_have_four_forms()
    {
        Assert.Equal(StartKind.Now, default(StartPoint).Kind);
        Assert.Equal(StartKind.Start, StartPoint.Start.Kind);
        Assert.Equal((StartKind.Last, 5), (StartPoint.Last(5).Kind, StartPoint.Last(5).Count));
        Assert.Equal((StartKind.Position, new Position("E", 1)), (StartPoint.After(new("E", 1)).Kind, StartPoint.After(new("E", 1)).Position));
    }

    [Fact]
    public void Payloads_say_what_they_are()
    {
        var bytes = new byte[] { (byte)'1' };
        Assert.False(Payload.Json(bytes).IsBinary);
        Assert.True(Payload.Binary(bytes).IsBinary);
        Assert.True(Payload.Binary(bytes).Bytes.Span.SequenceEqual(bytes));
        Assert.NotEqual(Payload.Json(bytes), Payload.Binary(bytes));
    }

    [Theory]
    [InlineData("k-1", true)]
    [InlineData(" é漢😀", true)]
    [InlineData("", false)]
    [InlineData("a\n", false)]
    [InlineData("\u007f", false)]
    [InlineData("\u009f", false)]
    [InlineData("\u00a0", true)]
    public void Keys_and_events_are_plain_text(string text, bool valid)
    {
        Assert.Equal(valid, Message.IsValidKey(text));
        Assert.Equal(valid, Message.IsValidEvent(text));
    }

    [Fact]
    public void Keys_and_events_are_whole_and_bounded()
    {
        // Not theory data: half a surrogate pair does not survive the way there.
        foreach (var text in (string[])["\ud83d", "a\ud83d", "\ude00a", "\ude00\ud83d", "\ud83d\ude00\ude00"])
        {
            Assert.False(Message.IsValidKey(text));
            Assert.False(Message.IsValidEvent(text));
        }
        Assert.True(Message.IsValidKey(new string('é', 128)));
        Assert.False(Message.IsValidKey(new string('é', 129)));
        Assert.True(Message.IsValidEvent(new string('é', 128)));
        Assert.False(Message.IsValidEvent(new string('é', 129)));
    }
}

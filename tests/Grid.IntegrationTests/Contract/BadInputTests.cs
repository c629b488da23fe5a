using System.Text;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonBadInputTests(ContractHost host) : BadInputTests(host, Subprotocols.Json)
{
    [Theory]
    [InlineData("""{"type":"dance","id":5}""", 5L)]
    [InlineData("""{"id":5}""", 5L)]
    [InlineData("""{"type":7,"id":5}""", 5L)]
    [InlineData("{}", null)]
    [InlineData("""{"type":"subscribe","id":5}""", 5L)]
    [InlineData("""{"type":"subscribe","id":"5","channel":"room:1"}""", null)]
    [InlineData("""{"type":"subscribe","id":-1,"channel":"room:1"}""", null)]
    [InlineData("""{"type":"subscribe","id":1.5,"channel":"room:1"}""", null)]
    [InlineData("""{"type":"subscribe","id":9007199254740992,"channel":"room:1"}""", null)]
    [InlineData("""{"type":"subscribe","id":5,"channel":7}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":""}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"has space"}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"söng"}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"a/b"}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:*"}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:1","from":"yesterday"}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:1","from":{"last":-1}}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:1","from":{"epoch":"e","offset":-3}}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:1","from":{"epoch":"e"}}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"channel":"room:1","from":17}""", 5L)]
    [InlineData("""{"type":"subscribe","id":5,"id":6,"channel":"room:1"}""", null)]
    [InlineData("""{"type":"subscribe","type":"publish","id":5,"channel":"room:1"}""", null)]
    [InlineData("""{"type":"ack","cursors":{"room:1":"x"}}""", null)]
    [InlineData("""{"type":"ack","cursors":[]}""", null)]
    [InlineData("""{"type":"ack"}""", null)]
    public async Task A_frame_that_is_not_valid_is_a_bad_frame_and_the_connection_goes_on(string text, long? id)
    {
        await using var client = await Host.OpenAsync();
        client.Send(text);
        var error = AssertError(await client.WaitAsync(f => f.Type is not "welcome", "an error"), "bad_frame");
        if (id is not null) Assert.Equal(id, error.Id);
        await client.PingAsync();
        AssertType(await client.SubscribeAsync(ContractHost.NewChannel()), "subscribed");
    }

    [Theory]
    [InlineData("")]
    [InlineData("""
        ,"data":1,"data64":"AA=="
        """)]
    [InlineData("""
        ,"data64":"not base64!"
        """)]
    [InlineData("""
        ,"data64":5
        """)]
    [InlineData("""
        ,"data":1,"key":5
        """)]
    [InlineData("""
        ,"data":1,"ifOffset":"1"
        """)]
    [InlineData("""
        ,"data":1,"ifOffset":-1
        """)]
    [InlineData("""
        ,"data":1,"data":2
        """)]
    public async Task A_publish_that_is_none_is_a_bad_frame(string rest)
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        AssertError(await client.RequestAsync(7, $$"""{"type":"publish","id":7,"channel":"{{channel}}"{{rest.Trim()}}}"""), "bad_frame");
        await client.PingAsync();
        Assert.Equal(0, (await Host.Http.HistoryAsync(channel)).Head);
    }

    [Theory]
    [InlineData("hello")]
    [InlineData("")]
    [InlineData("{\"type\":\"ping\"")]
    [InlineData("{\"type\":\"ping\"}}")]
    [InlineData("{\"type\":\"ping\"}{\"type\":\"ping\"}")]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("null")]
    [InlineData("{'type':'ping'}")]
    [InlineData("{\"type\":\"ping\",}")]
    [InlineData("\0\0\0\0")]
    public async Task What_is_no_frame_at_all_is_4502(string text)
    {
        await using var client = await Host.OpenAsync();
        client.Send(text);
        Assert.Equal(4502, (await client.ClosedAsync()).Code);
    }

    [Fact]
    public async Task Invalid_utf8_closes()
    {
        using var socket = await Host.HelloAsync();
        await socket.SendFrameAsync(1, Encoding.Latin1.GetBytes("{\"type\":\"ping\",\"x\":\"\u00ff\u00fe\"}"));
        // RFC 6455 has a code of its own for it, 1007; the contract says 4502.
        AssertOneOf(await socket.ReadToCloseAsync(), 4502, 1007);
    }
}

public class ProtoBadInputTests(ContractHost host) : BadInputTests(host, Subprotocols.Proto)
{
    [Theory]
    [InlineData("", null)] // no content
    [InlineData("0805", 5L)]
    [InlineData("0805C23E00", 5L)] // one of a later version
    [InlineData("080542004200", 5L)] // two
    [InlineData("080508064200", null)] // an id given twice
    [InlineData("0880808080808080104200", null)] // an id of 2^53
    [InlineData("08052200", 5L)] // a subscribe without a channel
    [InlineData("08052A050A03612F62", 5L)] // to a/b
    [InlineData("080522050A01611000", 5L)] // from an anchor that is none
    [InlineData("080522050A01612000", 5L)] // from the last 0
    [InlineData("080522050A01611A00", 5L)] // from a position without an epoch
    [InlineData("080532030A0161", 5L)] // a publish of nothing
    [InlineData("080532090A016112013112 0132", 5L)] // of two payloads
    [InlineData("080532070A0161120231 2C", 5L)] // of what is not JSON
    [InlineData("3A020A00", null)] // an ack of no channel
    [InlineData("12021A00", null)] // a resume of nothing
    public async Task A_frame_that_is_not_valid_is_a_bad_frame_and_the_connection_goes_on(string hex, long? id)
    {
        await using var client = await Host.OpenAsync();
        client.Send(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
        var error = AssertError(await client.WaitAsync(f => f.Type is not "welcome", "an error"), "bad_frame");
        if (id is not null) Assert.Equal(id, error.Id);
        await client.PingAsync();
        AssertType(await client.SubscribeAsync(ContractHost.NewChannel()), "subscribed");
    }

    [Theory]
    [InlineData("08")] // a number that breaks off
    [InlineData("00")] // the field 0
    [InlineData("0B0C")] // a group
    [InlineData("0F")] // a wire type that there is none
    [InlineData("42FFFFFFFF0F")] // longer than the frame
    [InlineData("420108")] // broken inside
    [InlineData("2A030A01C3")] // text that is not UTF-8
    [InlineData("7B2274797065223A2270696E67227D")] // JSON
    public async Task What_is_no_frame_at_all_is_4502(string hex)
    {
        await using var client = await Host.OpenAsync();
        client.Send(Convert.FromHexString(hex));
        Assert.Equal(4502, (await client.ClosedAsync()).Code);
    }
}

/// <summary>What holds for every form of frames.</summary>
public abstract class BadInputTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    [Theory]
    [InlineData(200, true)]
    [InlineData(201, false)]
    public async Task A_channel_name_has_up_to_200_characters(int length, bool valid)
    {
        await using var client = await Host.OpenAsync();
        var name = ContractHost.NewChannel();
        var answer = await client.SubscribeAsync(name + new string('x', length - name.Length));
        if (valid) AssertType(answer, "subscribed");
        else AssertError(answer, "bad_frame");
    }

    [Fact]
    public async Task Every_character_of_the_alphabet_is_allowed()
    {
        await using var client = await Host.OpenAsync();
        var name = "ABCXYZabcxyz0189_.:~@-" + Guid.NewGuid().ToString("N");
        AssertType(await client.SubscribeAsync(name), "subscribed");
        AssertType(await client.PublishAsync(name, "1"), "published");
        Assert.Equal(1, (await Host.Http.HistoryAsync(name)).Head);
    }

    [Fact]
    public async Task Unknown_fields_are_ignored()
    {
        await using var client = await Host.OpenAsync();
        var channel = ContractHost.NewChannel();
        AssertType(await client.RequestAsync(1, $$"""{"new":[{"x":1}],"type":"subscribe","channel":"{{channel}}","id":1,"more":null}"""), "subscribed");
        AssertType(await client.RequestAsync(2, $$"""{"data":{"type":"x","id":9},"id":2,"channel":"{{channel}}","type":"publish","zzz":0}"""), "published");
        Assert.Equal("""{"type":"x","id":9}""", (await client.MessageAsync(channel, 1)).Payload);
    }

    [Theory]
    [InlineData(60, true)]
    [InlineData(70, false)]
    [InlineData(20_000, false)]
    public async Task Nesting_has_a_limit(int depth, bool valid)
    {
        await using var client = await Host.OpenAsync();
        var text = $$"""{"type":"publish","id":3,"channel":"{{ContractHost.NewChannel()}}","data":{{new string('[', depth)}}{{new string(']', depth)}}}""";
        if (valid)
        {
            AssertType(await client.RequestAsync(3, text), "published");
        }
        else
        {
            client.Send(text);
            AssertError(await client.WaitAsync(f => f.Type is not "welcome", "an error"), "bad_frame");
        }

        await client.PingAsync();
    }

    [Fact]
    public async Task A_frame_over_the_limit_is_4504()
    {
        using var socket = await Host.HelloAsync();
        await socket.SendAsync($$"""{"type":"ping","x":"{{new string('x', 65_536)}}"}""");
        Assert.Equal(4504, await socket.ReadToCloseAsync());
    }

    [Fact]
    public async Task A_claimed_length_over_the_limit_is_not_waited_for()
    {
        using var socket = await Host.HelloAsync();
        await socket.SendFrameAsync(socket.DataOpcode, new byte[100_000], claimedLength: 1L << 40);
        // 1009 is RFC 6455's own code for it.
        AssertOneOf(await socket.ReadToCloseAsync(), 4504, 1009, 1006);
    }

    [Fact]
    public async Task A_frame_of_the_limit_is_read()
    {
        await using var client = await Host.OpenAsync();
        string Ping(int filler) => $$"""{"type":"ping","x":"{{new string('x', filler)}}"}""";
        var overhead = RawSocket.BytesOf(Host.Subprotocol, Ping(60_000)).Length - 60_000;
        client.Send(Ping(65_536 - overhead));
        await client.WaitAsync(f => f.Type == "pong", "pong");
    }

    [Fact]
    public async Task A_message_in_fragments_is_one_frame()
    {
        using var socket = await Host.HelloAsync();
        var bytes = RawSocket.BytesOf(Host.Subprotocol, """{"type":"ping","é":"é"}""");
        for (var i = 0; i < bytes.Length; i++)
        {
            await socket.SendFrameAsync(i == 0 ? socket.DataOpcode : 0, bytes.AsMemory(i, 1), final: i == bytes.Length - 1);
            // Control frames may come between fragments.
            if (i == 4) await socket.SendFrameAsync(9, "between"u8.ToArray());
        }

        Assert.Equal("between", (await socket.ReadUntilAsync(f => f.Opcode == 10))?.Text);
        Assert.NotNull(await socket.ReadUntilAsync("pong"));
    }

    [Fact]
    public async Task Fragments_over_the_limit_are_4504()
    {
        using var socket = await Host.HelloAsync();
        for (var i = 0; i < 70; i++) await socket.SendFrameAsync(i == 0 ? socket.DataOpcode : 0, new byte[1024], final: false);
        Assert.Equal(4504, await socket.ReadToCloseAsync());
    }

    [Theory]
    [InlineData(1, true, 0, false)]
    [InlineData(1, true, 4, true)]
    [InlineData(3, true, 0, true)]
    [InlineData(11, true, 0, true)]
    [InlineData(0, true, 0, true)]
    [InlineData(9, false, 0, true)]
    public async Task Frames_against_rfc6455_end_the_socket(int opcode, bool final, int reserved, bool masked)
    {
        using var socket = await Host.HelloAsync();
        // Longer than a header: one that lacks its mask is looked at only when there are as many bytes as with it.
        var ping = RawSocket.BytesOf(Host.Subprotocol, """{"type":"ping","x":"more"}""");
        await socket.SendFrameAsync(opcode == 1 ? socket.DataOpcode : opcode, ping, final, masked, reserved);
        AssertOneOf(await socket.ReadToCloseAsync(), 4502, 1002, 1006);
    }

    [Fact]
    public async Task A_close_is_answered_by_a_close()
    {
        using var socket = await Host.HelloAsync();
        await socket.SendFrameAsync(8, new byte[] { 0x03, 0xE8 });
        Assert.Equal(1000, await socket.ReadToCloseAsync());
    }

    protected static void AssertOneOf(int code, params int[] expected) =>
        Assert.True(expected.Contains(code), $"closed with {code}, expected {string.Join(" or ", expected)}");
}

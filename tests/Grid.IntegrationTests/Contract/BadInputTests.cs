using System.Text;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class BadInputTests(ContractHost host) : ContractTest(host)
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
    public async Task A_binary_message_is_4502()
    {
        using var socket = await HelloAsync();
        await socket.SendFrameAsync(2, Encoding.UTF8.GetBytes(ClientFrames.Ping));
        Assert.Equal(4502, await socket.ReadToCloseAsync());
    }

    [Fact]
    public async Task Invalid_utf8_closes()
    {
        using var socket = await HelloAsync();
        await socket.SendFrameAsync(1, Encoding.Latin1.GetBytes("{\"type\":\"ping\",\"x\":\"\u00ff\u00fe\"}"));
        // RFC 6455 has a code of its own for it, 1007; the contract says 4502.
        AssertOneOf(await socket.ReadToCloseAsync(), 4502, 1007);
    }

    [Fact]
    public async Task A_frame_over_the_limit_is_4504()
    {
        using var socket = await HelloAsync();
        var text = $$"""{"type":"ping","x":"{{new string('x', 65_536)}}"}""";
        await socket.SendTextAsync(text);
        Assert.Equal(4504, await socket.ReadToCloseAsync());
    }

    [Fact]
    public async Task A_claimed_length_over_the_limit_is_not_waited_for()
    {
        using var socket = await HelloAsync();
        await socket.SendFrameAsync(1, new byte[100_000], claimedLength: 1L << 40);
        // 1009 is RFC 6455's own code for it.
        AssertOneOf(await socket.ReadToCloseAsync(), 4504, 1009, 1006);
    }

    [Fact]
    public async Task A_frame_of_the_limit_is_read()
    {
        await using var client = await Host.OpenAsync();
        const string Head = """{"type":"ping","x":" """, Tail = "\"}";
        client.Send(Head + new string('x', 65_536 - Head.Length - Tail.Length) + Tail);
        await client.WaitAsync(f => f.Type == "pong", "pong");
    }

    [Fact]
    public async Task A_message_in_fragments_is_one_frame()
    {
        using var socket = await HelloAsync();
        var bytes = Encoding.UTF8.GetBytes("""{"type":"ping","é":"é"}""");
        for (var i = 0; i < bytes.Length; i++)
        {
            await socket.SendFrameAsync(i == 0 ? 1 : 0, bytes.AsMemory(i, 1), final: i == bytes.Length - 1);
            // Control frames may come between fragments.
            if (i == 4) await socket.SendFrameAsync(9, "between"u8.ToArray());
        }

        Assert.Equal("between", (await socket.ReadUntilAsync(f => f.Opcode == 10))?.Text);
        Assert.NotNull(await socket.ReadUntilAsync(f => f.Opcode == 1 && f.Text.Contains("\"pong\"", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Fragments_over_the_limit_are_4504()
    {
        using var socket = await HelloAsync();
        for (var i = 0; i < 70; i++) await socket.SendFrameAsync(i == 0 ? 1 : 0, new byte[1024], final: false);
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
        using var socket = await HelloAsync();
        await socket.SendFrameAsync(opcode, Encoding.UTF8.GetBytes(ClientFrames.Ping), final, masked, reserved);
        AssertOneOf(await socket.ReadToCloseAsync(), 4502, 1002, 1006);
    }

    [Fact]
    public async Task A_close_is_answered_by_a_close()
    {
        using var socket = await HelloAsync();
        await socket.SendFrameAsync(8, new byte[] { 0x03, 0xE8 });
        Assert.Equal(1000, await socket.ReadToCloseAsync());
    }

    private static void AssertOneOf(int code, params int[] expected) =>
        Assert.True(expected.Contains(code), $"closed with {code}, expected {string.Join(" or ", expected)}");

    private async Task<RawSocket> HelloAsync()
    {
        var socket = await RawSocket.UpgradeAsync(Host.Address, await Host.Http.TokenAsync(ContractHost.NewUser()));
        Assert.Equal(101, socket.Status);
        await socket.SendTextAsync(ClientFrames.Hello());
        var welcome = await socket.ReadUntilAsync(f => f.Opcode == 1);
        Assert.Contains("\"welcome\"", welcome?.Text, StringComparison.Ordinal);
        return socket;
    }
}

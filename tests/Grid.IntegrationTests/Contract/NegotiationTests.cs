using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

/// <summary>Which form of frames is agreed on, and what becomes of frames in the other.</summary>
public class NegotiationTests(ContractHost host) : ContractTest(host, Subprotocols.Json)
{
    [Fact]
    public async Task Without_a_subprotocol_frames_are_json()
    {
        var options = Host.Options(await Host.Http.TokenAsync("ana")) with { Subprotocol = null };
        await using var client = await RawClient.OpenAsync(Host.Address, options);
        Assert.Null(client.Subprotocol);
        await client.PingAsync();
    }

    [Theory]
    [InlineData("grid.v1.json, grid.v1.proto", "grid.v1.json")]
    [InlineData("grid.v1.proto, grid.v1.json", "grid.v1.proto")]
    [InlineData("grid.v9.proto, grid.v1.proto", "grid.v1.proto")]
    [InlineData("mqtt", null)]
    public async Task The_first_that_both_know_is_agreed_on(string offered, string? agreed)
    {
        using var socket = await RawSocket.UpgradeAsync(Host.Address, await Host.Http.TokenAsync("ana"), offered);
        Assert.Equal(101, socket.Status);
        Assert.Equal(agreed, socket.Subprotocol);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
    }

    [Theory]
    [InlineData(Subprotocols.Json, 2)]
    [InlineData(Subprotocols.Proto, 1)]
    public async Task A_message_of_the_other_kind_is_4502(string subprotocol, int opcode)
    {
        using var socket = await RawSocket.UpgradeAsync(Host.Address, await Host.Http.TokenAsync("ana"), subprotocol);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
        await socket.SendFrameAsync(opcode, "{\"type\":\"ping\"}"u8.ToArray());
        Assert.Equal(4502, await socket.ReadToCloseAsync());
    }

    [Fact]
    public async Task Clients_of_both_forms_hear_each_other()
    {
        var channel = ContractHost.NewChannel();
        await using var json = await Host.OpenAsync("ana");
        var options = Host.Options(await Host.Http.TokenAsync("ben")) with { Subprotocol = Subprotocols.Proto };
        await using var proto = await RawClient.OpenAsync(Host.Address, options);
        foreach (var client in (RawClient[])[json, proto]) AssertType(await client.SubscribeAsync(channel), "subscribed");
        AssertType(await json.PublishAsync(channel, """{ "a" : 1.10 }""", "k-1", "x"), "published");
        AssertType(await proto.PublishAsync(channel, "base64:AAEC/w=="), "published");
        AssertType(await proto.PublishAsync(channel, "\"é 😀\""), "published");
        AssertType(await json.PublishAsync(channel, "base64:"), "published");
        foreach (var client in (RawClient[])[json, proto])
        {
            await client.MessageAsync(channel, 4);
            Assert.Equal(["""{ "a" : 1.10 }""", "base64:AAEC/w==", "\"é 😀\"", "base64:"], client.Messages(channel).Select(m => m.Payload));
            Assert.Equal(["ana", "ben", "ben", "ana"], client.Messages(channel).Select(m => m.String("from")));
            Assert.Equal(("k-1", "x"), (client.Messages(channel)[0].String("key"), client.Messages(channel)[0].String("event")));
        }

        Assert.Equal(json.Messages(channel).Select(m => (m.Payload, m.Number("at"))), proto.Messages(channel).Select(m => (m.Payload, m.Number("at"))));
    }
}

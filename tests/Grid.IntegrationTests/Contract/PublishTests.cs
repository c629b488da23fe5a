using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonPublishTests(ContractHost host) : PublishTests(host, Subprotocols.Json);

public class ProtoPublishTests(ContractHost host) : PublishTests(host, Subprotocols.Proto);

public abstract class PublishTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    [Fact]
    public async Task Pipelined_publishes_are_answered_and_stored_in_order()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        var answers = await Task.WhenAll(Enumerable.Range(1, 300).Select(i => client.PublishAsync(channel, $"{i}")));
        Assert.All(answers, a => AssertType(a, "published"));
        Assert.Equal(Enumerable.Range(1, 300).Select(i => (long)i), answers.Select(a => a.Offset));
        Assert.All(answers, a => Assert.False(a.Json.GetProperty("duplicate").GetBoolean()));
        var stored = await Host.Http.HistoryAsync(channel, pageSize: 70);
        Assert.Equal((1, 300, answers[0].Epoch), (stored.Oldest, stored.Head, stored.Epoch));
        Assert.Equal(Enumerable.Range(1, 300).Select(i => ((long)i, $"{i}")), stored.Messages.Select(m => (m.Offset, m.Payload)));
    }

    [Fact]
    public async Task Without_an_id_there_is_no_answer()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        client.Send(ClientFrames.Publish(null, channel, "1"));
        await client.MessageAsync(channel, 1);
        Assert.Equal(2, (await client.PublishAsync(channel, "2")).Offset);
        Assert.Single(client.Frames, f => f.Type == "published");
    }

    [Fact]
    public async Task The_same_key_is_the_same_message()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        var first = AssertType(await client.PublishAsync(channel, "1", "k"), "published");
        var again = AssertType(await client.PublishAsync(channel, "1", "k"), "published");
        Assert.Equal(first.Position, again.Position);
        Assert.False(first.Json.GetProperty("duplicate").GetBoolean());
        Assert.True(again.Json.GetProperty("duplicate").GetBoolean());
        Assert.Equal(2, (await client.PublishAsync(channel, "2", "l")).Offset);
        await client.MessageAsync(channel, 2);
        Assert.Equal(2, client.Messages(channel).Count);
        var elsewhere = AssertType(await client.PublishAsync(ContractHost.NewChannel(), "1", "k"), "published");
        Assert.False(elsewhere.Json.GetProperty("duplicate").GetBoolean());
    }

    [Fact]
    public async Task The_same_key_in_one_burst_is_one_message()
    {
        var channel = ContractHost.NewChannel();
        await using var one = await Host.OpenAsync();
        await using var two = await Host.OpenAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 40).Select(i => (i % 2 == 0 ? one : two).PublishAsync(channel, "1", $"k{i / 10}")));
        foreach (var key in answers.Select((a, i) => (Answer: AssertType(a, "published"), Key: i / 10)).GroupBy(x => x.Key))
        {
            Assert.Single(key.Select(x => x.Answer.Offset).Distinct());
            Assert.Single(key, x => !x.Answer.Json.GetProperty("duplicate").GetBoolean());
        }

        Assert.Equal(4, (await Host.Http.HistoryAsync(channel)).Head);
    }

    [Fact]
    public async Task IfOffset_publishes_only_on_that_head()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        Assert.Equal(1, AssertType(await client.PublishAsync(channel, "1", ifOffset: 0), "published").Offset);
        AssertError(await client.PublishAsync(channel, "2", ifOffset: 0), "conflict");
        AssertError(await client.PublishAsync(channel, "2", ifOffset: 7), "conflict");
        Assert.Equal(2, AssertType(await client.PublishAsync(channel, "2", ifOffset: 1), "published").Offset);
        Assert.Equal(["1", "2"], (await Host.Http.HistoryAsync(channel)).Messages.Select(m => m.Payload));
    }

    [Fact]
    public async Task IfOffset_lets_one_of_many_win()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => client.PublishAsync(channel, $"{i}", ifOffset: 0)));
        Assert.Single(answers, a => a.Type == "published");
        Assert.Equal(19, answers.Count(a => a.Code == "conflict"));
    }

    [Fact]
    public async Task A_repeat_of_a_publish_with_ifOffset_is_a_duplicate_not_a_conflict()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        var first = AssertType(await client.PublishAsync(channel, "1", "k", ifOffset: 0), "published");
        var again = AssertType(await client.PublishAsync(channel, "1", "k", ifOffset: 0), "published");
        Assert.Equal(first.Position, again.Position);
        Assert.True(again.Json.GetProperty("duplicate").GetBoolean());
    }

    [Theory]
    [InlineData("null")]
    [InlineData("true")]
    [InlineData("-0.10e+5")]
    [InlineData("123456789012345678901234567890")]
    [InlineData("\"é \\u00e9 \\n 😀 <script>\"")]
    [InlineData("[]")]
    [InlineData("{\"a\":1.10,\"b\":[1,2,{\"c\":null}],\"a b\":\"x\"}")]
    [InlineData("{ \"spaced\" : [ 1 , 2 ] }")]
    [InlineData("{\"same\":1,\"same\":2}")]
    [InlineData("base64:AAEC/w==")]
    [InlineData("base64:")]
    public async Task Payloads_come_as_they_were_sent(string payload)
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        // Built by hand where a writer would change the spaces.
        var body = payload.StartsWith("base64:", StringComparison.Ordinal) ? $"\"data64\":\"{payload[7..]}\"" : $"\"data\":{payload}";
        AssertType(await client.RequestAsync(999, $$"""{"type":"publish","id":999,"channel":"{{channel}}",{{body}}}"""), "published");
        var message = await client.MessageAsync(channel, 1);
        Assert.Equal(payload, message.Payload);
        Assert.NotEqual(message.Has("data"), message.Has("data64"));
        Assert.Equal(payload, Assert.Single((await Host.Http.HistoryAsync(channel)).Messages).Payload);
    }

    [Fact]
    public async Task A_payload_larger_than_the_namespace_allows_is_too_large()
    {
        var channel = ContractHost.NewChannel("small");
        await using var client = await Host.OpenAsync();
        AssertType(await client.PublishAsync(channel, $"\"{new string('x', 98)}\""), "published");
        AssertError(await client.PublishAsync(channel, $"\"{new string('x', 99)}\""), "too_large");
        AssertType(await client.PublishAsync(channel, "base64:" + Convert.ToBase64String(new byte[100])), "published");
        AssertError(await client.PublishAsync(channel, "base64:" + Convert.ToBase64String(new byte[101])), "too_large");
        Assert.Equal(2, (await Host.Http.HistoryAsync(channel)).Head);
    }
}

using System.Text;
using Grid.Testing.Hosting;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Modes, filters, formats and the handshake.</summary>
public sealed class WebhookDeliveryTests(WebhookHost host) : WebhookTest(host)
{
    [Fact]
    public async Task In_parallel_a_failing_message_holds_nothing_back()
    {
        var channel = NewChannel();
        Inbox.Answer = x => x.RespondAsync(x.Request is { Offset: 2, Attempt: 1 } ? 500 : 204);
        var hook = await CreateAsync(channel, more: "\"retry\":{\"schedule\":[0,2]}");
        await PublishAsync(channel, 1, 30);
        await Inbox.DeliveredAsync(30);
        Assert.Equal((2L, 2), (Inbox.Requests[^1].Offset, Inbox.Requests[^1].Attempt));
        await hook.SettledAsync();
    }

    [Fact]
    public async Task Keyed_by_channel_a_failing_message_holds_its_channel_alone()
    {
        var prefix = NewChannel() + ".";
        var sick = true;
        Inbox.Answer = x => x.RespondAsync(Volatile.Read(ref sick) && x.Request.Channel == prefix + "a" && x.Request.Offset == 2 ? 500 : 204);
        var hook = await CreateAsync(prefix + "*", more: "\"mode\":\"keyed\",\"retry\":{\"schedule\":[0,1,1,1,1,1,1,1]}");
        await PublishAsync(prefix + "a", 1, 5);
        await PublishAsync(prefix + "b", 1, 20);
        await Inbox.DeliveredAsync(21);
        await hook.UntilAsync(w => w.TryGetProperty("blockedBy", out _), "blocked");
        Assert.DoesNotContain(Inbox.Requests, r => r.Channel == prefix + "a" && r.Offset > 2);
        Volatile.Write(ref sick, false);
        await Inbox.DeliveredAsync(25);
        Assert.Equal([1L, 2, 3, 4, 5], Inbox.Requests.Where(r => r.Channel == prefix + "a" && r.Answered == 204).Select(r => r.Offset));
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (long)i), Inbox.Requests.Where(r => r.Channel == prefix + "b").Select(r => r.Offset));
    }

    [Fact]
    public async Task Keyed_by_a_part_of_the_key_lanes_are_in_order_and_go_on_beside_each_other()
    {
        var channel = NewChannel();
        var sick = true;
        Inbox.Answer = x => x.RespondAsync(Volatile.Read(ref sick) && x.Request.Offset == 1 ? 500 : 204);
        await CreateAsync(channel, more: "\"mode\":\"keyed\",\"keySeparator\":\"/\",\"retry\":{\"schedule\":[0,1,1,1,1,1,1,1]}");
        var items = Enumerable.Range(0, 12).Select(i => $$"""{"data":{{i}},"key":"{{"abc"[i % 3]}}/{{i}}"}""");
        (await Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), $"[{string.Join(',', items)}]")).Ok();
        await Inbox.DeliveredAsync(8);
        Assert.All(Inbox.Requests.Where(r => r.Answered == 204), r => Assert.NotEqual(1, r.Offset % 3));
        Volatile.Write(ref sick, false);
        await Inbox.DeliveredAsync(12);
        foreach (var lane in Inbox.Requests.Where(r => r.Answered == 204).GroupBy(r => r.Offset % 3)) Assert.Equal(lane.Select(r => r.Offset).Order(), lane.Select(r => r.Offset));
    }

    [Theory]
    [InlineData("block")]
    [InlineData("deadLetter")]
    [InlineData("pause")]
    public async Task In_order_an_exhausted_message_blocks_dies_or_pauses(string onExhausted)
    {
        var channel = NewChannel();
        var sick = true;
        Inbox.Answer = x => x.RespondAsync(Volatile.Read(ref sick) && x.Request.Offset == 2 ? 400 : 204);
        var hook = await CreateAsync(channel, more: $$$"""
            "mode":"ordered","onExhausted":"{{{onExhausted}}}","retry":{"schedule":[0,1]}
            """);
        await PublishAsync(channel, 1, 4);
        switch (onExhausted)
        {
            case "block":
                await Inbox.CountAsync(4);
                Assert.Equal([1L, 2, 2, 2], Inbox.Requests.Take(4).Select(r => r.Offset));
                Assert.Equal(Inbox.Requests[1].Id, (await hook.GetAsync()).GetProperty("blockedBy").GetString());
                break;
            case "deadLetter":
                await Inbox.DeliveredAsync(3);
                Assert.Equal([1L, 2, 2, 3, 4], Inbox.Requests.Select(r => r.Offset));
                await hook.SettledAsync();
                Assert.Equal(2, Assert.Single(await hook.DeadLettersAsync()).GetProperty("offset").GetInt64());
                return;
            default:
                await hook.UntilAsync(w => w.GetProperty("status").GetString() == "paused", "paused");
                Assert.Equal([1L, 2, 2], Inbox.Requests.Select(r => r.Offset));
                break;
        }

        Volatile.Write(ref sick, false);
        if (onExhausted == "pause") await hook.DoAsync("resume");
        await Inbox.DeliveredAsync(4);
        Assert.Equal([1L, 2, 3, 4], Inbox.Requests.Where(r => r.Answered == 204).Select(r => r.Offset));
        await hook.SettledAsync();
        Assert.Empty(await hook.DeadLettersAsync());
    }

    [Fact]
    public async Task Events_are_filtered_by_name_and_prefix()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel, more: "\"events\":[\"order.*\",\"paid\"]");
        foreach (var name in new[] { "order.created", "orders", null, "paid", "paid.twice", "order." }) await PublishAsync(channel, name);
        await Inbox.DeliveredAsync(3);
        await hook.SettledAsync();
        Assert.Equal([1L, 4, 6], Inbox.Requests.Select(r => r.Offset).Order());
    }

    [Fact]
    public async Task A_rate_is_kept()
    {
        var channel = NewChannel();
        await CreateAsync(channel, more: "\"rateLimit\":{\"perSecond\":10}");
        await PublishAsync(channel, 1, 45);
        await Inbox.DeliveredAsync(45);

        // A bucket of a second may be full at first; the rest comes at the rate. Much of that may pass until the first is noticed here.
        Assert.True(Inbox.Requests[^1].At - Inbox.Requests[0].At >= TimeSpan.FromSeconds(2), Inbox.Describe());
    }

    [Fact]
    public async Task Cloud_events_are_sent_in_both_forms()
    {
        var channel = NewChannel();
        var structured = Receiver.At("/structured");
        var binary = Receiver.At("/binary");
        var a = await CreateAsync(channel, structured, "\"format\":\"cloudevents\"");
        var b = await CreateAsync(channel, binary, "\"format\":\"cloudevents-binary\"");
        (await Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":{"n":1},"event":"order.created"}""")).Ok();
        (await Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data64":"AAEC"}""")).Ok();
        await structured.DeliveredAsync(2);
        await binary.DeliveredAsync(2);

        var one = structured.Requests.Single(r => r.Offset == 1);
        Assert.StartsWith("application/cloudevents+json", one.Header("content-type"), StringComparison.Ordinal);
        Assert.Equal(
            ("1.0", one.Id, "order.created", channel, 1),
            (one.Json.GetProperty("specversion").GetString(), one.Json.GetProperty("id").GetString(), one.Json.GetProperty("type").GetString(),
                one.Json.GetProperty("gridchannel").GetString(), one.Json.GetProperty("data").GetProperty("n").GetInt32()));
        Assert.Equal("AAEC", structured.Requests.Single(r => r.Offset == 2).Json.GetProperty("data_base64").GetString());

        var two = binary.Requests.Single(r => r.Offset == 1);
        Assert.Equal(("application/json", "1.0", two.Id, "order.created", channel, "{\"n\":1}"), (
            two.Header("content-type"), two.Header("ce-specversion"), two.Header("ce-id"), two.Header("ce-type"), two.Header("ce-gridchannel"), Encoding.UTF8.GetString(two.Body)));
        var bytes = binary.Requests.Single(r => r.Offset == 2);
        Assert.Equal(("application/octet-stream", "000102"), (bytes.Header("content-type"), Convert.ToHexString(bytes.Body)));
        Assert.All(structured.Requests, r => Assert.True(r.IsSignedBy(a.Secret)));
        Assert.All(binary.Requests, r => Assert.True(r.IsSignedBy(b.Secret)));
    }

    [Fact]
    public async Task Nothing_is_sent_before_the_endpoint_agreed()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel, more: "\"handshake\":true,\"retry\":{\"schedule\":[0,1,1,1,1,1,1,1]}");
        await PublishAsync(channel);
        var asked = await Inbox.NextAsync();
        Assert.Equal(("OPTIONS", "grid"), (asked.Method, asked.Header("WebHook-Request-Origin")));
        await hook.UntilAsync(w => w.GetProperty("parked").GetInt32() == 1, "it failed");
        Assert.All(Inbox.Requests, r => Assert.Equal("OPTIONS", r.Method));
        Assert.Equal("protocol", (await hook.AttemptsAsync())[0].GetProperty("error").GetString());
        Inbox.Answer = x => x.RespondAsync(200, "", x.Request.Method == "OPTIONS" ? [("WebHook-Allowed-Origin", "grid"), ("WebHook-Allowed-Rate", "600")] : []);
        await Inbox.DeliveredAsync(1);
        await PublishAsync(channel);
        await Inbox.DeliveredAsync(2);
        Assert.Equal(1, Inbox.Requests.Count(r => r.Method == "OPTIONS" && r.Answered == 200));
    }
}

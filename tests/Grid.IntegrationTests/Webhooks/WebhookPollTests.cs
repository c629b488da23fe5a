using System.Net;
using System.Text.Json;
using Grid.Client.Webhooks;
using Grid.Testing;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Subscriptions that are polled for.</summary>
public sealed class WebhookPollTests(WebhookHost host) : WebhookTest(host)
{
    [Fact]
    public async Task Messages_are_leased_acknowledged_returned_and_handed_out_again_when_a_lease_ends()
    {
        var channel = NewChannel();
        var hook = await CreatePolledAsync(channel);
        var epoch = await PublishAsync(channel, 1, 3, "order.created");
        var first = (await hook.DoAsync("poll", """{"limit":2,"leaseSeconds":600}""")).Json.GetProperty("messages");
        Assert.Equal(2, first.GetArrayLength());
        var item = first[0];
        Assert.Equal((channel, epoch, 1), (item.GetProperty("channel").GetString(), item.GetProperty("epoch").GetString(), item.GetProperty("attempt").GetInt32()));
        Assert.Equal((1L, 1, "order.created"), (
            item.GetProperty("message").GetProperty("offset").GetInt64(), item.GetProperty("message").GetProperty("data").GetInt32(), item.GetProperty("message").GetProperty("event").GetString()));
        Assert.Equal([3L], Offsets(await hook.DoAsync("poll", """{"leaseSeconds":5}""")));
        Assert.Empty(Offsets(await hook.DoAsync("poll")));

        // The first is done, the second is given back, the third's lease ends.
        var ack = $$"""{"acked":["{{Lease(first[0])}}","1.none"],"returned":["{{Lease(first[1])}}"]}""";
        Assert.Equal(1, (await hook.DoAsync("ack", ack)).Json.GetProperty("acknowledged").GetInt32());
        Assert.Equal(0, (await hook.DoAsync("ack", ack)).Json.GetProperty("acknowledged").GetInt32());
        var again = new List<JsonElement>();
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () =>
            {
                again.AddRange((await hook.DoAsync("poll", """{"leaseSeconds":600}""")).Json.GetProperty("messages").EnumerateArray());
                return again.Count == 2;
            },
            () => $"both come again: {string.Join(' ', again)}");
        Assert.Equal([2L, 3L], again.Select(m => m.GetProperty("message").GetProperty("offset").GetInt64()).Order());
        Assert.All(again, m => Assert.Equal(2, m.GetProperty("attempt").GetInt32()));
        Assert.Equal(first[1].GetProperty("messageId").GetString(), again.Single(m => m.GetProperty("message").GetProperty("offset").GetInt64() == 2).GetProperty("messageId").GetString());
        Assert.NotEqual(Lease(first[1]), Lease(again[0]));
        Assert.Equal(2, (await hook.DoAsync("ack", $$"""{"acked":["{{Lease(again[0])}}","{{Lease(again[1])}}"]}""")).Json.GetProperty("acknowledged").GetInt32());
        Assert.Equal(3, (await hook.SettledAsync()).GetProperty("cursors").GetProperty(channel).GetProperty("offset").GetInt64());
    }

    [Fact]
    public async Task An_ordered_poll_hands_out_one_at_a_time_and_filters_and_prefixes_hold()
    {
        var prefix = NewChannel() + ".";
        var hook = await CreatePolledAsync(prefix + "*", "\"mode\":\"ordered\",\"events\":[\"order.*\"]");
        await PublishAsync(prefix + "a", 1, 2, "order.created");
        await PublishAsync(prefix + "a", 3, 3, "other");
        await PublishAsync(prefix + "b", 1, 1, "order.paid");
        var seen = new List<string>();
        for (var i = 0; i < 3; i++)
        {
            var taken = (await hook.DoAsync("poll", """{"limit":10}""")).Json.GetProperty("messages");
            Assert.Equal(1, taken.GetArrayLength());
            Assert.Empty(Offsets(await hook.DoAsync("poll")));
            seen.Add($"{taken[0].GetProperty("channel").GetString()![prefix.Length..]}{taken[0].GetProperty("message").GetProperty("offset")}");
            await hook.DoAsync("ack", $$"""{"acked":["{{Lease(taken[0])}}"]}""");
        }

        Assert.Equal(["a1", "a2", "b1"], seen.Order());
        Assert.Empty(Offsets(await hook.DoAsync("poll")));
    }

    [Fact]
    public async Task The_sdk_polls_what_was_seeked_to()
    {
        var channel = NewChannel();
        var webhook = await Host.Server.CreateWebhookAsync(new WebhookSettings { Channels = [channel] });
        await PublishAsync(channel, 1, 3);
        var messages = await Host.Server.PollWebhookAsync(webhook.Id, 10, TimeSpan.FromMinutes(1));
        Assert.Equal([1L, 2L, 3L], messages.Select(m => m.Message.Offset));
        Assert.Equal(3, await Host.Server.AckWebhookAsync(webhook.Id, messages.Select(m => m.Lease).ToList()));
        await Host.Server.SeekWebhookAsync(webhook.Id, WebhookStart.Since(DateTimeOffset.UtcNow.AddDays(-1)));
        Assert.Equal(3, (await Host.Server.PollWebhookAsync(webhook.Id, 10, TimeSpan.FromMinutes(1))).Count);
        await Host.Server.DeleteWebhookAsync(webhook.Id);
    }

    [Fact]
    public async Task Polling_and_sending_do_not_mix()
    {
        var sent = await CreateAsync(NewChannel());
        AssertProblem(await Http.PostAsync(sent.Path("/poll"), ""), HttpStatusCode.Conflict, "conflict");
        AssertProblem(await Http.PostAsync(sent.Path("/ack"), """{"acked":["1.x"]}"""), HttpStatusCode.Conflict, "conflict");
        var polled = await CreatePolledAsync(NewChannel());
        AssertProblem(await Http.PostAsync(polled.Path("/test"), ""), HttpStatusCode.Conflict, "conflict");
        AssertProblem(await Http.SendAsync(HttpMethod.Patch, polled.Path(), $$"""{"url":"{{Inbox.Url}}"}"""), HttpStatusCode.BadRequest, "bad_frame");
    }

    private static string Lease(JsonElement polled) => polled.GetProperty("lease").GetString()!;

    private static IEnumerable<long> Offsets(Grid.Testing.Hosting.HttpAnswer answer) =>
        answer.Json.GetProperty("messages").EnumerateArray().Select(m => m.GetProperty("message").GetProperty("offset").GetInt64());
}

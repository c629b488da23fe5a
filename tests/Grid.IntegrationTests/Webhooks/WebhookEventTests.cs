using System.Net;
using System.Text.Json;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>What is told about subscriptions on <c>grid:webhooks</c>: by socket and by webhook.</summary>
public sealed class WebhookEventTests(WebhookHost host) : WebhookTest(host)
{
    private const string Channel = "grid:webhooks";

    [Fact]
    public async Task Failing_exhausted_opened_and_recovered_are_told_to_sockets_and_webhooks_of_the_tenant()
    {
        await using var client = await SubscribeAsync();
        await using var stranger = await RawClient.OpenAsync(Host.Process.Address, new RawClientOptions { Token = await Host.Other.TokenAsync("ana") });
        await stranger.SubscribeAsync(Channel);
        var told = Receiver.At("/told");
        await CreateAsync(Channel, told);

        var channel = NewChannel();
        Inbox.Answer = Answers.Status(500);
        var hook = await CreateAsync(channel, more: "\"retry\":{\"schedule\":[0]}");
        await PublishAsync(channel, 1, 12);
        var failing = await NextAsync(client, hook, "webhook.failing");
        Assert.Equal("500", failing.GetProperty("failure").GetString());
        var exhausted = await NextAsync(client, hook, "webhook.exhausted");
        Assert.Equal((channel, 1, "500"), (exhausted.GetProperty("channel").GetString(), exhausted.GetProperty("attempts").GetInt32(), exhausted.GetProperty("failure").GetString()));
        Assert.Contains(Inbox.Requests, r => r.Id == exhausted.GetProperty("message").GetString() && r.Offset == exhausted.GetProperty("offset").GetInt64());
        AssertMembers(exhausted, "webhook", "at", "channel", "epoch", "offset", "message", "attempts", "failure");
        AssertMembers(await NextAsync(client, hook, "webhook.circuit_opened"), "webhook", "at");
        Inbox.Answer = Answers.NoContent;
        AssertMembers(await NextAsync(client, hook, "webhook.recovered"), "webhook", "at");
        await hook.SettledAsync();

        // The same messages, by a webhook of the tenant. (Other tests' are among them.)
        string[] expected = ["webhook.failing", "webhook.exhausted", "webhook.circuit_opened", "webhook.recovered"];
        await told.UntilAsync(
            () => expected.All(e => told.Requests.Any(r => IsOf(r, hook, e))), () => "the webhook is told of all four");
        Assert.Single(told.Requests, r => IsOf(r, hook, "webhook.failing"));
        Assert.Empty(stranger.Messages(Channel));
    }

    [Fact]
    public async Task Nobody_but_Grid_publishes_there()
    {
        await using var client = await SubscribeAsync();
        var forged = """{"data":{"webhook":"wh_1"},"event":"webhook.disabled"}""";
        AssertProblem(await Http.PostAsync(GridHttp.ChannelPath(Channel, "/messages"), forged), HttpStatusCode.Forbidden, "forbidden");
        var refused = await client.PublishAsync(Channel, """{"webhook":"wh_1"}""");
        Assert.Equal("forbidden", refused.Json.GetProperty("code").GetString());
        Assert.Empty(client.Messages(Channel));
    }

    [Fact]
    public async Task Disabled_and_paused_are_told_with_their_reasons()
    {
        await using var client = await SubscribeAsync();
        var channel = NewChannel();
        Inbox.Answer = Answers.Gone;
        var hook = await CreateAsync(channel);
        await PublishAsync(channel);
        var gone = await NextAsync(client, hook, "webhook.disabled");
        Assert.Equal("gone", gone.GetProperty("reason").GetString());
        AssertMembers(gone, "webhook", "at", "reason");

        var other = await CreateAsync(channel, Receiver.At("/ordered"), "\"mode\":\"ordered\",\"onExhausted\":\"pause\",\"retry\":{\"schedule\":[0]}");
        await other.DoAsync("disable");
        Assert.Equal("request", (await NextAsync(client, other, "webhook.disabled")).GetProperty("reason").GetString());
        await other.DoAsync("enable");
        Receiver.At("/ordered").Answer = Answers.Status(400);
        await PublishAsync(channel);
        var paused = await NextAsync(client, other, "webhook.paused");
        AssertMembers(paused, "webhook", "at", "channel", "epoch", "offset", "message");
    }

    [Fact]
    public async Task What_retention_took_is_told_and_recorded()
    {
        await using var client = await SubscribeAsync();
        using var deadline = TestDeadline.In(120);
        long oldest = 1;
        await deadline.UntilAsync(
            async () => (oldest = (await Http.GetAsync(GridHttp.ChannelPath(Host.CutChannel))).Ok().Json.GetProperty("oldest").GetInt64()) > 3,
            () => "retention has taken the first messages");
        var hook = new Hook(Http, Host.Cut, "");
        (await Http.SendAsync(HttpMethod.Patch, hook.Path(), $$"""{"url":"{{Inbox.Url}}"}""")).Ok();
        await hook.DoAsync("resume");
        var told = await NextAsync(client, hook, "webhook.truncated");
        AssertMembers(told, "webhook", "channel", "epoch", "from", "to", "count", "reason");
        Assert.Equal((Host.CutChannel, 1L, "retention"), (told.GetProperty("channel").GetString(), told.GetProperty("from").GetInt64(), told.GetProperty("reason").GetString()));
        var last = told.GetProperty("to").GetInt64();
        Assert.True(last >= oldest - 1);
        await Inbox.DeliveredAsync((int)(60 - last));
        Assert.Equal(Enumerable.Range((int)last + 1, 60 - (int)last).Select(i => (long)i), Inbox.Requests.Select(r => r.Offset).Order());
        var shown = Assert.Single((await hook.SettledAsync()).GetProperty("truncated").EnumerateArray());
        Assert.Equal((Host.CutChannel, 1L, last), (shown.GetProperty("channel").GetString(), shown.GetProperty("from").GetInt64(), shown.GetProperty("to").GetInt64()));
    }

    [Theory]
    [InlineData("*")]
    [InlineData("grid:*")]
    public async Task A_webhook_that_is_told_of_itself_and_fails_does_not_feed_itself(string pattern)
    {
        // In the tenant in which nothing else happens.
        var http = Host.Other;
        await using var client = await RawClient.OpenAsync(Host.Process.Address, new RawClientOptions { Token = await http.TokenAsync("ana") });
        await client.SubscribeAsync(Channel);
        Inbox.Answer = Answers.Status(400);
        var hook = await CreateAsync(pattern, more: "\"retry\":{\"schedule\":[0]}", http: http);
        var channel = NewChannel();
        for (var i = 0; i < 3; i++) await PublishAsync(channel, 1, 1, http: http);
        if (pattern != "*")
        {
            // Something has to be told of first.
            var sick = await CreateAsync(channel, Receiver.At("/sick"), http: http);
            Receiver.At("/sick").Answer = Answers.Gone;
            await PublishAsync(channel, 1, 1, http: http);
            await NextAsync(client, sick, "webhook.disabled");
        }

        // Whatever comes of it ends: everything is settled, and then nothing is published any more.
        await hook.SettledAsync();
        var head = await HeadAsync(http);
        var rounds = 0;
        for (var quiet = 0; quiet < 10; rounds++)
        {
            Assert.True(rounds < 200, $"{head} events, and they do not end: {string.Join('\n', client.Messages(Channel).TakeLast(20))}");
            await hook.SettledAsync();
            var now = await HeadAsync(http);
            quiet = now == head ? quiet + 1 : 0;
            head = now;
        }

        Assert.Equal(pattern != "*", Inbox.Requests.Any(r => r.Channel == Channel));
        Assert.InRange(client.Messages(Channel).Count(m => m.Text.Contains(hook.Id, StringComparison.Ordinal)), 0, 6);
    }

    private static async Task<long> HeadAsync(GridHttp http) => (await http.GetAsync(GridHttp.ChannelPath(Channel))).Ok().Json.GetProperty("head").GetInt64();

    private async Task<RawClient> SubscribeAsync()
    {
        var client = await RawClient.OpenAsync(Host.Process.Address, new RawClientOptions { Token = await Http.TokenAsync("operator") });
        Assert.Equal("subscribed", (await client.SubscribeAsync(Channel)).Type);
        return client;
    }

    private static async Task<JsonElement> NextAsync(RawClient client, Hook hook, string name)
    {
        var frame = await client.WaitAsync(
            f => f.Type == "message" && f.Channel == Channel && f.String("event") == name && JsonElement.Parse(f.Payload).GetProperty("webhook").GetString() == hook.Id,
            $"{name} of {hook.Id}");
        return JsonElement.Parse(frame.Payload);
    }

    private static bool IsOf(ReceivedWebhook request, Hook hook, string name) =>
        request.Json.GetProperty("type").GetString() == name && request.Json.GetProperty("data").GetProperty("webhook").GetString() == hook.Id;

    private static void AssertMembers(JsonElement payload, params string[] names) =>
        Assert.Equal(names.Order(), payload.EnumerateObject().Select(p => p.Name).Order());
}

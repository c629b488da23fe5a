using System.Net;
using System.Text.Json;
using Grid.Client.Webhooks;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Subscriptions as the contract has them: made, shown, changed, switched, removed.</summary>
public sealed class WebhookSubscriptionTests(WebhookHost host) : WebhookTest(host)
{
    [Fact]
    public async Task A_subscription_is_made_shown_changed_listed_and_removed()
    {
        var channel = NewChannel();
        var body = $$"""
            {"url":"{{Inbox.Url}}","channels":["{{channel}}","room:*"],"events":["order.*"],"mode":"ordered","onExhausted":"pause","description":"for a test",
             "headers":{"Authorization":"Bearer s3cret","X-Own":"1"},"rateLimit":{"perSecond":50},"retry":{"schedule":[0,5]},"format":"cloudevents",
             "signatures":["v1","v1a"],"from":"now"}
            """;
        var answer = await Http.PostAsync("/v1/webhooks", body);
        Assert.Equal(HttpStatusCode.Created, answer.Status);
        var made = answer.Json;
        var id = made.GetProperty("id").GetString()!;
        Assert.StartsWith("wh_", id, StringComparison.Ordinal);
        Assert.StartsWith("whsec_", made.GetProperty("secret").GetString(), StringComparison.Ordinal);
        Assert.StartsWith("whpk_", made.GetProperty("publicKey").GetString(), StringComparison.Ordinal);
        Assert.Equal($"/v1/webhooks/{id}", answer.Headers.Location?.OriginalString);
        Assert.True(answer.Headers.CacheControl?.NoStore);

        var shown = (await Http.GetAsync($"/v1/webhooks/{id}")).Ok();
        Assert.DoesNotContain("s3cret", answer.Text + shown.Text, StringComparison.Ordinal);
        var hook = shown.Json;
        Assert.False(hook.TryGetProperty("secret", out _));
        foreach (var (name, expected) in new[]
        {
            ("url", $"\"{Inbox.Url}\""), ("channels", $"[\"{channel}\",\"room:*\"]"), ("events", "[\"order.*\"]"), ("mode", "\"ordered\""), ("onExhausted", "\"pause\""),
            ("description", "\"for a test\""), ("headers", "{\"Authorization\":\"********\",\"X-Own\":\"********\"}"), ("rateLimit", "{\"perSecond\":50}"),
            ("retry", "{\"schedule\":[0,5]}"), ("format", "\"cloudevents\""), ("signatures", "[\"v1\",\"v1a\"]"), ("status", "\"active\""), ("inFlight", "0"),
            ("circuit", "\"closed\""), ("parked", "0"), ("lag", "{\"messages\":0,\"seconds\":0}"),
        })
        {
            Assert.True(JsonElement.DeepEquals(JsonElement.Parse(expected), hook.GetProperty(name)), $"{name}: {hook.GetProperty(name)}");
        }

        var changed = (await Http.SendAsync(
            HttpMethod.Patch, $"/v1/webhooks/{id}", """{"description":null,"mode":"parallel","headers":{"X-Own":null,"X-New":"2"},"rateLimit":null,"format":null}""")).Ok().Json;
        Assert.False(changed.TryGetProperty("description", out _));
        Assert.False(changed.TryGetProperty("rateLimit", out _));
        Assert.Equal("json", changed.GetProperty("format").GetString());
        Assert.Equal(["Authorization", "X-New"], changed.GetProperty("headers").EnumerateObject().Select(h => h.Name).Order());
        Assert.Equal("order.*", changed.GetProperty("events")[0].GetString());

        // Whoever changes it has not seen the values, and must not have them sent elsewhere.
        var elsewhere = Receiver.At("/b").Url.Replace("127.0.0.1", "127.0.0.2", StringComparison.Ordinal);
        var moved = await Http.SendAsync(HttpMethod.Patch, $"/v1/webhooks/{id}", $$$"""{"url":"{{{elsewhere}}}","headers":{"X-New":"3"}}""");
        Assert.Contains("Authorization", AssertProblem(moved, HttpStatusCode.BadRequest, "bad_frame").Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
        (await Http.SendAsync(HttpMethod.Patch, $"/v1/webhooks/{id}", $$"""{"url":"{{Receiver.At("/b").Url}}"}""")).Ok();
        (await Http.SendAsync(HttpMethod.Patch, $"/v1/webhooks/{id}", $$$"""{"url":"{{{elsewhere}}}","headers":{"X-New":"3","Authorization":null}}""")).Ok();

        // A page at a time.
        var found = new List<string>();
        for (var query = "?limit=1"; query.Length > 0;)
        {
            var page = (await Http.GetAsync("/v1/webhooks" + query)).Ok().Json;
            found.AddRange(page.GetProperty("webhooks").EnumerateArray().Select(w => w.GetProperty("id").GetString()!));
            query = page.TryGetProperty("next", out var next) ? $"?limit=1&after={next}" : "";
        }

        Assert.Contains(id, found);
        Assert.Equal(found.Order(StringComparer.Ordinal), found);
        Assert.Equal(HttpStatusCode.NoContent, (await Http.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{id}")).Status);
        AssertProblem(await Http.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{id}"), HttpStatusCode.NotFound, "bad_frame");
        AssertProblem(await Http.GetAsync($"/v1/webhooks/{id}"), HttpStatusCode.NotFound, "bad_frame");
    }

    [Fact]
    public async Task A_delivery_is_as_the_contract_says()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel, more: "\"headers\":{\"Authorization\":\"Bearer s3cret\"}");
        (await Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":{ "total": 1.50 },"event":"order.created"}""")).Ok();
        var request = await Inbox.NextAsync();
        Assert.Equal(("POST", channel, 1L, 1), (request.Method, request.Channel, request.Offset, request.Attempt));
        Assert.Equal(("Bearer s3cret", "application/json"), (request.Header("authorization"), request.Header("content-type")));
        Assert.Matches("""^\{"type":"order.created","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","data":\{ "total": 1\.50 \}\}$""", request.Text);
        Assert.True(request.IsSignedBy(hook.Secret));
        Assert.Equal(request.Id, new WebhookVerifier(hook.Secret).Verify(request.Body, n => request.Header(n)).Id);
        (await Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data64":"AAEC"}""")).Ok();
        var second = await Inbox.NextAsync();
        Assert.Equal(("grid.message", "AAEC"), (second.Json.GetProperty("type").GetString(), second.Json.GetProperty("data64").GetString()));
        Assert.NotEqual(request.Id, second.Id);
    }

    [Fact]
    public async Task A_new_secret_signs_beside_the_old_one_while_they_overlap()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        var second = (await hook.DoAsync("rotate-secret", """{"overlapSeconds":3600}""")).Json.GetProperty("secret").GetString()!;
        await PublishAsync(channel);
        var request = await Inbox.NextAsync();
        Assert.Equal(2, request.Signatures.Count);
        Assert.True(request.IsSignedBy(hook.Secret) && request.IsSignedBy(second));

        var third = (await hook.DoAsync("rotate-secret", """{"overlapSeconds":0}""")).Json.GetProperty("secret").GetString()!;
        await PublishAsync(channel);
        request = await Inbox.NextAsync();
        Assert.True(request.IsSignedBy(third));
        Assert.False(request.IsSignedBy(second));
    }

    [Fact]
    public async Task A_test_event_is_sent_now_and_tells_what_became_of_it()
    {
        var hook = await CreateAsync(NewChannel());
        await hook.DoAsync("pause");
        Inbox.Answer = Answers.Body(418, "short and stout");
        var attempt = (await hook.DoAsync("test")).Json;
        Assert.Equal((418, false, "status", "short and stout"), (
            attempt.GetProperty("status").GetInt32(), attempt.GetProperty("succeeded").GetBoolean(), attempt.GetProperty("error").GetString(), attempt.GetProperty("response").GetString()));
        Inbox.Answer = Answers.NoContent;
        Assert.True((await hook.DoAsync("test")).Json.GetProperty("succeeded").GetBoolean());
        Assert.All(Inbox.Requests, r => Assert.Equal("grid.test", r.Json.GetProperty("type").GetString()));
        Assert.All(Inbox.Requests, r => Assert.True(r.IsSignedBy(hook.Secret)));
        Assert.Equal(2, Inbox.Distinct);
    }

    [Fact]
    public async Task Pausing_keeps_everything_and_resuming_goes_on()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        AssertProblem(await Http.PostAsync(hook.Path("/resume"), ""), HttpStatusCode.Conflict, "conflict");
        AssertProblem(await Http.PostAsync(hook.Path("/enable"), ""), HttpStatusCode.Conflict, "conflict");
        Assert.Equal("paused", (await hook.DoAsync("pause")).Json.GetProperty("status").GetString());
        AssertProblem(await Http.PostAsync(hook.Path("/pause"), ""), HttpStatusCode.Conflict, "conflict");
        await PublishAsync(channel, 1, 5);
        await hook.UntilAsync(w => w.GetProperty("lag").GetProperty("messages").GetInt64() == 5, "behind by 5");
        Assert.Equal(0, Inbox.Count);
        await hook.DoAsync("resume");
        await Inbox.DeliveredAsync(5);
        Assert.Equal(5, (await hook.SettledAsync()).GetProperty("cursors").GetProperty(channel).GetProperty("offset").GetInt64());
    }

    [Theory]
    [InlineData("", new long[] { 1, 2, 3, 4, 5, 6 })]
    [InlineData("""{"resumeFrom":"cursor"}""", new long[] { 1, 2, 3, 4, 5, 6 })]
    [InlineData("""{"resumeFrom":"now"}""", new long[] { 1, 6 })]
    [InlineData("""{"resumeFrom":{"since":"SINCE"}}""", new long[] { 1, 4, 5, 6 })]
    [InlineData("""{"resumeFrom":{"positions":{"CHANNEL":{"epoch":"EPOCH","offset":4}}}}""", new long[] { 1, 5, 6 })]
    public async Task Enabling_goes_on_from_where_it_is_told(string from, long[] expected)
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        await PublishAsync(channel, 1, 1);
        await Inbox.DeliveredAsync(1);
        await hook.SettledAsync();
        Assert.Equal("request", (await hook.DoAsync("disable")).Json.GetProperty("reason").GetString());
        AssertProblem(await Http.PostAsync(hook.Path("/disable"), ""), HttpStatusCode.Conflict, "conflict");
        var epoch = await PublishAsync(channel, 2, 3);
        var at = (await Http.GetAsync(GridHttp.ChannelPath(channel, "/messages?after=2"))).Ok().Json.GetProperty("messages")[0].GetProperty("at").GetInt64();

        // A time that lies between the third message and the fourth.
        while (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() <= at + 1) await Task.Yield();
        await PublishAsync(channel, 4, 5);
        var since = DateTimeOffset.FromUnixTimeMilliseconds(at + 1).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture);
        var body = from.Replace("SINCE", since, StringComparison.Ordinal).Replace("CHANNEL", channel, StringComparison.Ordinal).Replace("EPOCH", epoch, StringComparison.Ordinal);
        var enabled = (await hook.DoAsync("enable", body)).Json;
        Assert.Equal("active", enabled.GetProperty("status").GetString());
        await PublishAsync(channel, 6, 6);
        await Inbox.DeliveredAsync(expected.Length);
        await hook.SettledAsync();
        Assert.Equal(expected, Inbox.Requests.Select(r => r.Offset).Order());
    }

    [Fact]
    public async Task A_subscription_from_the_start_gets_what_is_kept_and_one_from_now_does_not()
    {
        var prefix = NewChannel() + ".";
        await PublishAsync(prefix + "a", 1, 3);
        await CreateAsync(prefix + "*", Receiver.At("/start"), "\"from\":\"start\"");
        await CreateAsync(prefix + "*", Receiver.At("/now"));
        await PublishAsync(prefix + "b", 1, 1);
        await Receiver.At("/start").DeliveredAsync(4);
        await Receiver.At("/now").DeliveredAsync(1);
        Assert.Equal(prefix + "b", Assert.Single(Receiver.At("/now").Requests).Channel);
    }

    [Fact]
    public async Task A_change_with_an_object_changes_what_the_object_names()
    {
        var hook = await CreateAsync(NewChannel());
        await AssertLimitsAsync("""{"rateLimit":{"perSecond":7},"retry":{"schedule":[0,3]}}""", "{\"perSecond\":7}", "{\"schedule\":[0,3]}");
        await AssertLimitsAsync("""{"rateLimit":{},"retry":{}}""", "{\"perSecond\":7}", "{\"schedule\":[0,3]}");
        await AssertLimitsAsync("""{"rateLimit":{"perSecond":null}}""", null, "{\"schedule\":[0,3]}");
        await AssertLimitsAsync("""{"retry":{"schedule":null}}""", null, null);

        async Task AssertLimitsAsync(string change, string? rate, string? retry)
        {
            var changed = (await Http.SendAsync(HttpMethod.Patch, hook.Path(), change)).Ok().Json;
            Assert.Equal((rate, retry), (Text(changed, "rateLimit"), Text(changed, "retry")));
        }

        static string? Text(JsonElement hook, string name) => hook.TryGetProperty(name, out var value) ? value.GetRawText() : null;
    }

    [Fact]
    public async Task Of_changes_at_once_none_is_lost()
    {
        var hook = await CreateAsync(NewChannel());
        string[] changes =
        [
            """{"description":"d"}""", """{"events":["a"]}""", """{"rateLimit":{"perSecond":7}}""", """{"retry":{"schedule":[0,3]}}""", """{"mode":"keyed"}""",
            """{"headers":{"X-A":"1"}}""", """{"headers":{"X-B":"2"}}""", """{"format":"cloudevents"}""",
        ];
        for (var round = 0; round < 3; round++)
        {
            var answers = await Task.WhenAll(changes.Select(c => Http.SendAsync(HttpMethod.Patch, hook.Path(), c)));
            Assert.All(answers, a => a.Ok());
            var now = await hook.GetAsync();
            Assert.Equal(
                ("d", "a", 7.0, 3, "keyed", 2, "cloudevents"),
                (now.GetProperty("description").GetString(), now.GetProperty("events")[0].GetString(), now.GetProperty("rateLimit").GetProperty("perSecond").GetDouble(),
                    now.GetProperty("retry").GetProperty("schedule")[1].GetInt32(), now.GetProperty("mode").GetString(),
                    now.GetProperty("headers").EnumerateObject().Count(), now.GetProperty("format").GetString()));
            (await Http.SendAsync(
                HttpMethod.Patch, hook.Path(), """{"description":null,"events":null,"rateLimit":null,"retry":null,"mode":null,"headers":null,"format":null}""")).Ok();
        }
    }

    [Fact]
    public async Task Another_tenant_and_a_key_of_other_channels_get_nothing_of_it()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        foreach (var (method, rest, body) in Calls(channel))
        {
            AssertProblem(await Host.Other.SendAsync(method, hook.Path(rest), body), HttpStatusCode.NotFound, "bad_frame");
            AssertProblem(await Host.Narrow.SendAsync(method, hook.Path(rest), body), HttpStatusCode.Forbidden, "forbidden");
        }

        using var stranger = new GridHttp(Host.Process.Address, null);
        AssertProblem(await stranger.GetAsync(hook.Path()), HttpStatusCode.Unauthorized, "unauthorized");
        using var user = new GridHttp(Host.Process.Address, await Http.TokenAsync("ana"));
        AssertProblem(await user.GetAsync(hook.Path()), HttpStatusCode.Forbidden, "forbidden");
        foreach (var http in new[] { Host.Other, Host.Narrow })
        {
            var listed = (await http.GetAsync("/v1/webhooks?limit=100")).Ok().Json.GetProperty("webhooks").EnumerateArray();
            Assert.DoesNotContain(listed, w => w.GetProperty("id").GetString() == hook.Id);
        }

        // The key of few channels may do this with what is its own, but not begin in the past.
        var own = await CreateAsync("narrow:*", http: Host.Narrow);
        AssertProblem(await Host.Narrow.PostAsync("/v1/webhooks", $$"""{"url":"{{Inbox.Url}}","channels":["narrow:a"],"from":"start"}"""), HttpStatusCode.Forbidden, "forbidden");
        AssertProblem(await Host.Narrow.PostAsync("/v1/webhooks", $$"""{"url":"{{Inbox.Url}}","channels":["*"]}"""), HttpStatusCode.Forbidden, "forbidden");
        AssertProblem(await Host.Narrow.PostAsync(own.Path("/replay"), """{"since":"2026-01-01T00:00:00Z"}"""), HttpStatusCode.Forbidden, "forbidden");
        AssertProblem(await Host.Narrow.SendAsync(HttpMethod.Patch, own.Path(), $$"""{"channels":["{{channel}}"]}"""), HttpStatusCode.Forbidden, "forbidden");
        Assert.Equal(0, Inbox.Count);
    }

    private static IEnumerable<(HttpMethod Method, string After, string? Body)> Calls(string channel) =>
    [
        (HttpMethod.Get, "", null), (HttpMethod.Patch, "", "{}"), (HttpMethod.Delete, "", null), (HttpMethod.Post, "/rotate-secret", ""),
        (HttpMethod.Post, "/test", ""), (HttpMethod.Post, "/pause", ""), (HttpMethod.Post, "/resume", ""), (HttpMethod.Post, "/disable", ""),
        (HttpMethod.Post, "/enable", ""), (HttpMethod.Post, "/seek", """{"named":"now"}"""), (HttpMethod.Get, "/attempts", null),
        (HttpMethod.Get, "/dead-letters", null), (HttpMethod.Get, "/dead-letters/export", null), (HttpMethod.Post, "/dead-letters/redrive", ""),
        (HttpMethod.Post, "/messages/msg_x/resend", ""), (HttpMethod.Post, "/messages/msg_x/skip", ""),
        (HttpMethod.Post, "/replay", $$$$"""{"positions":{"{{{{channel}}}}":{"epoch":"e","offset":0}}}"""), (HttpMethod.Get, "/replays/rp_x", null),
        (HttpMethod.Delete, "/replays/rp_x", null), (HttpMethod.Post, "/poll", ""), (HttpMethod.Post, "/ack", """{"acked":["x"]}"""),
    ];
}

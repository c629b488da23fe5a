using System.Net;
using System.Text.Json.Nodes;
using Grid.Abstractions;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>Who may do what, over every route.</summary>
public sealed class WebhookAccessTests : IClassFixture<WebhookApiHost>
{
    private const string Id = WebhookRoutes.Id;
    private readonly WebhookApiHost _host;

    public WebhookAccessTests(WebhookApiHost host)
    {
        _host = host;
        _host.Webhooks.Clear();
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task Each_route_asks_the_grain_of_the_callers_tenant(string method, string path, string? body)
    {
        var (response, text) = await _host.SendAsync(method, $"/{Id}{path}", body);
        using (response) Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode}: {text}");
        Assert.All(_host.Webhooks.Calls, call => Assert.StartsWith($"acme/{Id} ", call, StringComparison.Ordinal));
        Assert.NotEmpty(_host.Webhooks.Calls);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task Another_tenants_subscription_does_not_exist(string method, string path, string? body)
    {
        await _host.RefusedAsync(method, $"/{Id}{path}", body, HttpStatusCode.NotFound, "bad_frame", FakeAuthenticator.OtherTenant);
        Assert.DoesNotContain(_host.Webhooks.Calls, call => call.StartsWith("acme/", StringComparison.Ordinal));
        Assert.Single(_host.Webhooks.Existing);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task What_can_be_no_id_wakes_no_grain(string method, string path, string? body)
    {
        foreach (var id in (string[])["x", "wh_", "wh_a.b", "wh_a%2Fb", "wh_%C3%A9", "WH_1", "wh_" + new string('a', 62)])
            await _host.RefusedAsync(method, $"/{id}{path}", body, HttpStatusCode.NotFound, "bad_frame");
        Assert.Empty(_host.Webhooks.Calls);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task Only_api_keys_may(string method, string path, string? body)
    {
        await _host.RefusedAsync(method, $"/{Id}{path}", body, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Client);
        await _host.RefusedAsync(method, $"/{Id}{path}", body, HttpStatusCode.Unauthorized, "unauthorized", "no-such-key");
        await _host.RefusedAsync(method, $"/{Id}{path}", body, HttpStatusCode.Unauthorized, "unauthorized", null);
        Assert.Empty(_host.Webhooks.Calls);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task A_key_that_may_not_subscribe_to_all_of_its_channels_may_nothing(string method, string path, string? body)
    {
        await _host.RefusedAsync(method, $"/{Id}{path}", body, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        Assert.Empty(_host.Webhooks.Deeds);
    }

    [Theory]
    [MemberData(nameof(WebhookRoutes.All), MemberType = typeof(WebhookRoutes))]
    public async Task What_is_away_is_said_to_be_away(string method, string path, string? body)
    {
        foreach (var deed in (string[])["GetAsync", "UpdateAsync", "DeleteAsync", "RotateSecretAsync", "TestAsync", "PauseAsync", "ResumeAsync", "DisableAsync",
            "EnableAsync", "SeekAsync", "SkipAsync", "ResendAsync", "ListAttemptsAsync", "ListDeadLettersAsync", "RedriveAsync", "ReplayAsync",
            "GetReplayAsync", "CancelReplayAsync", "PollAsync", "AckAsync"])
        {
            _host.Webhooks.Answers[deed] = _ => throw new LogUnavailableException("secret details");
        }

        var (response, text) = await _host.SendAsync(method, $"/{Id}{path}", body);
        using (response)
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.NotNull(response.Headers.RetryAfter);
            Assert.DoesNotContain("secret details", text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Making_and_changing_one_needs_subscribe_on_what_comes_of_it()
    {
        const string Both = """{"url":"https://example.com/","channels":["room:1","orders"]}""";
        var why = await _host.RefusedAsync("POST", "", Both, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        Assert.Contains("subscribe", why, StringComparison.Ordinal);
        await _host.RefusedAsync(
            "POST", "", """{"url":"https://example.com/","channels":["*"]}""", HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        await _host.RefusedAsync("POST", "", Both, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Client);
        Assert.Empty(_host.Webhooks.Calls);

        var made = await _host.JsonAsync(
            "POST", "", """{"url":"https://example.com/","channels":["room:1*"]}""", HttpStatusCode.Created, FakeAuthenticator.Rooms);
        var path = $"/{made["id"]}";
        await _host.RefusedAsync("PATCH", path, """{"channels":["room:1","orders"]}""", HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        Assert.Equal(["CreateAsync"], _host.Webhooks.Deeds);
        await _host.JsonAsync("PATCH", path, """{"channels":["room:2"]}""", credential: FakeAuthenticator.Rooms);
        await _host.JsonAsync("POST", path + "/pause", credential: FakeAuthenticator.Rooms);
        Assert.Equal(["CreateAsync", "UpdateAsync", "PauseAsync"], _host.Webhooks.Deeds);
    }

    [Theory]
    [InlineData("/enable", """{"resumeFrom":{"since":"2026-01-01T12:00:00Z"}}""")]
    [InlineData("/enable", """{"resumeFrom":{"positions":{"room:1":{"epoch":"e","offset":1}}}}""")]
    [InlineData("/seek", """{"since":"2026-01-01T12:00:00Z"}""")]
    [InlineData("/seek", """{"positions":{"room:1":{"epoch":"e","offset":1}}}""")]
    [InlineData("/replay", """{"since":"2026-01-01T12:00:00Z"}""")]
    [InlineData("/replay", """{"positions":{"room:1":{"epoch":"e","offset":1}}}""")]
    public async Task The_past_needs_history(string path, string body)
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Channels = ["room:*"] });
        var why = await _host.RefusedAsync("POST", $"/{Id}{path}", body, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        Assert.Contains("history", why, StringComparison.Ordinal);
        Assert.Empty(_host.Webhooks.Deeds);
        var (response, _) = await _host.SendAsync("POST", $"/{Id}{path}", body);
        using (response) Assert.True(response.IsSuccessStatusCode);

        // The namespace must allow it, too.
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Channels = ["secret:*"] });
        await _host.RefusedAsync(
            "POST", $"/{Id}{path}", body.Replace("room:1", "secret:1", StringComparison.Ordinal), HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task A_message_that_was_never_sent_is_the_past_too()
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Channels = ["room:*", "secret:*"] });
        _host.Webhooks.Existing["acme/wh_2"] = FakeWebhooks.Describe("wh_2", new WebhookDefinition { Channels = ["room:*"] });
        string PathOf(string channel) => $"/messages/{new MessageRef(channel, "e1", 7).ToId()}/resend";
        var why = await _host.RefusedAsync("POST", "/wh_2" + PathOf("room:1"), null, HttpStatusCode.Forbidden, "forbidden", FakeAuthenticator.Rooms);
        Assert.Contains("history", why, StringComparison.Ordinal);
        await _host.RefusedAsync("POST", $"/{Id}{PathOf("secret:1")}", null, HttpStatusCode.Forbidden, "forbidden");
        Assert.DoesNotContain("ResendAsync", _host.Webhooks.Deeds);
        await _host.EmptyAsync("POST", $"/{Id}{PathOf("room:1")}", status: HttpStatusCode.Accepted);

        // One that was sent is no secret.
        _host.Webhooks.Answers["ListAttemptsAsync"] = _ => Task.FromResult<WebhookAttemptPage?>(new([FakeWebhooks.Attempt(1)], null));
        await _host.EmptyAsync("POST", $"/{Id}{PathOf("secret:1")}", status: HttpStatusCode.Accepted);
        var (response, text) = await _host.SendAsync("POST", "/wh_2" + PathOf("room:1"), null, FakeAuthenticator.Rooms);
        using (response) Assert.True(response.IsSuccessStatusCode, text);
    }

    [Theory]
    [InlineData("/enable", null)]
    [InlineData("/enable", """{"resumeFrom":"now"}""")]
    [InlineData("/seek", """{"named":"now"}""")]
    public async Task Going_on_needs_no_history(string path, string? body)
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Channels = ["room:*"] });
        var (response, text) = await _host.SendAsync("POST", $"/{Id}{path}", body, FakeAuthenticator.Rooms);
        using (response) Assert.True(response.IsSuccessStatusCode, text);
    }

    [Theory]
    [InlineData("secret:1", false)]
    [InlineData("secret:*", false)]
    [InlineData("sec*", false)]
    [InlineData("*", false)]
    [InlineData("room:*", true)]
    [InlineData("orders", true)]
    [InlineData("po*", true)] // Of the namespace that is ephemeral nothing is delivered.
    public async Task A_start_in_the_past_is_for_namespaces_that_allow_it(string pattern, bool allowed)
    {
        var body = $$"""{"url":"https://example.com/","channels":["{{pattern}}"],"from":"start"}""";
        if (allowed) await _host.JsonAsync("POST", "", body, HttpStatusCode.Created);
        else await _host.RefusedAsync("POST", "", body, HttpStatusCode.Forbidden, "forbidden");
        Assert.Equal(allowed ? 1 : 0, _host.Webhooks.Calls.Count);
        await _host.JsonAsync("POST", "", body.Replace("start", "now", StringComparison.Ordinal), HttpStatusCode.Created);
    }

    [Fact]
    public async Task The_list_is_the_tenants_and_the_keys_in_pages()
    {
        _host.Webhooks.Existing.Clear();
        for (var i = 1; i <= 5; i++)
            _host.Webhooks.Existing[$"acme/wh_{i}"] = FakeWebhooks.Describe($"wh_{i}", new WebhookDefinition { Channels = [i % 2 == 0 ? "orders" : "room:1"] });
        _host.Webhooks.Existing["other/wh_3x"] = FakeWebhooks.Describe("wh_3x");

        Assert.Equal(("wh_1 wh_2 wh_3 wh_4 wh_5", null), Ids(await _host.JsonAsync("GET", "")));
        Assert.Equal(("wh_1 wh_2", "wh_2"), Ids(await _host.JsonAsync("GET", "?limit=2")));
        Assert.Equal(("wh_3 wh_4", "wh_4"), Ids(await _host.JsonAsync("GET", "?limit=2&after=wh_2")));
        Assert.Equal(("wh_5", null), Ids(await _host.JsonAsync("GET", "?limit=2&after=wh_4")));
        Assert.Equal(("wh_4 wh_5", null), Ids(await _host.JsonAsync("GET", "?limit=2&after=wh_3")));
        Assert.Equal(("wh_3x", null), Ids(await _host.JsonAsync("GET", "", credential: FakeAuthenticator.OtherTenant)));
        Assert.Equal(("wh_1", "wh_2"), Ids(await _host.JsonAsync("GET", "?limit=2", credential: FakeAuthenticator.Rooms)));

        // Gone between the list and the look at it.
        _host.Webhooks.Answers["GetAsync"] = _ => Task.FromResult<WebhookDescription?>(null);
        Assert.Equal(("", "wh_2"), Ids(await _host.JsonAsync("GET", "?limit=2")));

        static (string, string?) Ids(JsonNode page) =>
            (string.Join(' ', page["webhooks"]!.AsArray().Select(w => (string?)w!["id"])), (string?)page["next"]);
    }

    [Theory]
    [InlineData("?limit=0")]
    [InlineData("?limit=101")]
    [InlineData("?limit=x")]
    [InlineData("?after=x")]
    [InlineData("?after=")]
    [InlineData("?after=wh_1&after=wh_2")]
    public async Task Bad_questions_for_the_list(string query)
    {
        await _host.RefusedAsync("GET", query, null, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Calls);
    }

    [Fact]
    public async Task The_document_describes_every_route()
    {
        var (response, text) = await _host.SendAsync("GET", "//openapi/v1.json", credential: null);
        using (response) Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var paths = JsonNode.Parse(text)!["paths"]!.AsObject();
        (string Method, string Path, string? Body)[] all =
        [
            ("POST", "", "{}"), ("GET", "", null),
            .. WebhookRoutes.OfOne.Select(r => (r.Method, "/{id}" + r.Path
                .Replace("msg_1", "{messageId}", StringComparison.Ordinal).Replace("rp_1", "{replayId}", StringComparison.Ordinal), r.Body)),
        ];
        foreach (var (method, path, _) in all)
        {
            var operation = paths["/v1/webhooks" + path]?[method.ToLowerInvariant()];
            Assert.True(operation is not null, $"{method} {path}");
            Assert.False(string.IsNullOrEmpty((string?)operation["summary"]), path);
            Assert.False(string.IsNullOrEmpty((string?)operation["description"]), path);
            Assert.True(operation["security"] is JsonArray { Count: > 0 }, path);
            Assert.NotNull(operation["responses"]!["403"]!["content"]!["application/problem+json"]);
            if (operation["requestBody"]?["content"] is { } request) Assert.NotNull(request["application/json"]!["example"]);
            foreach (var answer in operation["responses"]!.AsObject().Where(r => r.Key[0] == '2' && r.Value!["content"] is not null))
                Assert.All(answer.Value!["content"]!.AsObject(), c => Assert.NotNull(c.Value!["example"]));
        }

        var described = paths.Where(p => p.Key.StartsWith("/v1/webhooks", StringComparison.Ordinal)).Sum(p => p.Value!.AsObject().Count);
        Assert.Equal(all.Length, described);
        var schemas = JsonNode.Parse(text)!["components"]!["schemas"]!;
        Assert.Equal(["channels"], schemas["NewWebhook"]!["required"]!.AsArray().Select(r => (string?)r));
        Assert.Contains("id", schemas["WebhookItem"]!["required"]!.AsArray().Select(r => (string?)r));
        Assert.DoesNotContain("secret", schemas["WebhookItem"]!["required"]!.AsArray().Select(r => (string?)r));
    }
}

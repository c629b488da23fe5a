using System.Net;
using System.Text.Json.Nodes;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>Making, reading, changing and switching subscriptions.</summary>
public sealed class WebhookSettingsTests : IClassFixture<WebhookApiHost>
{
    private const string Id = WebhookRoutes.Id;
    private readonly WebhookApiHost _host;

    public WebhookSettingsTests(WebhookApiHost host)
    {
        _host = host;
        _host.Webhooks.Clear();
    }

    [Fact]
    public async Task The_secret_is_shown_once()
    {
        var (response, text) = await _host.SendAsync("POST", "", """{"url":"https://example.com/hooks","channels":["orders"]}""");
        using (response)
        {
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
            Assert.True(response.Headers.CacheControl?.NoStore);
            var made = JsonNode.Parse(text)!;
            Assert.Equal("whsec_S", (string?)made["secret"]);
            Assert.StartsWith("wh_", (string?)made["id"], StringComparison.Ordinal);
            Assert.Equal($"/v1/webhooks/{made["id"]}", response.Headers.Location?.OriginalString);
            Assert.Equal($"acme/{made["id"]} CreateAsync", Assert.Single(_host.Webhooks.Calls));
            Assert.Null((await _host.JsonAsync("GET", $"/{made["id"]}"))["secret"]);
            Assert.Null((await _host.JsonAsync("GET", ""))["webhooks"]![0]!["secret"]);
            Assert.Null((await _host.JsonAsync("PATCH", $"/{made["id"]}", "{}"))["secret"]);
        }
    }

    [Fact]
    public async Task What_is_left_out_has_its_default()
    {
        await _host.JsonAsync("POST", "", """{"url":"https://example.com/hooks","channels":["orders"],"events":null,"retry":null,"from":null}""", HttpStatusCode.Created);
        var (set, fromStart) = Created();
        Assert.False(fromStart);
        Assert.Equal(["orders"], set.Channels);
        Assert.Empty(set.Events);
        Assert.Empty(set.Headers);
        Assert.Equal(("parallel", "block", "json"), (set.Mode, set.OnExhausted, set.Format));
        Assert.Equal((null, null, null, null), (set.KeySeparator, set.Description, set.PerSecond, set.Schedule));
        Assert.Equal((false, false), (set.Asymmetric, set.Handshake));
    }

    [Fact]
    public async Task Every_setting_reaches_the_grain_in_its_normal_form()
    {
        var answer = await _host.JsonAsync(
            "POST", "",
            """
            {"url":"HTTPS://Example.com","channels":["orders","room:*","orders"],"events":["order.*","x","x"],"mode":"keyed","keySeparator":":","onExhausted":"pause",
            "description":"é","headers":{"X-Token":"t"},"rateLimit":{"perSecond":0.5},"retry":{"schedule":[0,5,259200]},"format":"cloudevents",
            "signatures":["v1","v1a"],"handshake":true,"from":"start"}
            """,
            HttpStatusCode.Created);
        var (set, fromStart) = Created();
        Assert.True(fromStart);
        Assert.Equal("https://example.com/", set.Url);
        Assert.Equal(["orders", "room:*"], set.Channels);
        Assert.Equal(["order.*", "x"], set.Events);
        Assert.Equal(("keyed", ":", "pause", "é"), (set.Mode, set.KeySeparator, set.OnExhausted, set.Description));
        Assert.Equal(("X-Token", "t"), (set.Headers.Single().Key, set.Headers.Single().Value));
        Assert.Equal(0.5, set.PerSecond);
        Assert.Equal([0, 5, 259_200], set.Schedule!);
        Assert.Equal(("cloudevents", true, true), (set.Format, set.Asymmetric, set.Handshake));
        Assert.Equal("""{"X-Token":"********"}""", answer["headers"]!.ToJsonString());
        Assert.DoesNotContain("\"t\"", answer.ToJsonString(), StringComparison.Ordinal);
    }

    /// <summary>Bodies that make no subscription, each with a part of the reason.</summary>
    public static TheoryData<string, string> Bad
    {
        get
        {
            var data = new TheoryData<string, string>
            {
                { "", "no valid JSON" },
                { "[]", "must be a JSON object" },
                { "{}", "channels" },
                { """{"channels":["a"]} x""", "no valid JSON" },
                { """{"channels":["a"],"chanels":1}""", "'chanels' is not known" },
                { """{"channels":["a"],"\u00e9":1}""", "'…' is not known" },
                { """{"channels":["a"],"\ud800":1}""", "surrogate" },
                { """{"channels":["a"],"mode":"keyed","mode":"keyed"}""", "'mode' is given twice" },
                { """{"channels":["a"],"secret":"whsec_x"}""", "not known" },
                { """{"channels":["a"],"status":"paused"}""", "not known" },
                { """{"channels":"a"}""", "array of strings" },
                { """{"channels":[]}""", "1 to 100" },
                { """{"channels":null}""", "1 to 100" },
                { """{"channels":[1]}""", "array of strings" },
                { """{"channels":[null]}""", "array of strings" },
                { """{"channels":["a b"]}""", "A-Z a-z" },
                { """{"channels":["a*b"]}""", "A-Z a-z" },
                { """{"channels":["a**"]}""", "A-Z a-z" },
                { """{"channels":[""]}""", "A-Z a-z" },
                { """{"channels":["pointer:1"]}""", "ephemeral" },
                { """{"channels":["pointer:*"]}""", "ephemeral" },
                { """{"channels":["a"],"events":["*x"]}""", "'events'" },
                { """{"channels":["a"],"events":[""]}""", "'events'" },
                { """{"channels":["a"],"events":{}}""", "array of strings" },
                { """{"channels":["a"],"mode":"serial"}""", "parallel, keyed, ordered" },
                { """{"channels":["a"],"mode":1}""", "must be a string" },
                { """{"channels":["a"],"onExhausted":"drop"}""", "block, deadLetter, pause" },
                { """{"channels":["a"],"format":"xml"}""", "cloudevents-binary" },
                { """{"channels":["a"],"keySeparator":""}""", "one character" },
                { """{"channels":["a"],"keySeparator":"::"}""", "one character" },
                { """{"channels":["a"],"signatures":["v1a"]}""", "signatures" },
                { """{"channels":["a"],"signatures":[]}""", "signatures" },
                { """{"channels":["a"],"signatures":["v1","v1","v1"]}""", "signatures" },
                { """{"channels":["a"],"handshake":"yes"}""", "true or false" },
                { """{"channels":["a"],"description":"a\u0007"}""", "description" },
                { $$"""{"channels":["a"],"description":"{{new string('a', 501)}}"}""", "description" },
                { """{"channels":["a"],"from":"end"}""", "now or start" },
                { """{"channels":["a"],"rateLimit":50}""", "must be an object" },
                { """{"channels":["a"],"rateLimit":{"perSecond":0}}""", "0.01 to 10000" },
                { """{"channels":["a"],"rateLimit":{"perSecond":-1}}""", "0.01 to 10000" },
                { """{"channels":["a"],"rateLimit":{"perSecond":1e9}}""", "0.01 to 10000" },
                { """{"channels":["a"],"rateLimit":{"perSecond":"5"}}""", "0.01 to 10000" },
                { """{"channels":["a"],"rateLimit":{"perMinute":5}}""", "'rateLimit.perMinute' is not known" },
                { """{"channels":["a"],"retry":[5]}""", "must be an object" },
                { """{"channels":["a"],"retry":{"schedule":[]}}""", "at least one" },
                { """{"channels":["a"],"retry":{"schedule":[-1]}}""", "between 0 and" },
                { """{"channels":["a"],"retry":{"schedule":[259201]}}""", "between 0 and" },
                { """{"channels":["a"],"retry":{"schedule":[1.5]}}""", "whole numbers" },
                { """{"channels":["a"],"retry":{"schedule":[1e300]}}""", "whole numbers" },
                { $$$"""{"channels":["a"],"retry":{"schedule":[{{{string.Join(',', Enumerable.Repeat(0, 33))}}}]}}""", "at most 32" },
                { """{"channels":["a"],"headers":[]}""", "must be an object" },
                { """{"channels":["a"],"headers":{"X":1}}""", "must be a string" },
                { """{"channels":["a"],"headers":{"X":"a","x":"b"}}""", "twice" },
                { """{"channels":["a"],"headers":{"Host":"evil"}}""", "Host cannot be set" },
                { """{"channels":["a"],"headers":{"webhook-id":"1"}}""", "webhook-id cannot be set" },
                { """{"channels":["a"],"headers":{"X":"********"}}""", "in place of the real one" },
                { """{"channels":["a"],"headers":{"X":"my-hidden\r\nvalue"}}""", "printable ASCII" },
                { """{"channels":["a"],"url":""}""", "url is missing" },
                { """{"channels":["a"],"url":"http://example.com/"}""", "must be https" },
                { """{"channels":["a"],"url":"https://127.0.0.1/"}""", "url" },
                { """{"channels":["a"],"url":"https://u:p@example.com:22/#x"}""", "port is 22" },
                { """{"channels":["a"],"url":7}""", "must be a string" },
            };
            data.Add($$"""{"channels":["{{string.Join("\",\"", Enumerable.Range(0, 101))}}"]}""", "more than 100");
            data.Add($$"""{"channels":["a"],"events":["{{string.Join("\",\"", Enumerable.Range(0, 101))}}"]}""", "more than 100");
            data.Add($$"""{"channels":["a"],"events":{{new string('[', 70)}}{{new string(']', 70)}}}""", "array of strings");
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public async Task What_is_wrong_is_said_and_wakes_no_grain(string body, string why)
    {
        var detail = await _host.RefusedAsync("POST", "", body, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Contains(why, detail, StringComparison.Ordinal);
        Assert.DoesNotContain("my-hidden", detail, StringComparison.Ordinal);
        Assert.Empty(_host.Webhooks.Calls);

        // The same change of one that exists is refused, too, unless that is what only a new one has wrong.
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
        if (body is "{}") return;
        await _host.RefusedAsync("PATCH", $"/{Id}", body, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Deeds);
    }

    [Fact]
    public async Task A_body_has_a_limit_and_so_has_a_tenant()
    {
        var large = $$"""{"channels":["a"],"description":"{{new string('a', 140_000)}}"}""";
        await _host.RefusedAsync("POST", "", large, HttpStatusCode.RequestEntityTooLarge, "too_large");
        Assert.Empty(_host.Webhooks.Calls);
        _host.Webhooks.Full = true;
        await _host.RefusedAsync("POST", "", """{"channels":["a"]}""", HttpStatusCode.TooManyRequests, "quota_exceeded");
    }

    [Fact]
    public async Task A_subscription_is_told_whole()
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id) with
        {
            Definition = new WebhookDefinition
            {
                Url = "https://example.com/?a=1&b=2",
                Channels = ["orders"],
                Events = ["order.*"],
                Mode = "ordered",
                OnExhausted = "deadLetter",
                Headers = new() { ["X-Token"] = "should never be seen" },
                PerSecond = 50,
                Schedule = [0, 5],
                Asymmetric = true,
            },
            Status = "disabled",
            Reason = "gone",
            Cursors = new() { ["orders"] = new Position("e1", 42) },
            LagMessages = 3,
            LagSeconds = 1.5,
            InFlight = 2,
            Circuit = "open",
            RetryAt = new DateTimeOffset(2026, 1, 1, 13, 0, 0, TimeSpan.Zero),
            Parked = 4,
            BlockedBy = "msg_1",
            PublicKey = "whpk_P",
            Truncated = [new("orders", "e1", 1, 9, 9)],
        };
        var told = await _host.JsonAsync("GET", $"/{Id}");
        var expected = JsonNode.Parse(
            """
            {"id":"wh_1","status":"disabled","reason":"gone","url":"https://example.com/?a=1&b=2","channels":["orders"],"events":["order.*"],"mode":"ordered",
            "onExhausted":"deadLetter","headers":{"X-Token":"********"},"rateLimit":{"perSecond":50},"retry":{"schedule":[0,5]},"format":"json",
            "signatures":["v1","v1a"],"publicKey":"whpk_P","handshake":false,"createdAt":"2026-01-01T12:00:00Z","cursors":{"orders":{"epoch":"e1","offset":42}},
            "lag":{"messages":3,"seconds":1.5},"inFlight":2,"circuit":"open","retryAt":"2026-01-01T13:00:00Z","parked":4,"blockedBy":"msg_1",
            "truncated":[{"channel":"orders","epoch":"e1","from":1,"to":9,"count":9}]}
            """)!;
        Assert.True(JsonNode.DeepEquals(expected, told), told.ToJsonString());

        // In lists without what can be long.
        var listed = (await _host.JsonAsync("GET", ""))["webhooks"]![0]!.AsObject();
        expected.AsObject().Remove("cursors");
        expected.AsObject().Remove("truncated");
        Assert.True(JsonNode.DeepEquals(expected, listed), listed.ToJsonString());
    }

    [Fact]
    public async Task A_change_leaves_what_it_does_not_name()
    {
        var before = new WebhookDefinition
        {
            // Would not be allowed today: the rules became stricter since.
            Url = "http://10.0.0.1:81/",
            Channels = ["pointer:1", "orders"],
            Events = ["order.*"],
            Mode = "keyed",
            KeySeparator = ":",
            OnExhausted = "pause",
            Description = "text",
            Headers = new() { ["X-A"] = "a", ["X-B"] = "b" },
            PerSecond = 50,
            Schedule = [0, 5],
            Format = "cloudevents",
            Asymmetric = true,
            Handshake = true,
        };
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, before);
        Assert.Equal(before, await ChangedAsync("{}"));
        Assert.Equal(before with { Mode = "ordered" }, await ChangedAsync("""{"mode":"ordered"}"""));

        var cleared = await ChangedAsync(
            """
            {"events":null,"mode":null,"keySeparator":null,"onExhausted":null,"description":null,"headers":null,"rateLimit":null,"retry":null,"format":null,
            "signatures":null,"handshake":null}
            """);
        Assert.Empty(cleared.Events);
        Assert.Empty(cleared.Headers);
        Assert.Equal((before.Url, before.Channels), (cleared.Url, cleared.Channels));
        Assert.Equal(("parallel", "block", "json"), (cleared.Mode, cleared.OnExhausted, cleared.Format));
        Assert.Equal((null, null, null, null), (cleared.KeySeparator, cleared.Description, cleared.PerSecond, cleared.Schedule));
        Assert.Equal((false, false), (cleared.Asymmetric, cleared.Handshake));
    }

    [Theory]
    [InlineData("********")] // The grain hides values.
    [InlineData("a")] // It does not.
    public async Task Headers_are_changed_one_by_one(string value)
    {
        var before = new WebhookDefinition { Url = "https://example.com/", Channels = ["a"], Headers = new() { ["X-A"] = value, ["X-B"] = value } };
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, before);
        Assert.Equal($"X-A={value} X-B=new", Headers(await ChangedAsync("""{"headers":{"x-b":"new"}}""")));
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, before);
        Assert.Equal($"X-A={value} X-C=c", Headers(await ChangedAsync("""{"headers":{"X-B":null,"X-C":"c","X-D":null}}""")));
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, before);

        // What was read is sent back.
        Assert.Equal($"X-A={value} X-B={value}", Headers(await ChangedAsync("""{"headers":{"X-A":"********","x-b":"********"}}""")));
        _host.Webhooks.Clear();
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, before);
        await _host.RefusedAsync("PATCH", $"/{Id}", """{"headers":{"X-C":"********"}}""", HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Deeds);

        static string Headers(WebhookDefinition set) =>
            string.Join(' ', set.Headers.OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase).Select(h => $"{h.Key.ToUpperInvariant()}={h.Value}"));
    }

    [Theory]
    [InlineData(null, """{"url":"https://example.com/"}""")]
    [InlineData("https://example.com/", """{"url":null}""")]
    [InlineData("https://example.com/", """{"from":"start"}""")]
    [InlineData("https://example.com/", """{"channels":null}""")]
    [InlineData("https://example.com/", """{"id":"wh_2"}""")]
    public async Task What_cannot_be_changed(string? url, string change)
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Url = url, Channels = ["a"] });
        await _host.RefusedAsync("PATCH", $"/{Id}", change, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Deeds);
    }

    [Theory]
    [InlineData("pause", "paused")]
    [InlineData("resume", "active")]
    [InlineData("disable", "disabled")]
    [InlineData("enable", "active")]
    public async Task Switches_show_what_came_of_them(string name, string status)
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
        Assert.Equal(status, (string?)(await _host.JsonAsync("POST", $"/{Id}/{name}"))["status"]);
        var method = Assert.Single(_host.Webhooks.Deeds);
        _host.Webhooks.Answers[method] = _ => Task.FromResult(false);
        await _host.RefusedAsync("POST", $"/{Id}/{name}", null, HttpStatusCode.Conflict, "conflict");
    }

    [Fact]
    public async Task A_secret_is_rotated_and_a_subscription_removed()
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
        Assert.Equal("""{"secret":"whsec_N"}""", (await _host.JsonAsync("POST", $"/{Id}/rotate-secret")).ToJsonString());
        Assert.Equal(TimeSpan.FromDays(1), _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("POST", $"/{Id}/rotate-secret", """{"overlapSeconds":0}""");
        Assert.Equal(TimeSpan.Zero, _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("POST", $"/{Id}/rotate-secret", """{"overlapSeconds":2592000}""");
        Assert.Equal(TimeSpan.FromDays(30), _host.Webhooks.Arguments[0]);
        foreach (var bad in (string[])["""{"overlapSeconds":2592001}""", """{"overlapSeconds":-1}""", """{"overlapSeconds":1.5}""", """{"overlap":1}""", "[]"])
            await _host.RefusedAsync("POST", $"/{Id}/rotate-secret", bad, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Equal(3, _host.Webhooks.Deeds.Count());
        await _host.EmptyAsync("DELETE", $"/{Id}");
        await _host.RefusedAsync("DELETE", $"/{Id}", null, HttpStatusCode.NotFound, "bad_frame");
    }

    private (WebhookDefinition Set, bool FromStart) Created() =>
        ((WebhookDefinition)_host.Webhooks.Arguments[0]!, (bool)_host.Webhooks.Arguments[1]!);

    private async Task<WebhookDefinition> ChangedAsync(string change)
    {
        await _host.JsonAsync("PATCH", $"/{Id}", change);
        Assert.Equal("UpdateAsync", _host.Webhooks.Deeds.Last());
        return (WebhookDefinition)_host.Webhooks.Arguments[0]!;
    }
}

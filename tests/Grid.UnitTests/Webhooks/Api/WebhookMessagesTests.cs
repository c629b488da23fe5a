using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Api;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>What can be done with the messages of a subscription.</summary>
public sealed class WebhookMessagesTests : IClassFixture<WebhookApiHost>
{
    private const string Id = WebhookRoutes.Id;
    private readonly WebhookApiHost _host;

    public WebhookMessagesTests(WebhookApiHost host)
    {
        _host = host;
        _host.Webhooks.Clear();
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
    }

    [Fact]
    public async Task A_test_returns_its_attempt()
    {
        var attempt = await _host.JsonAsync("POST", $"/{Id}/test");
        var expected = JsonNode.Parse(
            $$"""
            {"id":"{{FakeWebhooks.AttemptIdOf(1)}}","messageId":"msg_1","attempt":1,"at":"1970-01-01T00:00:01Z","durationMs":31,"status":500,"succeeded":false,"error":"status",
            "response":"oops <é>","responseClipped":false}
            """);
        Assert.True(JsonNode.DeepEquals(expected, attempt), attempt.ToJsonString());
        _host.Webhooks.Answers["TestAsync"] = _ => Task.FromResult<WebhookAttemptDescription?>(null);
        await _host.RefusedAsync("POST", $"/{Id}/test", null, HttpStatusCode.Conflict, "conflict");
    }

    [Fact]
    public async Task A_time_in_too_many_channels_is_a_limit()
    {
        _host.Webhooks.Answers["SeekAsync"] = _ => throw new TooManyChannelsException("The webhook matches more than 10,000 channels.");
        var why = await _host.RefusedAsync("POST", $"/{Id}/seek", """{"since":"2026-01-01T12:00:00Z"}""", HttpStatusCode.TooManyRequests, "quota_exceeded");
        Assert.Contains("10,000", why, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Places_to_go_on_from_are_read()
    {
        await _host.JsonAsync("POST", $"/{Id}/enable");
        Assert.Equal(new WebhookStart { Named = "cursor" }, _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("POST", $"/{Id}/enable", """{"resumeFrom":null}""");
        Assert.Equal(new WebhookStart { Named = "cursor" }, _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("POST", $"/{Id}/enable", """{"resumeFrom":"now"}""");
        Assert.Equal(new WebhookStart { Named = "now" }, _host.Webhooks.Arguments[0]);
        var since = new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);
        await _host.JsonAsync("POST", $"/{Id}/enable", """{"resumeFrom":{"since":"2026-01-01T14:00:00+02:00"}}""");
        Assert.Equal(new WebhookStart { Since = since }, _host.Webhooks.Arguments[0]);

        await _host.EmptyAsync("POST", $"/{Id}/seek", """{"since":"2026-01-01T12:00:00Z","positions":null}""");
        Assert.Equal(new WebhookStart { Since = since }, _host.Webhooks.Arguments[0]);
        await _host.EmptyAsync("POST", $"/{Id}/seek", """{"positions":{"room:1":{"epoch":"e1","offset":0},"orders":{"offset":7,"epoch":"e2"}}}""");
        var positions = ((WebhookStart)_host.Webhooks.Arguments[0]!).Positions!;
        Assert.Equal((new Position("e1", 0), new Position("e2", 7)), (positions["room:1"], positions["orders"]));
        _host.Webhooks.Answers["SeekAsync"] = _ => Task.FromResult(false);
        await _host.RefusedAsync("POST", $"/{Id}/seek", """{"named":"now"}""", HttpStatusCode.Conflict, "conflict");
    }

    [Theory]
    [InlineData("enable", """{"resumeFrom":"start"}""")]
    [InlineData("enable", """{"resumeFrom":1}""")]
    [InlineData("enable", """{"resumeFrom":{}}""")]
    [InlineData("enable", """{"resumeFrom":{"named":"now"}}""")]
    [InlineData("enable", """{"from":"now"}""")]
    [InlineData("seek", "")]
    [InlineData("seek", "{}")]
    [InlineData("seek", """{"named":"cursor"}""")]
    [InlineData("seek", """{"named":"now","since":"2026-01-01T12:00:00Z"}""")]
    [InlineData("seek", """{"since":"2026-01-01"}""")]
    [InlineData("seek", """{"since":"2026-01-01T12:00:00"}""")]
    [InlineData("seek", """{"since":1795452674123}""")]
    [InlineData("seek", """{"positions":{}}""")]
    [InlineData("seek", """{"positions":[]}""")]
    [InlineData("seek", """{"positions":{"a b":{"epoch":"e","offset":1}}}""")]
    [InlineData("seek", """{"positions":{"room:*":{"epoch":"e","offset":1}}}""")]
    [InlineData("seek", """{"positions":{"room:1":12}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"offset":1}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"e"}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"","offset":1}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"e","offset":-1}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"e","offset":9007199254740992}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"e","offset":1,"at":1}}}""")]
    [InlineData("seek", """{"positions":{"elsewhere":{"epoch":"e","offset":1}}}""")] // Not among its channels.
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"e\u0000","offset":1}}}""")]
    [InlineData("seek", """{"positions":{"room:1":{"epoch":"é","offset":1}}}""")]
    [InlineData("replay", "{}")]
    [InlineData("replay", """{"named":"now"}""")]
    [InlineData("replay", """{"perSecond":5}""")]
    [InlineData("replay", """{"since":"2026-01-01T12:00:00Z","perSecond":0}""")]
    [InlineData("replay", """{"since":"2026-01-01T12:00:00Z","positions":{"room:1":{"epoch":"e","offset":1}}}""")]
    [InlineData("replay", """{"positions":{"elsewhere":{"epoch":"e","offset":1}}}""")]
    [InlineData("dead-letters/redrive", """{"messages":[]}""")]
    [InlineData("dead-letters/redrive", """{"messages":["a.b"]}""")]
    [InlineData("dead-letters/redrive", """{"messages":"msg_1"}""")]
    [InlineData("dead-letters/redrive", """["msg_1"]""")]
    [InlineData("poll", """{"limit":0}""")]
    [InlineData("poll", """{"limit":257}""")]
    [InlineData("poll", """{"leaseSeconds":0}""")]
    [InlineData("poll", """{"leaseSeconds":43201}""")]
    [InlineData("poll", """{"wait":1}""")]
    [InlineData("ack", "")]
    [InlineData("ack", "{}")]
    [InlineData("ack", """{"acked":[],"returned":[]}""")]
    [InlineData("ack", """{"acked":[""]}""")]
    [InlineData("ack", """{"acked":[1]}""")]
    public async Task Bad_bodies_do_nothing(string path, string body)
    {
        await _host.RefusedAsync("POST", $"/{Id}/{path}", body, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Deeds);
    }

    [Theory]
    [InlineData("room:1", 1_000_001)]
    [InlineData("room:none", 1)]
    public async Task Places_after_the_head_are_none(string channel, long offset)
    {
        var positions = $$$$"""{"positions":{"orders":{"epoch":"e1","offset":1000000},"{{{{channel}}}}":{"epoch":"e1","offset":{{{{offset}}}}}}}""";
        await _host.RefusedAsync("POST", $"/{Id}/seek", positions, HttpStatusCode.BadRequest, "invalid_position");
        await _host.RefusedAsync("POST", $"/{Id}/replay", positions, HttpStatusCode.BadRequest, "invalid_position");
        await _host.RefusedAsync("POST", $"/{Id}/enable", $$"""{"resumeFrom":{{positions}}}""", HttpStatusCode.BadRequest, "invalid_position");
        Assert.Empty(_host.Webhooks.Deeds);
        await _host.EmptyAsync("POST", $"/{Id}/seek", positions.Replace($":{offset}}}", ":0}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_is_left_of_former_channels_is_for_keys_that_may_hear_them()
    {
        // The subscription was narrowed to a room after messages of the orders had failed.
        DeadLetters(3);
        _host.Webhooks.Answers["ListAttemptsAsync"] = _ => Task.FromResult<WebhookAttemptPage?>(
            new([FakeWebhooks.Attempt(3), FakeWebhooks.Attempt(2) with { Channel = "room:1" }, FakeWebhooks.Attempt(1) with { Channel = null }], FakeWebhooks.AttemptIdOf(1)));
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id, new WebhookDefinition { Url = "https://example.com/", Channels = ["room:*"] });
        foreach (var (key, letters, attempts) in ((string, int, int)[])[(FakeAuthenticator.Key, 2, 2), (FakeAuthenticator.Rooms, 0, 1)])
        {
            var page = await _host.JsonAsync("GET", $"/{Id}/dead-letters?limit=2", credential: key);
            Assert.Equal((letters, FakeWebhooks.PlaceOf(2)), (page["deadLetters"]!.AsArray().Count, (string?)page["next"]));
            page = await _host.JsonAsync("GET", $"/{Id}/attempts?limit=2", credential: key);
            Assert.Equal((attempts, FakeWebhooks.AttemptIdOf(2)), (page["attempts"]!.AsArray().Count, (string?)page["next"]));
            var (response, text) = await _host.SendAsync("GET", $"/{Id}/dead-letters/export", credential: key);
            using (response) Assert.Equal(letters == 0 ? 0 : 3, text.Count(c => c == '\n'));
        }
    }

    [Theory]
    [InlineData("resend", "ResendAsync", HttpStatusCode.Accepted)]
    [InlineData("skip", "SkipAsync", HttpStatusCode.NoContent)]
    public async Task One_message_is_sent_again_or_given_up(string name, string method, HttpStatusCode status)
    {
        await _host.EmptyAsync("POST", $"/{Id}/messages/msg_a-Z_9/{name}", status: status);
        Assert.Equal((method, (object?)"msg_a-Z_9"), (_host.Webhooks.Deeds.Single(), _host.Webhooks.Arguments[0]));
        _host.Webhooks.Answers[method] = _ => Task.FromResult(false);
        await _host.RefusedAsync("POST", $"/{Id}/messages/msg_1/{name}", null, HttpStatusCode.NotFound, "bad_frame");
        await _host.RefusedAsync("POST", $"/{Id}/messages/msg.1/{name}", null, HttpStatusCode.NotFound, "bad_frame");
        await _host.RefusedAsync("POST", $"/{Id}/messages/{new string('m', 561)}/{name}", null, HttpStatusCode.NotFound, "bad_frame");
        Assert.Equal(2, _host.Webhooks.Deeds.Count());
    }

    [Fact]
    public async Task Attempts_come_in_pages()
    {
        _host.Webhooks.Answers["ListAttemptsAsync"] = arguments =>
        {
            var query = (WebhookAttemptQuery)arguments[0]!;
            var before = query.Before is { } id ? FakeWebhooks.NumberOfAttempt(id) : 8;
            return Task.FromResult<WebhookAttemptPage?>(
                new([.. Enumerable.Range(1, before - 1).Reverse().Take(query.Limit).Select(FakeWebhooks.Attempt)], null));
        };
        var (numbers, next) = (new List<int>(), "");
        do
        {
            var page = await _host.JsonAsync("GET", $"/{Id}/attempts?limit=3{(next.Length > 0 ? "&before=" + next : "")}");
            numbers.AddRange(page["attempts"]!.AsArray().Select(a => (int)a!["attempt"]!));
            next = (string?)page["next"] ?? "";
        }
        while (next.Length > 0);
        Assert.Equal([7, 6, 5, 4, 3, 2, 1], numbers);
        Assert.Equal(3, _host.Webhooks.Deeds.Count());
    }

    [Fact]
    public async Task A_page_of_attempts_can_be_empty_with_more_to_come()
    {
        _host.Webhooks.Answers["ListAttemptsAsync"] = _ => Task.FromResult<WebhookAttemptPage?>(new([], FakeWebhooks.AttemptIdOf(2)));
        var page = await _host.JsonAsync("GET", $"/{Id}/attempts?status=succeeded");
        Assert.Equal((0, FakeWebhooks.AttemptIdOf(2)), (page["attempts"]!.AsArray().Count, (string?)page["next"]));
        await _host.JsonAsync("GET", $"/{Id}/attempts?status=succeeded&before={page["next"]}");
        Assert.Equal(FakeWebhooks.AttemptIdOf(2), ((WebhookAttemptQuery)_host.Webhooks.Arguments[0]!).Before);
    }

    [Fact]
    public async Task Attempts_are_asked_for_by_what_they_are()
    {
        await _host.JsonAsync("GET", $"/{Id}/attempts");
        Assert.Equal(new WebhookAttemptQuery { Limit = 51 }, _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("GET", $"/{Id}/attempts?status=failed&messageId=msg_1&before={FakeWebhooks.AttemptIdOf(9)}&since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00%2B00:00&limit=200");
        var since = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
        Assert.Equal(
            new WebhookAttemptQuery { Succeeded = false, MessageId = "msg_1", Before = FakeWebhooks.AttemptIdOf(9), Since = since, Until = since.AddDays(1), Limit = 201 },
            _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("GET", $"/{Id}/attempts?status=succeeded&before=2026-01-01T00:00:00Z");
        Assert.Equal(new WebhookAttemptQuery { Succeeded = true, Until = since, Limit = 51 }, _host.Webhooks.Arguments[0]);
        await _host.JsonAsync("GET", $"/{Id}/attempts?before=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z");
        Assert.Equal(new WebhookAttemptQuery { Until = since, Limit = 51 }, _host.Webhooks.Arguments[0]);
    }

    [Theory]
    [InlineData("attempts?status=bad")]
    [InlineData("attempts?status=failed&status=succeeded")]
    [InlineData("attempts?messageId=a.b")]
    [InlineData("attempts?before=")]
    [InlineData("attempts?since=yesterday")]
    [InlineData("attempts?until=2026-01-02T00:00:00+00:00")] // A plus sign is a space in a query.
    [InlineData("attempts?limit=0")]
    [InlineData("attempts?limit=201")]
    [InlineData("attempts?before=att_%00")]
    [InlineData("attempts?before=garbage")]
    [InlineData("attempts?before=att_7f3a")]
    [InlineData("attempts?before=att_00000000232800000009000000zz")]
    [InlineData("attempts?before=1000.msg_1")]
    [InlineData("dead-letters?after=")]
    [InlineData("dead-letters?after=1.%00")]
    [InlineData("dead-letters?after=1.%C3%A9")]
    [InlineData("dead-letters?after=a&after=b")]
    [InlineData("dead-letters?after=garbage")]
    [InlineData("dead-letters?after=1000")]
    [InlineData("dead-letters?after=1000.")]
    [InlineData("dead-letters?after=.msg_1")]
    [InlineData("dead-letters?after=-1.msg_1")]
    [InlineData("dead-letters?after=99999999999999999999.msg_1")]
    [InlineData("dead-letters?limit=201")]
    public async Task Bad_questions(string query)
    {
        await _host.RefusedAsync("GET", $"/{Id}/{query}", null, HttpStatusCode.BadRequest, "bad_frame");
        Assert.Empty(_host.Webhooks.Deeds);
    }

    [Fact]
    public async Task Dead_letters_come_in_pages()
    {
        DeadLetters(5);
        var first = await _host.JsonAsync("GET", $"/{Id}/dead-letters?limit=3");
        Assert.Equal(FakeWebhooks.PlaceOf(3), (string?)first["next"]);
        var expected = JsonNode.Parse(
            """{"messageId":"msg_5","channel":"orders","epoch":"e1","offset":5,"attempts":10,"at":"1970-01-01T00:00:05Z","failure":"status 500"}""");
        Assert.True(JsonNode.DeepEquals(expected, first["deadLetters"]![0]), first.ToJsonString());
        var second = await _host.JsonAsync("GET", $"/{Id}/dead-letters?limit=3&after={FakeWebhooks.PlaceOf(3)}");
        Assert.Equal(["msg_2", "msg_1"], second["deadLetters"]!.AsArray().Select(d => (string?)d!["messageId"]));
        Assert.Null(second["next"]);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(DeadLetterExport.PageSize, 2)]
    [InlineData((2 * DeadLetterExport.PageSize) + 50, 3)]
    public async Task All_dead_letters_are_exported_line_by_line(int count, int pages)
    {
        DeadLetters(count);
        var (response, text) = await _host.SendAsync("GET", $"/{Id}/dead-letters/export");
        using (response)
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType?.MediaType);
            var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!).ToList();
            Assert.Equal(Enumerable.Range(1, count).Reverse().Select(i => $"msg_{i}"), lines.Select(l => (string?)l["messageId"]));

            // With their message, where it is still kept: in this test those with an even offset.
            Assert.All(lines, l => Assert.Equal((int)l["offset"]! % 2 == 0, l["message"] is not null));
            if (count > 1) Assert.Contains("""{"n" : 1}""", text, StringComparison.Ordinal);
        }

        Assert.Equal(pages, _host.Webhooks.Deeds.Count());
    }

    [Fact]
    public async Task An_export_that_breaks_off_is_no_whole_one()
    {
        DeadLetters(300);
        var list = _host.Webhooks.Answers["ListDeadLettersAsync"];
        _host.Webhooks.Answers["ListDeadLettersAsync"] = arguments => arguments[0] is null ? list(arguments) : throw new TimeoutException();
        await Assert.ThrowsAnyAsync<HttpRequestException>(() => _host.SendAsync("GET", $"/{Id}/dead-letters/export"));
    }

    [Fact]
    public async Task Dead_letters_are_redriven()
    {
        Assert.Equal("""{"redriven":3}""", (await _host.JsonAsync("POST", $"/{Id}/dead-letters/redrive")).ToJsonString());
        Assert.Null(_host.Webhooks.Arguments[0]);
        await _host.JsonAsync("POST", $"/{Id}/dead-letters/redrive", """{"messages":["msg_1","msg_2"]}""");
        Assert.Equal(["msg_1", "msg_2"], (string[])_host.Webhooks.Arguments[0]!);
    }

    [Fact]
    public async Task A_replay_is_a_job_to_watch_and_to_end()
    {
        var (response, text) = await _host.SendAsync("POST", $"/{Id}/replay", """{"since":"2026-01-01T12:00:00Z","perSecond":2.5}""");
        using (response)
        {
            Assert.Equal(HttpStatusCode.Accepted, response.StatusCode);
            Assert.Equal($"/v1/webhooks/{Id}/replays/rp_1", response.Headers.Location?.OriginalString);
            Assert.Equal("""{"id":"rp_1","status":"running","delivered":0,"failed":0,"remaining":7}""", text);
        }

        Assert.Equal((new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero), 2.5), (((WebhookStart)_host.Webhooks.Arguments[0]!).Since, _host.Webhooks.Arguments[1]));
        Assert.Equal("running", (string?)(await _host.JsonAsync("GET", $"/{Id}/replays/rp_1"))["status"]);
        Assert.Equal("cancelled", (string?)(await _host.JsonAsync("DELETE", $"/{Id}/replays/rp_1"))["status"]);
        foreach (var method in (string[])["ReplayAsync", "GetReplayAsync", "CancelReplayAsync"])
            _host.Webhooks.Answers[method] = _ => Task.FromResult<WebhookReplay?>(null);
        await _host.RefusedAsync("POST", $"/{Id}/replay", """{"since":"2026-01-01T12:00:00Z"}""", HttpStatusCode.Conflict, "conflict");
        await _host.RefusedAsync("GET", $"/{Id}/replays/rp_2", null, HttpStatusCode.NotFound, "bad_frame");
        await _host.RefusedAsync("DELETE", $"/{Id}/replays/rp_2", null, HttpStatusCode.NotFound, "bad_frame");
    }

    [Fact]
    public async Task Messages_are_polled_and_acknowledged()
    {
        var (response, text) = await _host.SendAsync("POST", $"/{Id}/poll");
        using (response) Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(
            """
            {"messages":[{"lease":"ls_1","messageId":"msg_1","attempt":2,"channel":"orders","epoch":"e1","message":{"offset":42,"at":1795452674123,"data":{"total": 12},"event":"order.created"}}]}
            """,
            text);
        Assert.Equal([10, TimeSpan.FromSeconds(30)], _host.Webhooks.Arguments);
        await _host.JsonAsync("POST", $"/{Id}/poll", """{"limit":256,"leaseSeconds":43200}""");
        Assert.Equal([256, TimeSpan.FromHours(12)], _host.Webhooks.Arguments);

        Assert.Equal("""{"acknowledged":2}""", (await _host.JsonAsync("POST", $"/{Id}/ack", """{"acked":["a","b"],"returned":["c"]}""")).ToJsonString());
        Assert.Equal(["c"], (string[])_host.Webhooks.Arguments[1]!);
        Assert.Equal("""{"acknowledged":0}""", (await _host.JsonAsync("POST", $"/{Id}/ack", """{"returned":["c"]}""")).ToJsonString());

        // One with a URL is not polled.
        _host.Webhooks.Answers["PollAsync"] = _ => Task.FromResult<WebhookPulled[]?>(null);
        _host.Webhooks.Answers["AckAsync"] = _ => Task.FromResult<int?>(null);
        await _host.RefusedAsync("POST", $"/{Id}/poll", null, HttpStatusCode.Conflict, "conflict");
        await _host.RefusedAsync("POST", $"/{Id}/ack", """{"acked":["a"]}""", HttpStatusCode.Conflict, "conflict");
    }

    [Theory]
    [InlineData("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.0000000Z")]
    [InlineData("2026-01-01t12:00:00z", "2026-01-01T12:00:00.0000000Z")]
    [InlineData("2026-01-01T12:00:00.5+02:30", "2026-01-01T09:30:00.5000000Z")]
    [InlineData("2026-01-01T12:00:00.123456789Z", "2026-01-01T12:00:00.1234567Z")]
    [InlineData("2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59.0000000Z")]
    [InlineData("2025-02-29T00:00:00Z", null)]
    [InlineData("2026-01-01T12:00:00", null)]
    [InlineData("2026-01-01T12:00Z", null)]
    [InlineData("2026-01-01 12:00:00Z", null)]
    [InlineData("2026-01-01T12:00:00.Z", null)]
    [InlineData("2026-01-01T25:00:00Z", null)]
    [InlineData("01/01/2026 12:00:00 Z", null)]
    [InlineData("0001-01-01T00:00:00+14:00", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void Times_are_read_as_the_standard_writes_them(string? text, string? expected) =>
        Assert.Equal(expected, Rfc3339.TryParse(text, out var time) ? time.UtcDateTime.ToString("O", CultureInfo.InvariantCulture) : null);

    /// <summary>Makes dead letters 1 to <paramref name="count"/>, the last one the newest.</summary>
    private void DeadLetters(int count) => _host.Webhooks.Answers["ListDeadLettersAsync"] = arguments =>
    {
        var before = arguments[0] is string place ? FakeWebhooks.NumberOfPlace(place) : count + 1;
        return Task.FromResult<WebhookDeadLetter[]?>(
            [.. Enumerable.Range(1, before - 1).Reverse().Take((int)arguments[1]!).Select(FakeWebhooks.DeadLetter)]);
    };
}

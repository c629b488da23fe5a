using System.Text;
using System.Text.Json.Nodes;
using Grid.Abstractions;
using Grid.Client;
using Grid.Client.Webhooks;
using Grid.Protocol;
using Sdk = Grid.Client.Webhooks;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>The C# client's webhook calls against the API itself.</summary>
public sealed class ServerClientWebhookTests : IClassFixture<WebhookApiHost>, IDisposable
{
    private const string Id = WebhookRoutes.Id;
    private readonly WebhookApiHost _host;
    private readonly HttpClient _http = new();
    private readonly GridServerClient _client;

    public ServerClientWebhookTests(WebhookApiHost host)
    {
        _host = host;
        _host.Webhooks.Clear();
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id);
        _client = new GridServerClient(_http, host.Address, FakeAuthenticator.Key);
    }

    public void Dispose() => _http.Dispose();

    [Fact]
    public async Task Makes_changes_and_removes()
    {
        var made = await _client.CreateWebhookAsync(new WebhookSettings
        {
            Url = "https://example.com/hooks",
            Channels = ["orders", "room:*"],
            Events = ["order.*"],
            Mode = "keyed",
            KeySeparator = ":",
            OnExhausted = "block",
            Description = "text",
            Headers = new Dictionary<string, string> { ["X-A"] = "a" },
            RateLimit = new WebhookRateLimit(50),
            Retry = new Sdk.WebhookRetry([0, 5]),
            Format = "cloudevents",
            Signatures = ["v1", "v1a"],
            Handshake = true,
            From = "start",
        });
        Assert.Equal(("whsec_S", "keyed", ":", 50.0), (made.Secret, made.Mode, made.KeySeparator, made.RateLimit!.PerSecond));
        Assert.DoesNotContain("whsec", made.ToString(), StringComparison.Ordinal);
        Assert.Equal(true, _host.Webhooks.Arguments[1]);
        Assert.Equal(
            "https://example.com/hooks orders,room:* order.* X-A=a 0,5 cloudevents True True",
            Text((WebhookDefinition)_host.Webhooks.Arguments[0]!));

        var changed = await _client.UpdateWebhookAsync(made.Id, new WebhookChange
        {
            Mode = "ordered",
            Headers = new Dictionary<string, string?> { ["X-A"] = null, ["X-B"] = "b" },
            Reset = ["events", "rateLimit"],
        });
        Assert.Equal(("ordered", null, "block"), (changed.Mode, changed.RateLimit, changed.OnExhausted));
        Assert.Equal(
            "https://example.com/hooks orders,room:*  X-B=b 0,5 cloudevents True True", Text((WebhookDefinition)_host.Webhooks.Arguments[0]!));
        await _client.DeleteWebhookAsync(made.Id);
        var gone = await Assert.ThrowsAsync<GridException>(() => _client.GetWebhookAsync(made.Id));
        Assert.Equal("bad_frame", gone.Code);

        static string Text(WebhookDefinition set) => string.Join(
            ' ',
            set.Url, string.Join(',', set.Channels), string.Join(',', set.Events), string.Join(',', set.Headers.Select(h => $"{h.Key}={h.Value}")),
            string.Join(',', set.Schedule!), set.Format, set.Asymmetric, set.Handshake);
    }

    [Fact]
    public async Task Reads_how_one_fares()
    {
        _host.Webhooks.Existing[$"acme/{Id}"] = FakeWebhooks.Describe(Id) with
        {
            Cursors = new() { ["orders"] = new Position("e1", 42) },
            LagMessages = 3,
            LagSeconds = 1.5,
            Circuit = "open",
            RetryAt = DateTimeOffset.UnixEpoch,
            Truncated = [new("orders", "e1", 1, 9, 9)],
        };
        var webhook = await _client.GetWebhookAsync(Id);
        Assert.Equal(new Position("e1", 42), webhook.Cursors["orders"]);
        Assert.Equal(new WebhookLag(3, 1.5), webhook.Lag);
        Assert.Equal(("open", DateTimeOffset.UnixEpoch), (webhook.Circuit, webhook.RetryAt));
        Assert.Equal(new Sdk.WebhookTruncation("orders", "e1", 1, 9, 9), Assert.Single(webhook.Truncated));
        Assert.Equal(new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero), webhook.CreatedAt);
    }

    [Fact]
    public async Task Lists_page_by_page()
    {
        for (var i = 0; i < 150; i++) _host.Webhooks.Existing[$"acme/wh_x{i:D3}"] = FakeWebhooks.Describe($"wh_x{i:D3}");
        var ids = new List<string>();
        await foreach (var webhook in _client.ListWebhooksAsync()) ids.Add(webhook.Id);
        Assert.Equal([Id, .. Enumerable.Range(0, 150).Select(i => $"wh_x{i:D3}")], ids);

        _host.Webhooks.Answers["ListAttemptsAsync"] = arguments =>
        {
            var query = (WebhookAttemptQuery)arguments[0]!;
            Assert.Equal((false, "msg_1", DateTimeOffset.UnixEpoch, 3), (query.Succeeded, query.MessageId, query.Since, query.Limit));

            // The server looks at so many only: the second page is empty, and not the last.
            return Task.FromResult<Grid.Abstractions.WebhookAttemptPage?>(query.Before switch
            {
                null => new([FakeWebhooks.Attempt(9), FakeWebhooks.Attempt(8), FakeWebhooks.Attempt(7)], FakeWebhooks.AttemptIdOf(7)),
                var id when id == FakeWebhooks.AttemptIdOf(8) => new([], FakeWebhooks.AttemptIdOf(5)),
                var id when id == FakeWebhooks.AttemptIdOf(5) => new([FakeWebhooks.Attempt(1)], null),
                _ => throw new InvalidOperationException(query.Before),
            });
        };
        var attempts = new List<Sdk.WebhookAttempt>();
        await foreach (var attempt in _client.ListWebhookAttemptsAsync(
            Id, new WebhookAttemptFilter { Succeeded = false, MessageId = "msg_1", Since = DateTimeOffset.UnixEpoch, PageSize = 2 }))
        {
            attempts.Add(attempt);
        }

        Assert.Equal([9, 8, 1], attempts.Select(a => a.Attempt));
        Assert.Equal((500, "status", "oops <é>"), (attempts[0].Status, attempts[0].Error, attempts[0].Response));
    }

    [Fact]
    public async Task Dead_letters_are_listed_exported_and_redriven()
    {
        _host.Webhooks.Answers["ListDeadLettersAsync"] = _ => Task.FromResult<Grid.Abstractions.WebhookDeadLetter[]?>([FakeWebhooks.DeadLetter(2)]);
        await foreach (var letter in _client.ListWebhookDeadLettersAsync(Id)) Assert.Equal(("msg_2", "status 500"), (letter.MessageId, letter.Failure));
        using var file = new MemoryStream();
        await _client.ExportWebhookDeadLettersAsync(Id, file);
        Assert.Equal(2, (int)JsonNode.Parse(Encoding.UTF8.GetString(file.ToArray()))!["message"]!["offset"]!);
        Assert.Equal(3, await _client.RedriveWebhookDeadLettersAsync(Id));
        Assert.Null(_host.Webhooks.Arguments[0]);
        await _client.RedriveWebhookDeadLettersAsync(Id, ["msg_2"]);
        Assert.Equal(["msg_2"], (string[])_host.Webhooks.Arguments[0]!);
    }

    [Fact]
    public async Task Switches_moves_and_replays()
    {
        Assert.Equal("paused", (await _client.PauseWebhookAsync(Id)).Status);
        Assert.Equal("active", (await _client.ResumeWebhookAsync(Id)).Status);
        Assert.Equal("disabled", (await _client.DisableWebhookAsync(Id)).Status);
        Assert.Equal("active", (await _client.EnableWebhookAsync(Id)).Status);
        Assert.Equal("cursor", Start().Named);
        await _client.EnableWebhookAsync(Id, Sdk.WebhookStart.Now);
        Assert.Equal("now", Start().Named);
        await _client.EnableWebhookAsync(Id, Sdk.WebhookStart.Since(DateTimeOffset.UnixEpoch));
        Assert.Equal(DateTimeOffset.UnixEpoch, Start().Since);
        await _client.SeekWebhookAsync(Id, Sdk.WebhookStart.After(new Dictionary<string, Position> { ["room:1"] = new("e1", 7) }));
        Assert.Equal(new Position("e1", 7), Start().Positions!["room:1"]);
        await _client.SeekWebhookAsync(Id, Sdk.WebhookStart.Now);
        Assert.Equal("now", Start().Named);

        var replay = await _client.ReplayWebhookAsync(Id, Sdk.WebhookStart.Since(DateTimeOffset.UnixEpoch), 2.5);
        Assert.Equal(("rp_1", "running", 7L), (replay.Id, replay.Status, replay.Remaining));
        Assert.Equal(2.5, _host.Webhooks.Arguments[1]);
        Assert.Equal("running", (await _client.GetWebhookReplayAsync(Id, replay.Id)).Status);
        Assert.Equal("cancelled", (await _client.CancelWebhookReplayAsync(Id, replay.Id)).Status);

        Assert.False((await _client.TestWebhookAsync(Id)).Succeeded);
        Assert.Equal("whsec_N", await _client.RotateWebhookSecretAsync(Id, TimeSpan.FromHours(1)));
        Assert.Equal(TimeSpan.FromHours(1), _host.Webhooks.Arguments[0]);
        await _client.ResendWebhookMessageAsync(Id, "msg_1");
        await _client.SkipWebhookMessageAsync(Id, "msg_2");
        Assert.Equal("msg_2", _host.Webhooks.Arguments[0]);
        await Assert.ThrowsAsync<ArgumentException>(() => _client.SkipWebhookMessageAsync(Id, ".."));

        Grid.Abstractions.WebhookStart Start() => (Grid.Abstractions.WebhookStart)_host.Webhooks.Arguments[0]!;
    }

    [Fact]
    public async Task Polls_and_acknowledges()
    {
        var polled = Assert.Single(await _client.PollWebhookAsync(Id, 5, TimeSpan.FromMinutes(1)));
        Assert.Equal([5, TimeSpan.FromMinutes(1)], _host.Webhooks.Arguments);
        Assert.Equal(("ls_1", "msg_1", 2, "orders", new Position("e1", 42)), (polled.Lease, polled.MessageId, polled.Attempt, polled.Message.Channel, polled.Message.Position));
        Assert.Equal("{\"total\": 12}", Encoding.UTF8.GetString(polled.Message.Payload.Bytes.Span));
        Assert.Equal(1, await _client.AckWebhookAsync(Id, [polled.Lease], ["ls_2"]));
        Assert.Equal(["ls_2"], (string[])_host.Webhooks.Arguments[1]!);
    }
}

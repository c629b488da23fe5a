using System.Text.Json;
using Grid.Abstractions;
using Grid.Client.Webhooks;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Webhooks;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class WebhookGrainTests
{
    [Fact]
    public async Task A_message_arrives_with_a_right_signature_and_leaves_nothing_to_do()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        var created = await grid.CreateAsync(endpoint.Inbox.Definition() with { Headers = new() { ["X-Own"] = "v" }, Asymmetric = true });
        await grid.PublishAsync("orders", """{"a":1}""", "order.created");
        var delivery = await grid.NextAsync(endpoint);
        var verified = new WebhookVerifier(created.Secret).Verify(delivery.Body, name => delivery.Headers[name]);
        Assert.Equal(new MessageRef("orders", "e1", 1).ToId(), verified.Id);
        Assert.Contains(" v1a,", delivery.Headers["webhook-signature"], StringComparison.Ordinal);
        Assert.Equal(("orders", "1", 1, "v"), (delivery.Channel, delivery.Headers["grid-offset"], delivery.Attempt, delivery.Headers["X-Own"]));
        using var body = JsonDocument.Parse(delivery.Body);
        Assert.Equal("order.created", body.RootElement.GetProperty("type").GetString());
        Assert.Equal(1, body.RootElement.GetProperty("data").GetProperty("a").GetInt32());

        await grid.UntilNothingIsDueAsync();
        Assert.Equal(1, Assert.Single(grid.Store.SnapshotOf(grid.Id)!.Channels).Floor.Offset);
        var attempt = Assert.Single((await grid.CallAsync(g => g.ListAttemptsAsync(new WebhookAttemptQuery())))!.Attempts);
        Assert.Equal((204, true, verified.Id), (attempt.Status, attempt.Succeeded, attempt.MessageId));

        // Nothing keeps it.
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 1_000);
    }

    [Fact]
    public async Task Only_what_matches_is_delivered()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.PublishAsync("room:1", wake: false);
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["room:*"], Events = ["a.*"] });
        await grid.PublishAsync("orders", eventName: "a.b", wake: false);
        await grid.PublishAsync("room:1", eventName: "b");
        await grid.PublishAsync("room:1", eventName: "a.c");
        await grid.PublishAsync("room:2", eventName: "a.d");
        Assert.Equal([1L, 3L], new[] { (await grid.NextAsync(endpoint)).Offset, (await grid.NextAsync(endpoint)).Offset }.Order());
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(2, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task A_subscription_from_the_start_gets_what_was_there()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        for (var i = 0; i < 3; i++) await grid.PublishAsync("orders", wake: false);
        await grid.CreateAsync(endpoint.Inbox.Definition(), fromStart: true);
        for (var i = 0; i < 3; i++) await grid.NextAsync(endpoint);
    }

    [Fact]
    public async Task A_failure_is_tried_again_under_the_same_id()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.First(1, Answers.Status(500));
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        var first = await grid.NextAsync(endpoint);
        await grid.UntilAsync(() => endpoint.Inbox.Count == 2, stepMs: 200);
        var second = await grid.NextAsync(endpoint);
        Assert.Equal(first.Id, second.Id);
        Assert.Equal((1, 2), (first.Attempt, second.Attempt));
        await grid.UntilAsync(() => grid.Store.Attempts.Count == 2);
        Assert.Equal([500, 204], grid.Store.Attempts.Select(a => a.Status));
    }

    [Fact]
    public async Task A_request_that_hangs_holds_back_nothing_that_is_published_later()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = x => (x.Request.Offset == 1 ? Answers.Hang : Answers.NoContent)(x);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id) is not null);
        grid.Time.Advance(TimeSpan.FromSeconds(5));

        // The channel has its mark still, so that nobody is woken.
        Assert.Null((await AppendedAsync(grid)).Woken);
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);
    }

    [Fact]
    public async Task What_was_in_flight_at_a_crash_is_sent_again_and_nothing_is_lost()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = x => (x.Request.Offset == 2 ? Answers.Hang : Answers.NoContent)(x);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        for (var i = 0; i < 3; i++) await grid.PublishAsync("orders");
        var ids = new List<string>();
        for (var i = 0; i < 3; i++) ids.Add((await grid.NextAsync(endpoint)).Id);
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.Channels is [{ Ranges: [{ From: 3 }] }]);

        // The process ends; nobody wakes anybody, but the sweep.
        grid.Host.Crash();
        await grid.PublishAsync("orders", wake: false);
        endpoint.Inbox.Answer = Answers.Status(200);
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
        await grid.ActivateAsync();
        await grid.WakeAsync();
        var again = new[] { await grid.NextAsync(endpoint), await grid.NextAsync(endpoint) }.OrderBy(d => d.Offset).ToArray();
        Assert.Equal([2L, 4L], again.Select(d => d.Offset));
        Assert.Equal(new MessageRef("orders", "e1", 2).ToId(), again[0].Id);
        Assert.Contains(again[0].Id, ids);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(5, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task An_activation_that_was_overtaken_goes_without_writing()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var (host, older) = (grid.Host, grid.Grain);
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.Channels is [{ Floor.Offset: 1 }]);
        await grid.ActivateAsync();
        Assert.True(await grid.CallAsync(g => g.PauseAsync()));
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => host.CallAsync(() => older.DisableAsync()));
        Assert.True(host.Deactivated);
        Assert.Equal(WebhookStatus.Paused, grid.Store.SnapshotOf(grid.Id)!.Status);
        var writes = grid.Store.Writes;
        await host.CallAsync(() => older.OnDeactivateAsync(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "test"), CancellationToken.None));
        Assert.Equal(writes, grid.Store.Writes);
    }

    [Fact]
    public async Task A_gone_endpoint_is_disabled_and_its_owner_told()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(410);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.Status == WebhookStatus.Disabled);
        var shown = await grid.CallAsync(g => g.GetAsync());
        Assert.Equal(("disabled", "gone", 1L), (shown!.Status, shown.Reason, shown.LagMessages));
        Assert.Equal(["webhook.disabled"], grid.Events);
    }

    [Fact]
    public async Task Retry_after_holds_the_endpoint_and_uses_up_no_attempt()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.First(1, Answers.RetryAfter(429, 30));
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.HeldUntil > 0);
        var until = grid.Store.SnapshotOf(grid.Id)!.HeldUntil;
        Assert.Equal("held", (await grid.CallAsync(g => g.GetAsync()))!.Circuit);
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => endpoint.Inbox.Count > 1, stepMs: 200);
        Assert.True(grid.NowMs >= until);
        await grid.NextAsync(endpoint);
        Assert.Equal(1, (await grid.NextAsync(endpoint)).Attempt);
    }

    /// <summary>Has the first message on its way, until what is returned ends, and the second one wait for its turn.</summary>
    private static async Task<TaskCompletionSource> HoldUpSecondAsync(WebhookFixture grid, WebhookReceiver endpoint)
    {
        var release = new TaskCompletionSource();
        endpoint.Inbox.Answer = Answers.After(release.Task);
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        Assert.Equal(1, (await grid.NextAsync(endpoint)).Offset);
        await grid.PublishAsync("orders");
        await grid.UntilInFlightAsync(2);
        return release;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_waits_for_its_turn_is_not_sent_by_a_subscription_that_is_switched_off(bool disables)
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture(static o => o.EndpointSlots = 1);
        var release = await HoldUpSecondAsync(grid, endpoint);
        Assert.True(await grid.CallAsync(g => disables ? g.DisableAsync() : g.PauseAsync()));
        release.SetResult();
        await grid.UntilInFlightAsync(0);
        Assert.Equal(1, endpoint.Inbox.Count);
        Assert.True(await grid.CallAsync(g => disables ? g.EnableAsync(new Abstractions.WebhookStart { Named = "cursor" }) : g.ResumeAsync()));
        var sent = await grid.NextAsync(endpoint);
        Assert.Equal((2L, 1), (sent.Offset, sent.Attempt));
    }

    [Fact]
    public async Task What_waits_for_its_turn_goes_to_the_new_endpoint()
    {
        await using var former = new WebhookReceiver();
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture(static o => o.EndpointSlots = 1);
        var release = await HoldUpSecondAsync(grid, former);
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition())));
        release.SetResult();
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);
        Assert.Equal(1, former.Inbox.Count);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task An_exhausted_message_is_a_dead_letter_until_it_is_redriven()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.First(1, Answers.Status(400));
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Schedule = [0] });
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Events.Contains("webhook.exhausted"));
        var letter = Assert.Single(await grid.CallAsync(g => g.ListDeadLettersAsync(null, 10)) ?? []);
        Assert.Equal(("orders", 1L, 1, "400"), (letter.Channel, letter.Offset, letter.Attempts, letter.Failure));
        Assert.Empty(await grid.CallAsync(g => g.ListDeadLettersAsync(letter.Place, 10)) ?? []);
        await grid.NextAsync(endpoint);
        Assert.Equal(new WebhookRedrivePage(0, null), await grid.CallAsync(g => g.RedriveAsync([new MessageRef("orders", "e1", 9).ToId()], null)));
        Assert.Equal(new WebhookRedrivePage(1, null), await grid.CallAsync(g => g.RedriveAsync(null, null)));
        Assert.Equal(letter.MessageId, (await grid.NextAsync(endpoint)).Id);
        Assert.Empty(await grid.CallAsync(g => g.ListDeadLettersAsync(null, 10)) ?? []);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task A_store_that_is_away_delays_the_rest_and_loses_nothing()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        for (var i = 0; i < 5; i++) await grid.PublishAsync("orders", wake: false);
        grid.Store.Away = true;
        await grid.WakeAsync();
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CallAsync(g => g.PauseAsync()));
        grid.Store.Away = false;
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        await grid.WakeAsync();
        for (var i = 0; i < 5; i++) await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(5, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task Failures_about_webhooks_events_alone_are_not_told()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(500);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["grid:*"], Schedule = [0] });
        for (var i = 0; i < 12; i++) await grid.PublishAsync(WebhookEvents.Channel);
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.Circuit.OpenedAt > 0);
        Assert.Empty(grid.Events);
        Assert.Equal(12, grid.Store.MessagesOf(new ChannelId("t", WebhookEvents.Channel)).Count);
    }

    [Fact]
    public async Task Failures_of_others_are_told_once()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(500);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["*"] });
        for (var i = 0; i < 12; i++) await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Store.SnapshotOf(grid.Id)?.Circuit.OpenedAt > 0);
        Assert.Equal(["webhook.circuit_opened", "webhook.failing"], grid.Events.Order());

        // An open circuit keeps nobody in memory, and asks for nothing until its probe.
        await grid.UntilNothingIsDueAsync();
        Assert.Equal("open", (await grid.CallAsync(g => g.GetAsync()))!.Circuit);
    }

    [Fact]
    public async Task The_endpoint_is_asked_for_its_consent_once()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = x => x.Request.Method == "OPTIONS" ? x.RespondAsync(200, "", ("WebHook-Allowed-Origin", "grid")) : x.RespondAsync(200);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Handshake = true });
        await grid.PublishAsync("orders");
        Assert.Equal("OPTIONS", (await grid.NextAsync(endpoint)).Method);
        Assert.Equal("grid", (await grid.NextAsync(endpoint)).Headers["WebHook-Request-Origin"]);
        await grid.UntilAsync(() => WebhookDocument.Read(grid.Store.GetAsync(grid.Id).AsTask().Result!.Definition).HasConsent);
        await grid.UntilNothingIsDueAsync();
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        await grid.PublishAsync("orders");
        Assert.Equal("POST", (await grid.NextAsync(endpoint)).Method);
    }

    [Fact]
    public async Task Consent_may_be_in_any_of_several_headers()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = x => x.Request.Method == "OPTIONS"
            ? x.RespondAsync(
                200, "", ("WebHook-Allowed-Origin", "proxy.example"), ("WebHook-Allowed-Origin", "grid"), ("WebHook-Allowed-Rate", "6000"), ("WebHook-Allowed-Rate", "600"))
            : x.RespondAsync(200);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Handshake = true });
        await grid.PublishAsync("orders");
        Assert.Equal("OPTIONS", (await grid.NextAsync(endpoint)).Method);
        Assert.Equal("POST", (await grid.NextAsync(endpoint)).Method);
        await grid.UntilAsync(() => WebhookDocument.Read(grid.Store.GetAsync(grid.Id).AsTask().Result!.Definition).ConsentedPerMinute == 600);
    }

    [Fact]
    public async Task The_rate_that_was_agreed_to_holds_for_the_first_messages_too()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = x => x.Request.Method == "OPTIONS"
            ? x.RespondAsync(200, "", ("WebHook-Allowed-Origin", "grid"), ("WebHook-Allowed-Rate", "60"))
            : x.RespondAsync(200);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Handshake = true });
        for (var i = 0; i < 20; i++) await grid.PublishAsync("orders", wake: false);
        var began = grid.NowMs;
        await grid.WakeAsync();
        await grid.UntilAsync(() => endpoint.Inbox.Requests.Count(r => r.Method == "POST") == 10);

        // One before the rate is known, and one that the rate has in store.
        Assert.InRange(grid.NowMs - began, 8_000, long.MaxValue);
    }

    [Fact]
    public async Task Without_consent_nothing_is_sent()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Handshake = true });
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Store.Attempts.Count == 1);
        Assert.Equal(WebhookErrorClass.Protocol, grid.Store.Attempts[0].Error);
        Assert.Equal("OPTIONS", (await grid.NextAsync(endpoint)).Method);
        Assert.Equal(1, endpoint.Inbox.Count);
    }

    private static async Task<Grid.Server.Log.AppendResult> AppendedAsync(WebhookFixture grid)
    {
        var channel = new ChannelId("t", "orders");
        var head = (await grid.Store.GetHeadAsync(channel)).Position;
        var message = new Grid.Protocol.Message { Offset = head.Offset + 1, At = grid.NowMs, Payload = Grid.Protocol.Payload.Json("1"u8.ToArray()) };
        return await grid.Store.AppendAsync(new Grid.Server.Log.AppendRequest
        {
            Channel = channel, ExpectedHead = head, Messages = [message], KeyWindow = TimeSpan.Zero,
        });
    }
}

using System.Text;
using Grid.Abstractions;
using Grid.Client.Webhooks;
using Grid.Protocol;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Store;
using Grid.Testing.Webhooks;
using WebhookStart = Grid.Abstractions.WebhookStart;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class WebhookOperationsTests
{
    [Fact]
    public async Task An_activation_that_was_made_to_read_a_list_goes_again()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.ListAttemptsAsync(new WebhookAttemptQuery())));
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 1_000);
    }

    /// <summary>A subscription with a header, whose activation can decrypt neither that nor its secret.</summary>
    private static async Task<WebhookFixture> WithoutKeysAsync(WebhookReceiver endpoint)
    {
        var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Headers = new() { ["Authorization"] = "Bearer s3cret" } });
        await grid.DeactivateAsync();
        grid.KeysAreAway = true;
        await grid.ActivateAsync();
        return grid;
    }

    [Fact]
    public async Task A_paused_subscription_waits_and_goes_on()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        Assert.True(await grid.CallAsync(g => g.PauseAsync()));
        Assert.False(await grid.CallAsync(g => g.PauseAsync()));
        await grid.PublishAsync("orders");
        var shown = await grid.CallAsync(g => g.GetAsync());
        Assert.Equal(("paused", 1L), (shown!.Status, shown.LagMessages));
        Assert.False(grid.Store.IsDue(grid.Id, grid.NowMs));

        // It may go meanwhile.
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        Assert.Equal(0, endpoint.Inbox.Count);
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        Assert.Equal(1, (await grid.NextAsync(endpoint)).Offset);
    }

    [Fact]
    public async Task While_secrets_cannot_be_decrypted_nothing_is_sent_and_nothing_of_them_is_lost()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = await WithoutKeysAsync(endpoint);
        await grid.PublishAsync("orders");
        var shown = (await grid.CallAsync(g => g.GetAsync()))!;
        Assert.Empty(shown.Definition.Headers);
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CallAsync(g => g.UpdateAsync(shown.Definition with { Description = "changed" })));
        Assert.Equal((0, 1L), (endpoint.Inbox.Count, (await grid.CallAsync(g => g.GetAsync()))!.LagMessages));

        // What the sweep does every few seconds.
        grid.KeysAreAway = false;
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
        await grid.WakeAsync();
        Assert.Equal("Bearer s3cret", (await grid.NextAsync(endpoint)).Header("authorization"));

        // Who read it meanwhile saw no headers, and does not mean that there should be none.
        Assert.Null(await grid.CallAsync(g => g.UpdateAsync(shown.Definition with { Description = "changed" }, shown.Version)));
        var now = (await grid.CallAsync(g => g.GetAsync()))!;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(now.Definition with { Description = "changed" }, now.Version)));
        await grid.PublishAsync("orders");
        Assert.Equal("Bearer s3cret", (await grid.NextAsync(endpoint)).Header("authorization"));
    }

    [Fact]
    public async Task Who_looks_at_a_subscription_whose_secrets_can_be_decrypted_again_has_it_send_at_once()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = await WithoutKeysAsync(endpoint);
        await grid.PublishAsync("orders");
        Assert.Empty((await grid.CallAsync(g => g.GetAsync()))!.Definition.Headers);
        grid.KeysAreAway = false;
        Assert.NotEmpty((await grid.CallAsync(g => g.GetAsync()))!.Definition.Headers);

        // No time passes, and no sweep comes by.
        Assert.Equal("Bearer s3cret", (await endpoint.Inbox.NextAsync()).Header("authorization"));
    }

    [Fact]
    public async Task In_a_list_only_a_few_channels_are_looked_at()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["room:*"] });
        Assert.True(await grid.CallAsync(g => g.PauseAsync()));
        for (var i = 0; i < 30; i++) await grid.PublishAsync($"room:{i}");
        grid.Time.Advance(TimeSpan.FromSeconds(2));
        var listed = (await grid.CallAsync(g => g.GetAsync(inList: true)))!;
        Assert.Equal((4, 4L, 2.0), (grid.Store.HeadsAsked, listed.LagMessages, listed.LagSeconds));
        Assert.Empty(listed.Cursors);
        var shown = (await grid.CallAsync(g => g.GetAsync()))!;
        Assert.Equal((30, 30L, 30), (grid.Store.HeadsAsked, shown.LagMessages, shown.Cursors.Count));
    }

    [Fact]
    public async Task An_activation_that_was_only_looked_at_goes_again()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.GetAsync(inList: true)));
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 1_000);
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.ListAttemptsAsync(new WebhookAttemptQuery())));
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 1_000);
    }

    [Fact]
    public async Task When_secrets_are_lost_rotating_begins_anew()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = await WithoutKeysAsync(endpoint);
        Assert.NotNull(await grid.CallAsync(g => g.RotateSecretAsync(TimeSpan.FromDays(1))));
        grid.KeysAreAway = false;
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        await grid.PublishAsync("orders");
        Assert.Equal("", (await grid.NextAsync(endpoint)).Header("authorization"));
        Assert.Empty((await grid.CallAsync(g => g.GetAsync()))!.Definition.Headers);
    }

    [Theory]
    [InlineData("cursor", 1)]
    [InlineData("now", 3)]
    [InlineData("since", 2)]
    public async Task Enabling_asks_from_where(string from, long first)
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        Assert.True(await grid.CallAsync(g => g.DisableAsync()));
        await grid.PublishAsync("orders");
        grid.Time.Advance(TimeSpan.FromMinutes(1));
        var since = grid.Time.GetUtcNow();
        await grid.PublishAsync("orders");
        var start = from == "since" ? new WebhookStart { Since = since } : new WebhookStart { Named = from };
        Assert.True(await grid.CallAsync(g => g.EnableAsync(start)));
        Assert.False(await grid.CallAsync(g => g.EnableAsync(start)));
        await grid.PublishAsync("orders");
        var offsets = new List<long>();
        for (var i = first; i <= 3; i++) offsets.Add((await grid.NextAsync(endpoint)).Offset);
        Assert.Equal(first, offsets.Min());
        Assert.Contains("webhook.disabled", grid.Events);
    }

    [Fact]
    public async Task A_delivered_message_is_resent_on_request()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        var first = await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        Assert.True(await grid.CallAsync(g => g.ResendAsync(first.Id)));
        Assert.Equal(first.Id, (await grid.NextAsync(endpoint)).Id);
        Assert.False(await grid.CallAsync(g => g.ResendAsync(new MessageRef("orders", "e1", 2).ToId())));
        Assert.False(await grid.CallAsync(g => g.ResendAsync(new MessageRef("other", "e1", 1).ToId())));
        Assert.False(await grid.CallAsync(g => g.ResendAsync("msg_")));
    }

    [Fact]
    public async Task A_replay_delivers_what_was_delivered_once_more()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        for (var i = 0; i < 3; i++) await grid.PublishAsync("orders");
        for (var i = 0; i < 3; i++) await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        var replay = await grid.CallAsync(g => g.ReplayAsync(new WebhookStart { Positions = new() { ["orders"] = new Position("e1", 1) } }, 1));
        Assert.Equal(("running", 2L), (replay!.Status, replay.Remaining));
        Assert.Null(await grid.CallAsync(g => g.ReplayAsync(new WebhookStart { Named = "now" }, null)));
        await grid.UntilAsync(() => endpoint.Inbox.Count == 5);
        Assert.Equal([2L, 3L], new[] { (await grid.NextAsync(endpoint)).Offset, (await grid.NextAsync(endpoint)).Offset }.Order());
        await grid.UntilAsync(() => WebhookDocument.Read(grid.Store.GetAsync(grid.Id).AsTask().Result!.Definition).LastReplay is not null);
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        Assert.Equal(("done", 2L), ((await grid.CallAsync(g => g.GetReplayAsync(replay.Id)))!.Status, (await grid.CallAsync(g => g.GetReplayAsync(replay.Id)))!.Delivered));
    }

    [Fact]
    public async Task Seek_and_skip_move_the_cursor()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.CallAsync(g => g.PauseAsync());
        for (var i = 0; i < 4; i++) await grid.PublishAsync("orders");
        await grid.CallAsync(g => g.GetAsync());
        Assert.True(await grid.CallAsync(g => g.SeekAsync(new WebhookStart { Positions = new() { ["orders"] = new Position("e1", 2) } })));
        await grid.CallAsync(g => g.GetAsync());
        Assert.True(await grid.CallAsync(g => g.SkipAsync(new MessageRef("orders", "e1", 3).ToId())));
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        Assert.Equal(4, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(1, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task A_test_event_is_sent_whatever_the_status()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(202);
        await using var grid = new WebhookFixture();
        var created = await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.CallAsync(g => g.PauseAsync());
        var attempt = await grid.CallAsync(g => g.TestAsync());
        Assert.Equal((202, true), (attempt!.Status, attempt.Succeeded));
        var delivery = await grid.NextAsync(endpoint);
        new WebhookVerifier(created.Secret).Verify(delivery.Body, name => delivery.Headers[name]);
        Assert.Contains("\"grid.test\"", Encoding.UTF8.GetString(delivery.Body), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Secrets_and_headers_are_shown_to_nobody_and_rotate()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        var created = await grid.CreateAsync(endpoint.Inbox.Definition() with { Headers = new() { ["Authorization"] = "Bearer s3cret" } });
        var stored = await grid.Store.GetAsync(grid.Id);
        Assert.DoesNotContain("s3cret", Encoding.UTF8.GetString(stored!.Definition.Span), StringComparison.Ordinal);
        Assert.Equal(CustomHeaders.Redacted, created.Webhook.Definition.Headers["Authorization"]);
        var next = await grid.CallAsync(g => g.RotateSecretAsync(TimeSpan.FromHours(1)));
        Assert.NotEqual(created.Secret, next);

        // Given back as it was shown.
        var shown = (await grid.CallAsync(g => g.GetAsync()))!.Definition;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(shown with { Description = "new" })));
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        await grid.PublishAsync("orders");
        var delivery = await grid.NextAsync(endpoint);
        Assert.Equal("Bearer s3cret", delivery.Headers["Authorization"]);
        foreach (var secret in new[] { created.Secret, next! }) new WebhookVerifier(secret).Verify(delivery.Body, name => delivery.Headers[name]);
    }

    [Fact]
    public async Task A_channel_that_is_left_and_joined_again_begins_with_now()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] });
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["other"] }));
        await grid.PublishAsync("orders");
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        await grid.CallAsync(g => g.GetAsync());
        await grid.PublishAsync("orders");
        await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition()));
        await grid.PublishAsync("orders");
        Assert.Equal(4, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(2, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task Names_that_are_made_up_are_not_remembered()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["o*"] });
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        var places = Enumerable.Range(0, 100).ToDictionary(i => $"o{i}", i => new Position("e1", i % 2));
        Assert.True(await grid.CallAsync(g => g.SeekAsync(new WebhookStart { Positions = new(places) { ["orders"] = new Position("e1", 0) } })));
        Assert.Equal(1, (await grid.NextAsync(endpoint)).Offset);
        Assert.Equal(["orders"], (await grid.CallAsync(g => g.GetAsync()))!.Cursors.Keys);
    }

    [Fact]
    public async Task What_failed_of_a_channel_that_was_left_is_sent_no_more()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.First(1, Answers.Status(400));
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"], Schedule = [0] });
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilAsync(() => grid.Events.Contains("webhook.exhausted"));
        await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["other"] }));
        Assert.Equal(new WebhookRedrivePage(0, null), await grid.CallAsync(g => g.RedriveAsync(null, null)));

        // One that waited in the store.
        await grid.Store.ParkAsync(grid.Id, [new ParkedRow(new MessageRef("orders", "e1", 1), 1, grid.NowMs)]);
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        await grid.WakeAsync();
        await grid.PublishAsync("other");
        Assert.Equal("other", (await grid.NextAsync(endpoint)).Channel);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(2, endpoint.Inbox.Count);
        Assert.Empty(await grid.Store.ReadParkedAsync(grid.Id, 0, 10));
    }

    [Fact]
    public async Task A_subscription_that_does_not_exist_is_nothing_and_keeps_nothing()
    {
        await using var grid = new WebhookFixture();
        await grid.ActivateAsync();
        Assert.Null(await grid.CallAsync(g => g.GetAsync()));
        Assert.False(await grid.CallAsync(g => g.PauseAsync()));
        Assert.Null(await grid.CallAsync(g => g.ListAttemptsAsync(new WebhookAttemptQuery())));
        Assert.True(grid.Host.Deactivated);
    }

    [Fact]
    public async Task A_list_of_attempts_goes_on_where_it_looked_last()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var only = Attempt(0, WebhookErrorClass.None);
        await grid.Store.AddAttemptsAsync([only, .. Enumerable.Range(1, 2_500).Select(i => Attempt(i, WebhookErrorClass.Status))]);
        var query = new WebhookAttemptQuery { Succeeded = true };
        var page = (await grid.CallAsync(g => g.ListAttemptsAsync(query)))!;
        Assert.Empty(page.Attempts);
        Assert.NotNull(page.Next);
        page = (await grid.CallAsync(g => g.ListAttemptsAsync(query with { Before = page.Next })))!;
        Assert.Equal((only.Id, null), (Assert.Single(page.Attempts).Id, page.Next));

        StoredAttempt Attempt(int i, WebhookErrorClass error) => new()
        {
            Webhook = grid.Id, Id = AttemptId.New(grid.NowMs + i), MessageId = "msg_1", At = grid.NowMs + i, Error = error,
        };
    }

    [Fact]
    public async Task Dead_letters_are_redriven_a_page_at_a_time()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.CallAsync(g => g.PauseAsync());
        await grid.DeactivateAsync();
        MessageRef[] dead = [.. Enumerable.Range(1, 300).Select(static i => new MessageRef("orders", "e1", i))];
        var progress = (await grid.Store.ReadProgressAsync(grid.Id))!;
        await grid.Store.WriteAsync(
            grid.Id, new WebhookWrite([.. dead.Select(r => new WebhookEffect.DeadLetter(r, 1, grid.NowMs + r.Offset, "400", 0))], progress), null);
        await grid.ActivateAsync();

        // Of a page those that are named.
        var first = await grid.CallAsync(g => g.RedriveAsync([dead[0].ToId(), dead[299].ToId()], null));
        Assert.Equal(1, first!.Redriven);
        Assert.Equal(new WebhookRedrivePage(1, null), await grid.CallAsync(g => g.RedriveAsync([dead[0].ToId()], first.Next)));

        var count = 0;
        for (string? after = null; ;)
        {
            var page = (await grid.CallAsync(g => g.RedriveAsync(null, after)))!;
            count += page.Redriven;
            if (page.Next is null) break;
            Assert.InRange(page.Redriven, 1, 297);
            after = page.Next;
        }

        Assert.Equal(298, count);
        Assert.Empty(await grid.CallAsync(g => g.ListDeadLettersAsync(null, 10)) ?? []);
    }

    [Fact]
    public async Task A_creation_of_which_nobody_knows_whether_it_was_stored_is_taken_back()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        grid.Store.AfterCreate = static () => throw new Grid.Server.Log.LogUnavailableException("Its answer is lost.");
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CreateAsync(endpoint.Inbox.Definition()));
        await grid.ActivateAsync();
        Assert.Null(await grid.CallAsync(g => g.GetAsync()));
    }

    [Fact]
    public async Task A_deleted_subscription_is_gone()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        Assert.True(await grid.CallAsync(g => g.DeleteAsync()));
        Assert.True(grid.Host.Deactivated);
        await grid.ActivateAsync();
        Assert.False(await grid.CallAsync(g => g.DeleteAsync()));
    }
}

using Grid.Abstractions;
using Grid.Testing.Webhooks;

namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>Subscriptions to a prefix that matches very many channels know only a part of them at once.</summary>
public sealed class ManyChannelsTests
{
    private const int Many = 3_000;
    private const string All = "room:*";

    [Fact]
    public async Task A_dead_endpoints_channels_are_not_all_read_for_a_probe()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(500);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All] });
        await FillAsync(grid);
        await grid.UntilAsync(() => grid.Host.Deactivated);
        Assert.InRange(grid.Store.SnapshotOf(grid.Id)!.Channels.Count, 1, 600);

        // A probe: a page at most, and no channel more than was known.
        await grid.DeactivateAsync();
        await grid.UntilAsync(() => grid.Store.IsDue(grid.Id, grid.NowMs), stepMs: 1_000);
        var (pages, requests) = (grid.Store.MarkPages, endpoint.Inbox.Count);
        await grid.ActivateAsync();
        await grid.WakeAsync();
        await grid.UntilAsync(() => endpoint.Inbox.Count == requests + 1);
        await grid.UntilAsync(() => grid.Host.Deactivated);
        Assert.InRange(grid.Store.MarkPages - pages, 0, 1);
        Assert.Equal(Many, (await grid.Store.GetMarksAsync(grid.Id)).Count);

        // And all is there when it works again.
        endpoint.Inbox.Answer = Answers.NoContent;
        await grid.DeactivateAsync();
        await grid.UntilAsync(() => grid.Store.IsDue(grid.Id, grid.NowMs), stepMs: 1_000);
        await grid.ActivateAsync();
        await grid.WakeAsync();
        await DeliveredAsync(grid, endpoint, Many);
    }

    [Fact]
    public async Task All_that_waits_on_very_many_channels_is_delivered_with_few_of_them_known()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All] });
        await FillAsync(grid);
        await DeliveredAsync(grid, endpoint, Many);
        Assert.InRange(grid.Store.SnapshotOf(grid.Id)!.Channels.Count, 1, 1_600);
    }

    [Fact]
    public async Task A_time_is_not_looked_for_in_more_channels_than_one_call_can_bear()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All] });
        await grid.CallAsync(g => g.PauseAsync());
        for (var i = 0; i <= 10_000; i++) await grid.PublishAsync($"room:{i}", wake: false);
        var since = new WebhookStart { Since = grid.Time.GetUtcNow() };
        await Assert.ThrowsAsync<TooManyChannelsException>(() => grid.CallAsync(g => g.SeekAsync(since)));
        await Assert.ThrowsAsync<TooManyChannelsException>(() => grid.CallAsync(g => g.ReplayAsync(since, null)));
        Assert.Equal("paused", (await grid.CallAsync(g => g.GetAsync()))!.Status);
    }

    [Fact]
    public async Task Who_polls_is_never_woken_and_gets_all_that_waits_on_very_many_channels()
    {
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(new WebhookDefinition { Channels = [All] });
        await FillAsync(grid);
        await grid.UntilNothingIsDueAsync();
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 1_000);
        Assert.Equal(Many, (await grid.Store.GetMarksAsync(grid.Id)).Count);
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        var got = new HashSet<string>();
        while (got.Count < Many)
        {
            var page = (await grid.CallAsync(g => g.PollAsync(100, TimeSpan.FromMinutes(1))))!;
            Assert.NotEmpty(page);
            got.UnionWith(page.Select(p => p.MessageId));
            Assert.Equal(page.Length, await grid.CallAsync(g => g.AckAsync([.. page.Select(p => p.Lease)], [])));
        }

        await grid.UntilAsync(() => grid.Store.GetMarksAsync(grid.Id).Result.Count == 0);
        Assert.InRange(grid.Store.SnapshotOf(grid.Id)!.Channels.Count, 1, 1_600);

        // What comes later to one that is forgotten, and of which nobody told.
        await grid.PublishAsync("room:0", wake: false);
        var last = (await grid.CallAsync(g => g.PollAsync(100, TimeSpan.FromMinutes(1))))!;
        Assert.Equal(("room:0", 2L), (Assert.Single(last).Channel, last[0].Message.Offset));
    }

    [Fact]
    public async Task Channels_of_which_no_message_is_wanted_are_not_all_known_before_they_are_written()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All], Events = ["wanted"] });
        for (var i = 0; i < Many; i++) await grid.PublishAsync($"room:{i}", eventName: "other", wake: false);
        await grid.PublishAsync("room:zzz", eventName: "wanted", wake: false);
        var hold = new Gate();
        grid.Store.BeforeWrite = hold.PassAsync;
        var before = grid.Store.MarkPages;
        await grid.WakeAsync();
        await grid.UntilAsync(() => hold.Reached.IsCompleted && grid.Store.MarkPages >= before + 4);
        for (var turns = 0; turns < 20; turns++) await grid.CallAsync(static _ => Task.FromResult(0));
        Assert.Equal(before + 4, grid.Store.MarkPages);
        hold.Open();
        Assert.Equal(("room:zzz", 1L), await NextOfAsync(grid, endpoint));
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_comes_to_a_channel_behind_the_ones_in_line_is_found_when_it_is_wanted()
    {
        await using var endpoint = new WebhookReceiver();
        var first = new TaskCompletionSource();
        endpoint.Inbox.Answer = async exchange =>
        {
            await first.Task;
            await Answers.NoContent(exchange);
        };
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All] });
        await FillAsync(grid);
        await endpoint.Inbox.NextAsync();

        // Told of while nobody wants more channels: one before and one behind the pass, neither of which has another event.
        await grid.PublishAsync("room:", wake: false);
        await grid.WakeForAsync("room:");
        await grid.PublishAsync("room:zzz", wake: false);
        await grid.WakeForAsync("room:zzz");
        first.SetResult();
        await DeliveredAsync(grid, endpoint, Many + 2);
    }

    [Fact]
    public async Task Now_passes_over_channels_that_are_not_known_too()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await FillPausedAsync(grid, endpoint);
        Assert.True(await grid.CallAsync(g => g.SeekAsync(new WebhookStart { Named = "now" })));
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        await grid.PublishAsync("room:17", wake: false);
        await grid.WakeForAsync("room:17");
        Assert.Equal(("room:17", 2L), await NextOfAsync(grid, endpoint));
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(1, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task Channels_that_leave_and_join_again_begin_anew_though_they_were_not_known()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await FillPausedAsync(grid, endpoint);
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["other"] })));
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = [All] })));
        Assert.Empty(await grid.Store.GetMarksAsync(grid.Id));
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        await grid.PublishAsync("room:17");
        Assert.Equal(("room:17", 2L), await NextOfAsync(grid, endpoint));
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(1, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task A_change_that_adds_channels_does_not_look_through_those_that_it_has()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await FillPausedAsync(grid, endpoint);
        Assert.NotNull(await grid.CallAsync(g => g.GetAsync()));
        var pages = grid.Store.MarkPages;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = [All, "other", "zoo:*"] })));
        Assert.InRange(grid.Store.MarkPages - pages, 0, 2);

        // Nor where they are a part of what is added.
        pages = grid.Store.MarkPages;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = [All, "r*", "*"] })));
        Assert.InRange(grid.Store.MarkPages - pages, 0, 6);
        Assert.Equal(Many, (await grid.Store.GetMarksAsync(grid.Id)).Count);
    }

    [Fact]
    public async Task A_prefix_that_grows_keeps_what_waits_and_takes_up_nothing_that_was_left()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await FillPausedAsync(grid, endpoint);
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["room:1*", "room:25"] })));
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = [All] })));
        var kept = Enumerable.Range(0, Many).Select(static i => $"room:{i}")
            .Where(static c => c == "room:25" || c.StartsWith("room:1", StringComparison.Ordinal));
        Assert.Equal(kept.Order(StringComparer.Ordinal), (await grid.Store.GetMarksAsync(grid.Id)).Select(static m => m.Channel));
    }

    [Fact]
    public async Task A_channel_that_left_and_joins_again_begins_anew_though_a_crash_came_between()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] });
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();

        // The store knows that it left; the crash comes before the progress is written.
        grid.Store.BeforeWrite = static () => throw new Grid.Server.Log.LogUnavailableException();
        await Assert.ThrowsAnyAsync<Exception>(() => grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["other"] })));
        grid.Host.Crash();
        grid.Store.BeforeWrite = static () => Task.CompletedTask;
        await grid.PublishAsync("orders", wake: false);
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] })));
        await grid.PublishAsync("orders");
        Assert.Equal(("orders", 3L), await NextOfAsync(grid, endpoint));
    }

    [Fact]
    public async Task A_silo_that_has_read_ahead_enough_reads_on_in_small_steps()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture(o => o.ReadAheadBytes = 1);
        await grid.CreateAsync(endpoint.Inbox.Definition());
        for (var i = 0; i < 500; i++) await grid.PublishAsync("orders", $"\"{new string('x', 1_000)}\"", wake: false);
        await grid.WakeAsync();
        var most = 0L;
        await grid.UntilAsync(() =>
        {
            most = Math.Max(most, grid.Budget.Bytes);
            return endpoint.Inbox.Distinct == 500;
        });
        Assert.InRange(most, 0, 64 * 1024);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(0, grid.Budget.Bytes);
        await grid.DeactivateAsync();
        Assert.Equal(0, grid.Budget.Bytes);
    }

    [Fact]
    public async Task With_little_memory_busy_channels_do_not_keep_others_from_being_sent()
    {
        await using var endpoint = new WebhookReceiver();
        var many = new TaskCompletionSource();
        var now = 0;
        endpoint.Inbox.Answer = async exchange =>
        {
            if (exchange.Request.Channel == "room:0") await Answers.Hang(exchange);
            if (Interlocked.Increment(ref now) == 10) many.SetResult();
            await many.Task;
            await Answers.NoContent(exchange);
        };
        await using var grid = new WebhookFixture(o => o.ReadAheadBytes = 1);
        var noted = 0;
        grid.Budget.Note(ref noted, 1);
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All], Mode = "keyed" });
        for (var j = 0; j < 8; j++)
        {
            for (var i = 0; i < 20; i++) await grid.PublishAsync($"room:{i}", wake: false);
        }

        await grid.WakeAsync();
        await grid.UntilAsync(() => endpoint.Inbox.Requests.Count(r => r.Answered == 204) == 19 * 8);
        Assert.Single(endpoint.Inbox.Requests, r => r.Channel == "room:0");
    }

    [Fact]
    public async Task What_a_limited_rate_will_not_send_soon_is_not_read()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { PerSecond = 0.5 });
        for (var i = 0; i < 600; i++) await grid.PublishAsync("orders", $"\"{new string('x', 1_000)}\"", wake: false);
        await grid.WakeAsync();
        await grid.UntilAsync(() => endpoint.Inbox.Distinct == 3);
        Assert.InRange(grid.Budget.Bytes, 1, 10_000);
    }

    [Fact]
    public async Task An_ordered_subscription_that_waits_sleeps_however_many_channels_are_marked()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(400);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All], Mode = "ordered", Schedule = [3_600, 3_600] });
        await FillAsync(grid);
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 500);
        Assert.False(grid.Store.IsDue(grid.Id, grid.NowMs));

        // Until it is due; and a person need not wait so long.
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        endpoint.Inbox.Answer = Answers.NoContent;
        var first = endpoint.Inbox.Requests[0];
        Assert.True(await grid.CallAsync(g => g.SkipAsync(first.Id)));
        var second = await grid.NextAsync(endpoint);
        while (second.Id == first.Id) second = await grid.NextAsync(endpoint);
        Assert.Equal("closed", (await grid.CallAsync(g => g.GetAsync()))!.Circuit);
    }

    /// <summary>Publishes to very many channels, and wakes who is to get it.</summary>
    private static async Task FillAsync(WebhookFixture grid)
    {
        for (var i = 0; i < Many; i++) await grid.PublishAsync($"room:{i}", wake: false);
        await grid.WakeAsync();
    }

    /// <summary>The same for a subscription that is made for it, and pauses.</summary>
    private static async Task FillPausedAsync(WebhookFixture grid, WebhookReceiver endpoint)
    {
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = [All] });
        await grid.CallAsync(g => g.PauseAsync());
        await FillAsync(grid);
    }

    private static async Task<(string Channel, long Offset)> NextOfAsync(WebhookFixture grid, WebhookReceiver endpoint)
    {
        var next = await grid.NextAsync(endpoint);
        return (next.Channel, next.Offset);
    }

    private static async Task DeliveredAsync(WebhookFixture grid, WebhookReceiver endpoint, int count)
    {
        await grid.UntilAsync(() => endpoint.Inbox.Requests.Where(r => r.Answered == 204).Select(r => r.Id).Distinct().Count() == count);
        await grid.UntilNothingIsDueAsync();
        Assert.Empty(await grid.Store.GetMarksAsync(grid.Id));
    }
}

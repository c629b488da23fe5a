using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Testing.Webhooks;

namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>What comes in the middle of something else.</summary>
public sealed class WebhookRaceTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_subscription_is_made_when_all_publishes_that_may_not_know_it_are_answered()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.PublishAsync("orders");
        await grid.ActivateAsync();
        var hold = new Gate();
        grid.Barrier = hold.PassAsync;
        var creating = grid.CallAsync(g => g.CreateAsync(endpoint.Inbox.Definition(), false));
        await hold.Reached;

        // The store knows it by then, and what is published is its.
        Assert.NotNull(await grid.Store.GetAsync(grid.Id));
        await grid.PublishAsync("orders", wake: false);
        Assert.False(creating.IsCompleted);
        hold.Open();
        Assert.NotNull(await creating);
        await grid.WakeAsync();
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);

        // A change that adds channels waits too, and one that does not has nothing to wait for.
        hold = new Gate();
        grid.Barrier = hold.PassAsync;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Description = "x" })));
        var changing = grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] }));
        await hold.Reached;
        Assert.False(changing.IsCompleted);
        hold.Open();
        Assert.NotNull(await changing);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task A_subscription_whose_making_is_not_answered_is_none()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.ActivateAsync();
        grid.Barrier = () => throw new Grid.Server.Log.LogUnavailableException("A silo does not answer.");
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CallAsync(g => g.CreateAsync(endpoint.Inbox.Definition(), true)));
        Assert.True(grid.Host.Deactivated);
        Assert.Null(await grid.Store.GetAsync(grid.Id));
        Assert.Null(await grid.CallAsync(g => g.GetAsync()));
        grid.Barrier = () => Task.CompletedTask;
        Assert.NotNull(await grid.CreateAsync(endpoint.Inbox.Definition()));
    }

    [Fact]
    public async Task What_is_published_while_its_channel_joins_is_delivered()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var hold = new Gate();
        grid.Store.AfterUpdate = hold.PassAsync;
        var updating = grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] }));
        await hold.Reached;

        // The store knows the new channels; the grain does not yet.
        await grid.PublishAsync("other");
        await SettleAsync(grid);
        hold.Open();
        Assert.NotNull(await updating);
        var delivery = await grid.NextAsync(endpoint);
        Assert.Equal(("other", 1L), (delivery.Channel, delivery.Offset));
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_is_published_while_its_channel_joins_is_delivered_though_that_was_not_answered()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var (hold, asked) = (new Gate(), 0);
        grid.Barrier = () => ++asked == 1 ? throw new Grid.Server.Log.LogUnavailableException("A silo does not answer.") : Task.CompletedTask;
        grid.Store.AfterUpdate = hold.PassAsync;
        var wanted = endpoint.Inbox.Definition() with { Channels = ["orders", "other"] };
        var updating = grid.CallAsync(g => g.UpdateAsync(wanted));
        await hold.Reached;
        await grid.PublishAsync("other");
        hold.Open();
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => updating);
        var delivery = await grid.NextAsync(endpoint);
        Assert.Equal(("other", 1L), (delivery.Channel, delivery.Offset));

        // The same again adds nothing, and waits all the same for what may not have known the channel; later ones need not.
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(wanted)));
        Assert.Equal(2, asked);
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(wanted)));
        Assert.Equal(2, asked);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_joined_later_is_no_leftover_to_an_activation_that_was_overtaken()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var (host, older) = (grid.Host, grid.Grain);
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] })));
        await grid.PublishAsync("other", wake: false);
        await host.CallAsync(() => older.WakeAsync());
        await grid.UntilAsync(() => host.Deactivated);
        Assert.Equal(["other"], (await grid.Store.GetMarksAsync(grid.Id)).Select(m => m.Channel));
        await grid.WakeAsync();
        Assert.Equal("other", (await grid.NextAsync(endpoint)).Channel);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task An_activation_that_was_overtaken_changes_no_definition()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        var (first, older) = (grid.Host, grid.Grain);
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.GetAsync()));
        var (second, old) = (grid.Host, grid.Grain);
        await grid.ActivateAsync();
        Assert.NotNull(await grid.CallAsync(g => g.GetAsync()));

        // The later ones would learn of neither.
        var wanted = endpoint.Inbox.Definition() with { Channels = ["orders", "other"] };
        Assert.Null(await first.CallAsync(() => older.UpdateAsync(wanted)));
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => second.CallAsync(() => old.RotateSecretAsync(TimeSpan.Zero)));
        Assert.True(first.Deactivated && second.Deactivated);
        Assert.Equal(1, (await grid.Store.GetAsync(grid.Id))!.Version);
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(wanted)));
        await grid.PublishAsync("other");
        Assert.Equal("other", (await grid.NextAsync(endpoint)).Channel);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task A_channel_that_is_met_while_it_leaves_is_left()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["room:*"] });
        await grid.PublishAsync("room:1", wake: false);
        var hold = new Gate();
        grid.Store.AfterUpdate = hold.PassAsync;
        var updating = grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition()));
        await hold.Reached;
        await grid.WakeAsync();
        hold.Open();
        Assert.DoesNotContain("room:1", (await updating)!.Cursors.Keys);
        await grid.WakeAsync();
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_is_published_while_a_subscription_is_read_needs_no_sweep()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Channels = ["orders", "other"] });
        await grid.DeactivateAsync();
        var hold = new Gate();
        grid.Store.AfterProgress = hold.PassAsync;
        await grid.ActivateAsync();
        await grid.PublishAsync("orders", wake: false);
        var first = grid.WakeAsync();
        await hold.Reached;
        await grid.PublishAsync("other", wake: false);
        var second = grid.WakeAsync();
        hold.Open();
        await Task.WhenAll(first, second);
        Assert.Equal(["orders", "other"], new[] { (await grid.NextAsync(endpoint)).Channel, (await grid.NextAsync(endpoint)).Channel }.Order());
    }

    [Fact]
    public async Task An_older_activation_writes_and_clears_nothing_once_the_next_one_reads()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(400);
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var (writing, reading) = (new Gate(), new Gate());
        var writes = 0;
        grid.Store.BeforeWrite = () => Interlocked.Increment(ref writes) == 1 ? writing.PassAsync() : Task.CompletedTask;
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => writing.Reached.IsCompleted);
        var older = grid.Host;

        // The next one reads before the older one has written that its message failed, which would let it clear the mark.
        grid.Store.AfterProgress = reading.PassAsync;
        await grid.ActivateAsync();
        var waking = grid.WakeAsync();
        await reading.Reached;
        endpoint.Inbox.Answer = Answers.NoContent;
        writing.Open();
        await grid.UntilAsync(() => older.Deactivated);
        Assert.Single(await grid.Store.GetMarksAsync(grid.Id));
        Assert.Null(grid.Store.SnapshotOf(grid.Id));
        reading.Open();
        await waking;
        await grid.UntilNothingIsDueAsync();
        Assert.Single(endpoint.Inbox.Requests.Select(static r => r.Id).Distinct());
        Assert.Contains(endpoint.Inbox.Requests, static r => r.Answered == 204);
    }

    [Fact]
    public async Task A_message_that_was_asked_for_again_is_not_forgotten_by_a_write_under_way()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        var first = await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        endpoint.Inbox.Answer = Answers.Hang;
        var hold = new Gate();
        var writes = 0;
        grid.Store.BeforeWrite = () => Interlocked.Increment(ref writes) == 1 ? hold.PassAsync() : Task.CompletedTask;
        var skipping = grid.CallAsync(g => g.SkipAsync(new MessageRef("orders", "e1", 9).ToId()));
        await grid.UntilAsync(() => hold.Reached.IsCompleted);
        var resending = grid.CallAsync(g => g.ResendAsync(first.Id));
        await grid.Store.ParkedOnRequest.Task.WaitAsync(TimeSpan.FromSeconds(20));
        hold.Open();
        Assert.True(await resending);
        await skipping;
        grid.Host.Crash();
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
    }

    [Fact]
    public async Task A_cursor_beyond_the_head_is_the_head()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        Assert.True(await grid.CallAsync(g => g.SeekAsync(new WebhookStart { Positions = new() { ["orders"] = new Position("e1", 99) } })));
        await grid.PublishAsync("orders");
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task A_message_that_was_not_read_yet_can_be_skipped()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.CallAsync(g => g.PauseAsync());
        await grid.PublishAsync("orders");
        await grid.PublishAsync("orders");
        Assert.True(await grid.CallAsync(g => g.SkipAsync(new MessageRef("orders", "e1", 1).ToId())));
        Assert.True(await grid.CallAsync(g => g.ResumeAsync()));
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(1, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task What_waited_for_a_poll_is_sent_once_there_is_an_endpoint()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(new WebhookDefinition { Channels = ["orders"] });
        await grid.PublishAsync("orders");
        await grid.PublishAsync("orders");
        await grid.UntilNothingIsDueAsync();
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition())));
        Assert.True(grid.Host.Deactivated);
        grid.Host.Crash();
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
        await grid.ActivateAsync();
        await grid.WakeAsync();
        var offsets = new HashSet<long>();
        while (offsets.Count < 2) offsets.Add((await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task One_that_gets_an_endpoint_is_awake_though_a_crash_comes_before_its_progress_is_written()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(new WebhookDefinition { Channels = ["orders"] });
        await grid.PublishAsync("orders");
        await grid.UntilNothingIsDueAsync();
        var hold = new Gate();
        grid.Store.AfterUpdate = hold.PassAsync;
        var updating = grid.CallAsync(g => g.UpdateAsync(endpoint.Inbox.Definition()));
        await hold.Reached;
        grid.Host.Crash();
        hold.Open();
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
        await grid.ActivateAsync();
        await grid.WakeAsync();
        Assert.Equal(1, (await grid.NextAsync(endpoint)).Offset);
    }

    [Fact]
    public async Task A_change_that_was_stored_and_not_answered_waits_for_publishes_when_it_is_made_again()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        var wanted = endpoint.Inbox.Definition() with { Channels = ["orders", "other"] };
        grid.Store.AfterUpdate = static () => throw new Grid.Server.Log.LogUnavailableException("Its answer is lost.");
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CallAsync(g => g.UpdateAsync(wanted)));
        grid.Store.AfterUpdate = static () => Task.CompletedTask;
        await grid.DeactivateAsync();

        // The next activation reads that it has the channels, and cannot know that nobody waited.
        await grid.ActivateAsync();
        var hold = new Gate();
        grid.Barrier = hold.PassAsync;
        var again = grid.CallAsync(g => g.UpdateAsync(wanted));
        await hold.Reached;
        Assert.False(again.IsCompleted);
        hold.Open();
        Assert.NotNull(await again);
        await grid.PublishAsync("other");
        Assert.Equal("other", (await grid.NextAsync(endpoint)).Channel);
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_was_redriven_without_an_answer_is_sent_all_the_same()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.First(1, Answers.Status(400));
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition() with { Schedule = [0] });
        await grid.PublishAsync("orders");
        await grid.UntilAsync(() => grid.Events.Contains("webhook.exhausted"));
        await grid.NextAsync(endpoint);
        grid.Store.AfterPark = static () => throw new Grid.Server.Log.LogUnavailableException("Its answer is lost.");
        await Assert.ThrowsAsync<Grid.Server.Log.LogUnavailableException>(() => grid.CallAsync(g => g.RedriveAsync(null, null)));

        // It is no dead letter any more, and another write does not forget when to look for it.
        Assert.Empty(await grid.CallAsync(g => g.ListDeadLettersAsync(null, 10)) ?? []);
        await grid.PublishAsync("orders");
        var offsets = new HashSet<long>();
        while (offsets.Count < 2) offsets.Add((await grid.NextAsync(endpoint)).Offset);
        Assert.Equal([1, 2], offsets.Order());
        await grid.UntilNothingIsDueAsync();
    }

    [Fact]
    public async Task What_is_delivered_while_the_cursor_moves_to_now_is_not_delivered_again()
    {
        await using var endpoint = new WebhookReceiver();
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(endpoint.Inbox.Definition());
        await grid.PublishAsync("orders");
        await grid.NextAsync(endpoint);
        await grid.UntilNothingIsDueAsync();
        var hold = new Gate();
        var asked = 0;
        grid.Store.AfterHeads = () => Interlocked.Increment(ref asked) == 1 ? hold.PassAsync() : Task.CompletedTask;
        var moving = grid.CallAsync(g => g.SeekAsync(new WebhookStart { Named = "now" }));
        await hold.Reached;
        await grid.PublishAsync("orders");
        Assert.Equal(2, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
        hold.Open();
        Assert.True(await moving);
        await grid.PublishAsync("orders");
        Assert.Equal(3, (await grid.NextAsync(endpoint)).Offset);
        await grid.UntilNothingIsDueAsync();
        Assert.Equal(3, endpoint.Inbox.Count);
    }

    [Fact]
    public async Task One_that_waited_for_its_order_goes_on_without_it_though_a_crash_comes_before_anything_is_delivered()
    {
        await using var endpoint = new WebhookReceiver();
        endpoint.Inbox.Answer = Answers.Status(400);
        await using var grid = new WebhookFixture();
        var definition = endpoint.Inbox.Definition() with { Mode = "ordered", Schedule = [3_600, 3_600] };
        await grid.CreateAsync(definition);
        await grid.PublishAsync("orders");
        await grid.PublishAsync("orders", wake: false);
        await grid.UntilAsync(() => grid.Host.Deactivated, stepMs: 500);
        Assert.False(grid.Store.IsDue(grid.Id, grid.NowMs));
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        endpoint.Inbox.Answer = Answers.Hang;
        Assert.NotNull(await grid.CallAsync(g => g.UpdateAsync(definition with { Mode = "parallel" })));
        grid.Host.Crash();
        Assert.True(grid.Store.IsDue(grid.Id, grid.NowMs));
    }

    private static async Task SettleAsync(WebhookFixture grid)
    {
        for (var turns = 0; turns < 20; turns++) await grid.CallAsync(static _ => Task.FromResult(0));
    }
}

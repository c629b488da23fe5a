using Grid.Abstractions;
using Grid.Server.Webhooks;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class WebhookPullTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);
    private static readonly WebhookDefinition Definition = new() { Channels = ["orders"] };

    [Fact]
    public async Task Messages_are_handed_out_and_acknowledged()
    {
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(Definition);
        for (var i = 0; i < 3; i++) await grid.PublishAsync("orders", $"{i}");
        var two = await PollAsync(grid, 2);
        Assert.Equal([1L, 2L], two.Select(p => p.Message.Offset));
        Assert.Equal([3L], (await PollAsync(grid, 10)).Select(p => p.Message.Offset));
        Assert.Empty(await PollAsync(grid, 10));
        Assert.Equal(2, await grid.CallAsync(g => g.AckAsync([.. two.Select(p => p.Lease), "9.msg_", "x"], [])));
        Assert.Equal(0, await grid.CallAsync(g => g.AckAsync([two[0].Lease], [])));
        Assert.Equal(2, grid.Store.SnapshotOf(grid.Id)!.Channels[0].Floor.Offset);
    }

    [Fact]
    public async Task A_lease_that_ends_gives_its_message_back()
    {
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(Definition);
        await grid.PublishAsync("orders");
        var first = Assert.Single(await PollAsync(grid, 10));
        grid.Time.Advance(Lease - TimeSpan.FromSeconds(1));
        Assert.Empty(await PollAsync(grid, 10));
        grid.Time.Advance(TimeSpan.FromSeconds(2));
        var second = Assert.Single(await PollAsync(grid, 10));
        Assert.Equal((first.MessageId, 1, 2), (second.MessageId, first.Attempt, second.Attempt));
        Assert.NotEqual(first.Lease, second.Lease);
        Assert.Equal(0, await grid.CallAsync(g => g.AckAsync([first.Lease], [])));
        Assert.Equal(0, await grid.CallAsync(g => g.AckAsync([], [second.Lease])));
        var third = Assert.Single(await PollAsync(grid, 1));
        Assert.Equal(1, await grid.CallAsync(g => g.AckAsync([third.Lease], [])));
    }

    [Fact]
    public async Task Nothing_is_woken_for_who_polls_and_nothing_is_lost_with_an_activation()
    {
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(Definition with { Mode = "ordered" });
        await grid.PublishAsync("orders");
        await grid.PublishAsync("orders");
        await grid.UntilNothingIsDueAsync();
        Assert.Equal([1L], (await PollAsync(grid, 10)).Select(p => p.Message.Offset));
        await grid.DeactivateAsync();
        await grid.ActivateAsync();
        var again = Assert.Single(await PollAsync(grid, 10));
        Assert.Equal(1, again.Message.Offset);
        Assert.Equal(1, await grid.CallAsync(g => g.AckAsync([again.Lease], [])));
        Assert.Equal(2, Assert.Single(await PollAsync(grid, 10)).Message.Offset);
        Assert.False(grid.Host.Deactivated);
    }

    [Fact]
    public async Task A_message_that_is_kept_for_hours_lets_nothing_gather_behind_it()
    {
        const int Batch = 100;
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(Definition);
        for (var i = 0; i <= Batch; i++) await grid.PublishAsync("orders");
        var hours = TimeSpan.FromHours(12);
        var kept = Assert.Single((await grid.CallAsync(g => g.PollAsync(1, hours)))!);
        for (var handedOut = 0; handedOut <= WebhookGrain.MaxLeaseEnds; handedOut += Batch)
        {
            var polled = (await grid.CallAsync(g => g.PollAsync(Batch, hours)))!;
            Assert.Equal(Batch, polled.Length);
            await grid.CallAsync(g => g.AckAsync([], [.. polled.Select(p => p.Lease)]));
        }

        Assert.InRange(grid.Grain.LeaseEnds, 1, 3 * Batch);
        Assert.Equal(1, await grid.CallAsync(g => g.AckAsync([kept.Lease], [])));
    }

    [Fact]
    public async Task A_poll_reads_as_much_as_is_wanted()
    {
        await using var grid = new WebhookFixture();
        await grid.CreateAsync(Definition);
        for (var i = 0; i < 300; i++) await grid.PublishAsync("orders");
        Assert.Equal(200, (await PollAsync(grid, 200)).Length);
        Assert.Equal(100, (await PollAsync(grid, 200)).Length);
    }

    private static async Task<WebhookPulled[]> PollAsync(WebhookFixture grid, int limit) => (await grid.CallAsync(g => g.PollAsync(limit, Lease)))!;
}

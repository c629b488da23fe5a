using Grid.Server.Log;
using Grid.Server.Sessions;
using Grid.Testing.Servers;
using StackExchange.Redis;

namespace Grid.ClusterTests.Sessions;

public sealed class RedisSessionIndexTests : IAsyncLifetime, IDisposable
{
    private static readonly DateTimeOffset Noon = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private RedisServer _server = null!;
    private RedisParts _redis = null!;

    public async Task InitializeAsync()
    {
        _server = await RedisServer.RunAsync();
        _redis = new RedisParts(_server);
    }

    public async Task DisposeAsync() => await _server.DisposeAsync();

    public void Dispose() => _redis?.Dispose();

    [Fact]
    public async Task Sessions_are_found_by_user_and_by_due_time_and_not_after_removal()
    {
        var index = _redis.Index;
        await index.SetAsync(new("t1", "s1", "ana", Noon));
        await index.SetAsync(new("t1", "s2", "ana", Noon.AddMinutes(1)));
        await index.SetAsync(new("t1", "s3", "bob", Noon.AddMinutes(2)));
        await index.SetAsync(new("t2", "s1", "ana", Noon.AddMinutes(3)));

        Assert.Equal(
            [new SessionIndexEntry("t1", "s1", "ana", Noon), new SessionIndexEntry("t1", "s2", "ana", Noon.AddMinutes(1))],
            await index.ByUserAsync("t1", "ana", 10));
        Assert.Single(await index.ByUserAsync("t1", "ana", 1));
        Assert.Empty(await index.ByUserAsync("t1", "carl", 10));
        Assert.Empty(await index.DueAsync(Noon.AddTicks(-TimeSpan.TicksPerMillisecond), 10));
        Assert.Equal(["s1", "s2"], (await index.DueAsync(Noon.AddMinutes(1), 10)).Select(e => e.Session));

        await index.RemoveAsync("t1", "s1");
        await index.RemoveAsync("t1", "s1");
        Assert.Equal(["s2"], (await index.ByUserAsync("t1", "ana", 10)).Select(e => e.Session));
        foreach (var (tenant, session) in ((string, string)[])[("t1", "s2"), ("t1", "s3"), ("t2", "s1")]) await index.RemoveAsync(tenant, session);
        Assert.Equal(0, await _server.CountKeysAsync());
    }

    [Fact]
    public async Task A_later_entry_replaces_the_earlier_one_and_its_user()
    {
        var index = _redis.Index;
        await index.SetAsync(new("t", "s", "ana", Noon));
        await index.SetAsync(new("t", "s", "", Noon.AddHours(1)));
        Assert.Empty(await index.ByUserAsync("t", "ana", 10));
        Assert.Empty(await index.DueAsync(Noon.AddMinutes(59), 10));
        Assert.Equal([new SessionIndexEntry("t", "s", "", Noon.AddHours(1))], await index.DueAsync(Noon.AddHours(1), 10));
        await index.RemoveAsync("t", "s");
        Assert.Equal(0, await _server.CountKeysAsync());
    }

    [Fact]
    public async Task Names_may_hold_whatever_a_user_name_may()
    {
        const string User = "a/b {c}:*? 'é' \"日本\"";
        await _redis.Index.SetAsync(new("t", "s", User, Noon));
        Assert.Equal([new SessionIndexEntry("t", "s", User, Noon)], await _redis.Index.ByUserAsync("t", User, 10));
        Assert.Equal(User, Assert.Single(await _redis.Index.DueAsync(Noon, 10)).User);
    }

    [Fact]
    public async Task Two_sweepers_share_the_work_and_one_that_dies_keeps_it_only_for_a_lease()
    {
        using var other = new RedisParts(_server);
        for (var i = 0; i < 100; i++) await _redis.Index.SetAsync(new("t", $"s{i:00}", "ana", Noon.AddMilliseconds(i)));

        // Both ask at once, again and again: no session goes to both.
        var now = Noon.AddMinutes(1);
        var taken = await Task.WhenAll(Enumerable.Range(0, 10).Select(
            async i => await (i % 2 == 0 ? _redis : other).Index.DueAsync(now, 10)));
        Assert.Equal(100, taken.Sum(t => t.Count));
        Assert.Equal(100, taken.SelectMany(t => t).Select(e => e.Session).Distinct(StringComparer.Ordinal).Count());
        Assert.Empty(await other.Index.DueAsync(now, 10));

        // One was dealt with: forgotten. One was told to wait. The sweeper died before the others.
        await _redis.Index.RemoveAsync("t", "s00");
        await _redis.Index.SetAsync(new("t", "s01", "ana", Noon.AddHours(1)));
        Assert.Empty(await other.Index.DueAsync(now + RedisSessionIndex.Lease - TimeSpan.FromMilliseconds(1), 1000));
        Assert.Equal(98, (await other.Index.DueAsync(now + RedisSessionIndex.Lease, 1000)).Count);

        // Who lists a user's sessions sees no leases.
        Assert.Equal(99, (await _redis.Index.ByUserAsync("t", "ana", 1000)).Count);
    }

    [Fact]
    public async Task Two_grids_on_one_Redis_do_not_see_each_other()
    {
        using var other = new RedisParts(_server, "other");
        await _redis.Index.SetAsync(new("t", "s", "ana", Noon));
        Assert.Empty(await other.Index.ByUserAsync("t", "ana", 10));
        Assert.Empty(await other.Index.DueAsync(Noon, 10));
        await other.Index.RemoveAsync("t", "s");
        Assert.Single(await _redis.Index.DueAsync(Noon, 10));
    }

    [Fact]
    public async Task All_keys_of_a_grid_lie_in_one_slot_of_a_cluster()
    {
        await _redis.Index.SetAsync(new("t", "s", "ana", Noon));
        await _redis.Loss.ReadAsync();
        RedisKey[] keys = [_redis.Keys.Due, _redis.Keys.Entries, _redis.Keys.Marker, _redis.Keys.User("t", "ana"), _redis.Keys.State("session", "t/s")];
        var redis = await _redis.Connection.GetAsync();
        Assert.Single(keys.Select(k => redis.HashSlot(k)).Distinct());
    }

    [Fact]
    public async Task An_entry_keeps_its_state_from_expiring()
    {
        var (database, state) = (await _redis.DatabaseAsync(), _redis.Keys.State(SessionGrain.StateName, "t/s"));
        await database.HashSetAsync(state, "data", "x");
        await database.KeyExpireAsync(state, TimeSpan.FromMinutes(1));
        await _redis.Index.SetAsync(new("t", "s", "ana", Noon));
        Assert.InRange((await database.KeyTimeToLiveAsync(state))!.Value, TimeSpan.FromDays(2), TimeSpan.FromDays(2.1));
    }

    [Fact]
    public async Task It_is_out_of_reach_while_Redis_is_away_and_back_with_it()
    {
        await _redis.Index.SetAsync(new("t", "s", "ana", Noon));
        await _server.KillAsync();
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await _redis.Index.SetAsync(new("t", "s", "ana", Noon)));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await _redis.Index.DueAsync(Noon, 1));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await _redis.Index.ByUserAsync("t", "ana", 1));
        await _server.StartAsync();
        await RedisConnectionTests.BackAsync(_redis);
        await _redis.Index.SetAsync(new("t", "s", "ana", Noon));
        Assert.Single(await _redis.Index.DueAsync(Noon, 1));
    }
}

using Grid.Server.Log;
using Grid.Testing.Servers;

namespace Grid.ClusterTests.Sessions;

/// <summary>What the marker in Redis says after everything that may happen to a Redis.</summary>
public sealed class RedisSessionLossTests
{
    private static readonly TimeSpan LongAgo = TimeSpan.FromHours(1);

    [Fact]
    public async Task A_Redis_that_keeps_running_has_lost_nothing_since_it_was_first_seen()
    {
        await using var server = await RedisServer.RunAsync();
        using var one = new RedisParts(server);
        using var two = new RedisParts(server);
        var first = await one.Loss.ReadAsync();
        Assert.True(first.KnowsRun);
        Assert.True(first.Age < LongAgo);
        await AgeAsync(server, one, LongAgo);
        var later = await two.Loss.ReadAsync();
        Assert.Equal(first.Id, later.Id);
        Assert.True(later.Age >= LongAgo);
        Assert.False(await one.Loss.MayHaveHappenedAsync(LongAgo / 2));
        Assert.True(await one.Loss.MayHaveHappenedAsync(LongAgo * 2));
    }

    [Fact]
    public async Task A_flush_is_seen_by_the_very_next_question_and_by_all_alike()
    {
        await using var server = await RedisServer.RunAsync();
        using var one = new RedisParts(server);
        using var two = new RedisParts(server);
        var before = await one.Loss.ReadAsync();
        await two.Loss.ReadAsync();
        await AgeAsync(server, one, LongAgo);
        await server.FlushAsync();
        var seen = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? one : two).Loss.ReadAsync().AsTask()));
        Assert.NotEqual(before.Id, seen[0].Id);
        Assert.All(seen, marker => Assert.Equal(seen[0].Id, marker.Id));
        Assert.True(await two.Loss.MayHaveHappenedAsync(LongAgo / 2));
    }

    [Fact]
    public async Task A_policy_that_drops_keys_is_seen_where_there_is_a_limit_of_memory()
    {
        await using var server = await RedisServer.RunAsync();
        using var redis = new RedisParts(server);
        await server.CommandAsync("CONFIG", "SET", "maxmemory-policy", "volatile-lru");
        Assert.Null(await redis.Loss.ReadEvictionAsync());
        await server.CommandAsync("CONFIG", "SET", "maxmemory", "100mb");
        Assert.Equal("volatile-lru", await redis.Loss.ReadEvictionAsync());
        await server.CommandAsync("CONFIG", "SET", "maxmemory-policy", "noeviction");
        Assert.Null(await redis.Loss.ReadEvictionAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_restart_may_have_lost_the_last_moments_even_with_a_file(bool appendOnly)
    {
        await using var server = await RedisServer.RunAsync(appendOnly);
        using var redis = new RedisParts(server);
        var before = await redis.Loss.ReadAsync();
        await AgeAsync(server, redis, LongAgo);
        if (appendOnly) await server.StopAsync();
        else await server.KillAsync();
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await redis.Loss.MayHaveHappenedAsync(LongAgo));
        await server.StartAsync();
        await RedisConnectionTests.BackAsync(redis);
        Assert.NotEqual(before.Id, (await redis.Loss.ReadAsync()).Id);
        Assert.True(await redis.Loss.MayHaveHappenedAsync(LongAgo / 2));
    }

    [Fact]
    public async Task Another_Redis_in_its_place_has_lost_everything()
    {
        var server = await RedisServer.RunAsync();
        using var redis = new RedisParts(server);
        var before = await redis.Loss.ReadAsync();
        await server.DisposeAsync();
        await using var other = await RedisServer.RunAsync(port: server.Port);
        await RedisConnectionTests.BackAsync(redis);
        Assert.NotEqual(before.Id, (await redis.Loss.ReadAsync()).Id);
    }

    [Fact]
    public async Task A_replica_that_takes_over_is_another_run()
    {
        await using var server = await RedisServer.RunAsync();
        using var redis = new RedisParts(server);
        var before = await redis.Loss.ReadAsync();
        await AgeAsync(server, redis, LongAgo);

        // As a failover leaves it: the same data, another run.
        await using var replica = await RedisServer.RunAsync();
        await replica.CommandAsync("REPLICAOF", "127.0.0.1", server.Port.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var deadline = Testing.TestDeadline.In(30);
        await deadline.UntilAsync(async () => await replica.CountKeysAsync() > 0, () => "the replica has the data");
        await replica.CommandAsync("REPLICAOF", "NO", "ONE");
        using var after = new RedisParts(replica);
        var marker = await after.Loss.ReadAsync();
        Assert.NotEqual(before.Id, marker.Id);
        Assert.True(marker.Age < LongAgo);
    }

    [Fact]
    public async Task Without_INFO_missing_state_counts_as_lost_and_a_flush_is_still_seen()
    {
        await using var server = await RedisServer.RunAsync();
        await server.CommandAsync("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-info");
        using var redis = new RedisParts($"{server.EndPoint},user=limited,password=secret");
        var before = await redis.Loss.ReadAsync();
        Assert.False(before.KnowsRun);
        Assert.Equal(before.Id, (await redis.Loss.ReadAsync()).Id);
        await AgeAsync(server, redis, LongAgo);
        Assert.True(await redis.Loss.MayHaveHappenedAsync(LongAgo / 2));
        await server.FlushAsync();
        Assert.NotEqual(before.Id, (await redis.Loss.ReadAsync()).Id);
    }

    [Fact]
    public async Task A_Redis_that_hangs_is_out_of_reach_and_not_waited_for()
    {
        await using var server = await RedisServer.RunAsync();
        using var redis = new RedisParts(server);
        await redis.Loss.ReadAsync();
        server.Pause();
        try
        {
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await redis.Loss.MayHaveHappenedAsync(LongAgo));
        }
        finally
        {
            server.Continue();
        }

        await RedisConnectionTests.BackAsync(redis);
        await redis.Loss.ReadAsync();
    }

    /// <summary>Makes the marker older than it is.</summary>
    internal static async Task AgeAsync(RedisServer server, RedisParts redis, TimeSpan age)
    {
        var marker = redis.Keys.Marker.ToString();
        var since = DateTimeOffset.UtcNow - age - TimeSpan.FromSeconds(1);
        await server.CommandAsync(
            "HSET", marker, "since", since.ToUnixTimeMilliseconds().ToString(System.Globalization.CultureInfo.InvariantCulture));
    }
}

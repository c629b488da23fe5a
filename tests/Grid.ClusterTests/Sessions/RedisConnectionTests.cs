using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Sessions;
using Grid.Testing;
using Grid.Testing.Servers;

namespace Grid.ClusterTests.Sessions;

/// <summary>What the person who starts a silo is told of its Redis.</summary>
public sealed class RedisConnectionTests
{
    [Theory]
    [InlineData("")]
    [InlineData("password=hunter2")]
    [InlineData("localhost:6379,pasword=hunter2")]
    [InlineData("localhost:6379,connectTimeout=hunter2")]
    [InlineData("redis://:hunter2@localhost:6379")]
    public void A_connection_string_that_is_none_is_refused_in_plain_words_without_its_password(string text)
    {
        var refusal = Assert.Throws<GridStartupException>(() => RedisConnection.Parse(text));
        Assert.Contains("ConnectionStrings__Redis", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_connection_string_says_of_timeouts_is_kept()
    {
        var options = RedisConnection.Parse("localhost,asyncTimeout=7000,name=mine");
        Assert.Equal((7000, 2000, "mine"), (options.AsyncTimeout, options.ConnectTimeout, options.ClientName));
    }

    [Fact]
    public async Task Nobody_there_is_said_with_the_address()
    {
        var port = FreePort.Next();
        using var redis = new RedisParts($"127.0.0.1:{port},password=hunter2") { Connection = { StartPatience = TimeSpan.FromSeconds(2) } };
        var refusal = await Assert.ThrowsAsync<GridStartupException>(() => redis.Connection.OpenAsync(default));
        Assert.Contains($"127.0.0.1:{port}", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refusal.Message, StringComparison.Ordinal);
        Assert.True(refusal.MayPass);

        // Who asks later is told that it is out of reach, and finds it once it is there.
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await redis.Loss.ReadAsync());
        await using var server = await RedisServer.RunAsync(password: "hunter2", port: port);
        redis.Connection.StartPatience = TimeSpan.FromMinutes(1);
        await redis.Connection.OpenAsync(default);
        Assert.True(await redis.Connection.IsUsableAsync(default));
    }

    [Theory]
    [InlineData(",password=hunter2")]
    [InlineData("")]
    public async Task A_wrong_password_is_said_and_not_waited_for(string wrong)
    {
        await using var server = await RedisServer.RunAsync(password: "right");
        using var redis = new RedisParts(server.EndPoint + wrong);

        // That it is not waited for shows in what is said: after this time it would be that it was waited for.
        redis.Connection.StartPatience = TimeSpan.FromMinutes(2);
        var refusal = await Assert.ThrowsAsync<GridStartupException>(() => redis.Connection.OpenAsync(default));
        Assert.False(refusal.MayPass);
        Assert.Contains("refuses the user or password", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_Redis_that_comes_up_late_is_waited_for()
    {
        var port = FreePort.Next();
        using var redis = new RedisParts($"127.0.0.1:{port}") { Connection = { StartPatience = TimeSpan.FromSeconds(60) } };
        var opening = redis.Connection.OpenAsync(default);
        await using var server = await RedisServer.RunAsync(port: port);
        await opening;
        Assert.Equal($"Redis at 127.0.0.1:{port}", redis.Connection.Description);
    }

    [Fact]
    public async Task A_start_that_waits_can_be_called_off()
    {
        using var redis = new RedisParts($"127.0.0.1:{FreePort.Next()}") { Connection = { StartPatience = TimeSpan.FromHours(1) } };
        using var stop = new CancellationTokenSource();
        var opening = redis.Connection.OpenAsync(stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => opening);
    }

    [Fact]
    public async Task A_Redis_that_takes_no_writes_is_not_usable()
    {
        await using var server = await RedisServer.RunAsync();
        using var redis = new RedisParts(server);
        Assert.True(await redis.Connection.IsUsableAsync(default));
        await server.CommandAsync("CONFIG", "SET", "maxmemory", "1");
        await Assert.ThrowsAnyAsync<Exception>(async () => await redis.Connection.IsUsableAsync(default));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await redis.Index.SetAsync(new("t", "s", "ana", DateTimeOffset.UtcNow)));
    }

    /// <summary>Waits until the connection has come back by itself.</summary>
    internal static async Task BackAsync(RedisParts redis)
    {
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () =>
            {
                try
                {
                    return await redis.Connection.IsUsableAsync(deadline.Token);
                }
                catch (Exception e) when (Outage.Is(e))
                {
                    return false;
                }
            },
            () => "the connection to Redis is back");
    }
}

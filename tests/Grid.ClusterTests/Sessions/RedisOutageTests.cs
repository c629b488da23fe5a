using System.Net;
using Grid.Testing;
using Grid.Testing.Servers;
using Grid.Testing.Wire;

namespace Grid.ClusterTests.Sessions;

/// <summary>Redis goes and comes back while sockets live: messages flow, what needs Redis says so quickly, and all heals by itself.</summary>
public sealed class RedisOutageTests : IAsyncLifetime
{
    private RedisServer _redis = null!;

    public async Task InitializeAsync() => _redis = await RedisServer.RunAsync(appendOnly: true);

    public async Task DisposeAsync() => await _redis.DisposeAsync();

    [Theory]
    [InlineData("killed")]
    [InlineData("hanging")]
    public async Task Away_and_back(string how)
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var client = await host.OpenAsync("ana");
        var token = await host.Http.TokenAsync("bob");
        Assert.Equal("subscribed", (await client.SubscribeAsync("room:1")).Type);
        await ReadyAsync(host, ready: true);
        await host.CollectAsync();

        if (how == "killed") await _redis.KillAsync();
        else _redis.Pause();
        await ReadyAsync(host, ready: false);

        // Messages do not need it.
        for (var i = 1; i <= 20; i++)
        {
            await host.Http.PublishAsync("room:1", "1");
            await client.MessageAsync("room:1", i);
        }

        client.Ack("room:1", 20);

        // A subscribe does, and says so; so does a hello, and the API.
        var refused = await client.SubscribeAsync("room:2");
        Assert.Equal(("error", "unavailable"), (refused.Type, refused.Code));
        await using (var hello = await RawClient.ConnectAsync(host.Address, new RawClientOptions { Token = token }))
        {
            hello.Send(ClientFrames.Hello());
            Assert.Equal(4003, (await hello.ClosedAsync()).Code);
        }

        var listed = await host.Http.GetAsync("/v1/sessions?user=ana");
        Assert.True(listed.Status == HttpStatusCode.ServiceUnavailable, string.Join('\n', host.Log));
        Assert.Equal("application/problem+json", listed.ContentType);
        Assert.NotNull(listed.Headers.RetryAfter);
        var closing = await host.Http.SendAsync(HttpMethod.Delete, "/v1/sessions/s_0123456789");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "unavailable"), (closing.Status, closing.Json.GetProperty("code").GetString()));

        // What the session has is confirmed without it.
        Assert.Equal("subscribed", (await client.SubscribeAsync("room:1")).Type);

        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            () => host.Log.Any(line => line.Contains("Redis is out of reach", StringComparison.Ordinal)), () => "the log says it");
        if (how == "killed") await _redis.StartAsync();
        else _redis.Continue();
        await ReadyAsync(host, ready: true);
        await deadline.UntilAsync(async () => (await client.SubscribeAsync("room:2")).Type == "subscribed", () => "subscribing works again");

        // The cursor moved while Redis was away arrives in it without anything else that the client does.
        await deadline.UntilAsync(
            async () =>
            {
                await host.CollectAsync();
                return await host.Session(client.Welcome!.Session).DescribeAsync() is { Channels.Length: 2 };
            },
            () => "the session is whole in Redis");
        await host.Http.PublishAsync("room:1", "1");
        await client.MessageAsync("room:1", 21);
        await client.CloseAsync();
        await using var again = await host.OpenAsync("ana", new RawResume(client.Welcome!.Session, client.Welcome.ResumeToken));
        Assert.Equal("resumed", again.Welcome!.State);
        Assert.Equal(20, again.Welcome.Subscriptions["room:1"].Cursor);

        // One line says that it was away, and none per session that something was wrong.
        Assert.Single(host.Log, line => line.Contains("Redis is out of reach", StringComparison.Ordinal));
        Assert.True(!host.Errors.Any(), string.Join('\n', host.Errors));
        Assert.DoesNotContain(host.Log, line => line.Contains("could not be", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_client_that_floods_a_store_that_hangs_is_not_read_from()
    {
        await using var host = await SessionHost.RunAsync(_redis, o => o.Heartbeat = TimeSpan.FromMinutes(5));

        // Thousands of answers, one write each, are more than one wait is meant for.
        await using var client = await host.OpenAsync("ana", timeout: TimeSpan.FromMinutes(3));
        for (var i = 0; i < 4; i++) await client.SubscribeAsync($"room:{i}");
        _redis.Pause();
        const int Pairs = 2000;
        for (var i = 0; i < Pairs; i++)
        {
            client.Send(ClientFrames.Subscribe(client.NextId(), "room:9"));
            client.Send(ClientFrames.Unsubscribe(client.NextId(), "room:9"));
        }

        // As many as are allowed to wait are answered together when the store's time is up; in the end all are, one way or another.
        _redis.Continue();
        await client.WaitAsync(f => f.Id == 2 * Pairs + 4, "the last answer");
        await client.PingAsync();
        Assert.True(!host.Errors.Any(), string.Join('\n', host.Errors));
    }

    private static async Task ReadyAsync(SessionHost host, bool ready)
    {
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () =>
            {
                var answer = await host.Http.GetAsync("/readyz");
                return answer.Json.GetProperty("checks").GetProperty("redis").GetBoolean() == ready
                    && answer.Status == (ready ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable);
            },
            () => $"readyz says {(ready ? "ready" : "not ready")}");
    }
}

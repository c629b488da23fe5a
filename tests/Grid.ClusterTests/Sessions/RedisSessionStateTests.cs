using System.Net;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Sessions;
using Grid.Testing;
using Grid.Testing.Servers;
using Grid.Testing.Wire;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;

namespace Grid.ClusterTests.Sessions;

/// <summary>A session's life in Redis: what is stored comes back, what was lost is rebuilt, and nothing stays behind.</summary>
public sealed class RedisSessionStateTests : IAsyncLifetime
{
    private RedisServer _redis = null!;

    public async Task InitializeAsync() => _redis = await RedisServer.RunAsync();

    public async Task DisposeAsync() => await _redis.DisposeAsync();

    [Fact]
    public async Task State_survives_its_activation_in_Redis()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        var (session, silo) = (host.Session("s_1"), Silo(host));
        var attached = await session.AttachAsync(new SessionAttach { User = "ana", Silo = silo });
        Assert.Equal((WelcomeState.New, 1L), (attached.State, attached.Generation));
        var at = new Position("é", 12_345_678_901);
        await session.ChangeAsync(new SessionChange { Generation = 1, Set = new() { ["room:1"] = at }, Removed = [] });
        await host.CollectAsync();

        var resumed = await session.AttachAsync(new SessionAttach { User = "ana", Silo = silo, Resume = true, TokenGeneration = 1 });
        Assert.Equal((WelcomeState.Resumed, 2L), (resumed.State, resumed.Generation));
        Assert.Equal(at, resumed.Subscriptions["room:1"]);
        Assert.Equal("s_1", Assert.Single(await host.Services.GetRequiredService<ISessionIndex>().ByUserAsync("default", "ana", 10)).Session);
        Assert.Empty(host.Errors);
    }

    [Fact]
    public async Task After_a_flush_an_activation_with_the_old_state_goes_and_a_full_report_brings_all_back()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        var (session, silo) = (host.Session("s_1"), Silo(host));
        await session.AttachAsync(new SessionAttach { User = "ana", Silo = silo, TokenGeneration = 6 });
        var change = new SessionChange { Generation = 7, Set = new() { ["room:1"] = new Position("e", 1) }, Removed = [] };
        Assert.Equal(SessionCallStatus.Ok, await session.ChangeAsync(change));
        await _redis.FlushAsync();

        // The provider answers a conflict, the activation goes, and the next one knows nothing.
        await Assert.ThrowsAsync<InconsistentStateException>(() => session.ChangeAsync(change));
        Assert.Equal(SessionCallStatus.Unknown, await session.ChangeAsync(change));
        var report = new SessionCheckpoint { Generation = 7, User = "ana", Silo = silo, Cursors = new() { ["room:1"] = new Position("e", 5) } };
        Assert.Equal(SessionCallStatus.Ok, await session.CheckpointAsync(report));

        // The generation survived: an older socket is fenced, and the next one is above it. The index has the session again.
        Assert.Equal(SessionCallStatus.Fenced, await session.CheckpointAsync(report with { Generation = 6 }));
        Assert.Single(await host.Services.GetRequiredService<ISessionIndex>().ByUserAsync("default", "ana", 10));
        await host.CollectAsync();
        var resumed = await session.AttachAsync(new SessionAttach { User = "ana", Silo = silo, Resume = true, TokenGeneration = 7 });
        Assert.Equal((WelcomeState.Resumed, 8L, new Position("e", 5)), (resumed.State, resumed.Generation, resumed.Subscriptions["room:1"]));
    }

    [Fact]
    public async Task A_socket_does_not_notice_that_its_session_was_flushed()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var client = await host.OpenAsync("ana");
        Assert.Equal("subscribed", (await client.SubscribeAsync("room:1")).Type);
        await _redis.FlushAsync();
        Assert.Equal("subscribed", (await client.SubscribeAsync("room:2")).Type);
        await host.Http.PublishAsync("room:1", "1");
        await client.MessageAsync("room:1", 1);
        await host.CollectAsync();
        var stored = (await host.Session(client.Welcome!.Session).DescribeAsync())!;
        Assert.Equal(["room:1", "room:2"], stored.Channels.Order(StringComparer.Ordinal));
        Assert.Empty(host.Errors);
    }

    [Theory]
    [InlineData("flush")]
    [InlineData("restart")]
    public async Task Idle_sessions_are_in_Redis_again_soon_after_a_loss(string loss)
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var ana = await host.OpenAsync("ana");
        await using var bob = await host.OpenAsync("bob");
        await ana.SubscribeAsync("room:1");
        await bob.SubscribeAsync("room:2");
        await host.CollectAsync();
        if (loss == "flush")
        {
            await _redis.FlushAsync();
        }
        else
        {
            await _redis.KillAsync();
            await _redis.StartAsync();
        }

        // Neither client does anything, and neither notices.
        await EventuallyListedAsync(host, "ana", "room:1");
        await EventuallyListedAsync(host, "bob", "room:2");
        Assert.Contains(host.Log, line => line.Contains("reported again", StringComparison.Ordinal));
        Assert.False(ana.Closed.IsCompleted || bob.Closed.IsCompleted);
        Assert.Empty(host.Errors);
    }

    [Fact]
    public async Task A_session_that_Redis_lost_is_rebuilt_from_token_and_cursors_and_expires_without()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        var first = await host.OpenAsync("ana");
        var epoch = (await first.SubscribeAsync("room:1")).Epoch;
        await host.Http.PublishAsync("room:1", "1");
        await host.Http.PublishAsync("room:1", "2");
        await first.MessageAsync("room:1", 2);
        await first.CloseAsync();
        await DetachedAsync(host, first);
        await host.CollectAsync();

        // Long enough ago that only a loss seen right now can explain it.
        using var parts = new RedisParts(_redis);
        await RedisSessionLossTests.AgeAsync(_redis, parts, TimeSpan.FromDays(1));
        await _redis.FlushAsync();
        await using (var without = await host.OpenAsync("ana", new RawResume(first.Welcome!.Session, first.Welcome.ResumeToken)))
            Assert.Equal("expired", without.Welcome!.State);

        await using var again = await host.OpenAsync("ana", new RawResume(
            first.Welcome!.Session, first.Welcome.ResumeToken, new Dictionary<string, RawPosition> { ["room:1"] = new(epoch, 1) }));
        Assert.Equal(("resumed", first.Welcome.Session), (again.Welcome!.State, again.Welcome.Session));
        await again.MessageAsync("room:1", 2);
        Assert.Equal([2L], again.Messages("room:1").Select(m => m.Offset));
        await first.DisposeAsync();
    }

    [Fact]
    public async Task A_session_that_expired_is_not_rebuilt()
    {
        await using var host = await SessionHost.RunAsync(_redis, o => o.ResumeWindow = TimeSpan.FromSeconds(1));
        var first = await host.OpenAsync("ana");
        var epoch = (await first.SubscribeAsync("room:1")).Epoch;
        await first.CloseAsync();
        using var parts = new RedisParts(_redis);
        await RedisSessionLossTests.AgeAsync(_redis, parts, TimeSpan.FromDays(1));
        await NothingLeftAsync();
        await using var again = await host.OpenAsync("ana", new RawResume(
            first.Welcome!.Session, first.Welcome.ResumeToken, new Dictionary<string, RawPosition> { ["room:1"] = new(epoch, 0) }));
        Assert.Equal("expired", again.Welcome!.State);
        await first.DisposeAsync();
    }

    [Fact]
    public async Task An_expired_session_leaves_nothing_behind()
    {
        await using var host = await SessionHost.RunAsync(_redis, o => o.ResumeWindow = TimeSpan.FromSeconds(1));
        for (var i = 0; i < 5; i++)
        {
            await using var client = await host.OpenAsync($"user{i}");
            await client.SubscribeAsync("room:1");
            await client.CloseAsync();
        }

        await NothingLeftAsync();
        Assert.Empty(host.Errors);
    }

    [Fact]
    public async Task A_state_without_an_index_entry_expires_by_itself()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var client = await host.OpenAsync("ana");
        await client.SubscribeAsync("room:1");
        using var parts = new RedisParts(_redis);
        var state = parts.Keys.State(SessionGrain.StateName, $"default/{client.Welcome!.Session}").ToString();
        var ttl = long.Parse((await _redis.CommandAsync("TTL", state)).TrimStart(':'), System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(ttl, TimeSpan.FromDays(1).TotalSeconds, TimeSpan.FromDays(3).TotalSeconds);
    }

    [Fact]
    public async Task A_session_closed_by_an_operator_stays_closed()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var client = await host.OpenAsync("ana");
        var epoch = (await client.SubscribeAsync("room:1")).Epoch;
        var deleted = await host.Http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{client.Welcome!.Session}");
        Assert.Equal(HttpStatusCode.NoContent, deleted.Status);
        Assert.Equal(4503, (await client.ClosedAsync()).Code);
        await host.CollectAsync();
        await using var again = await host.OpenAsync("ana", new RawResume(
            client.Welcome.Session, client.Welcome.ResumeToken, new Dictionary<string, RawPosition> { ["room:1"] = new(epoch, 0) }));
        Assert.Equal("expired", again.Welcome!.State);
    }

    [Fact]
    public async Task A_session_whose_state_was_lost_stays_closed_too()
    {
        await using var host = await SessionHost.RunAsync(_redis);
        await using var client = await host.OpenAsync("ana");
        var epoch = (await client.SubscribeAsync("room:1")).Epoch;
        await host.CollectAsync();
        await _redis.FlushAsync();

        // Only the socket shows that there is such a session. After a loss its token and cursors would else bring it back.
        var deleted = await host.Http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{client.Welcome!.Session}");
        Assert.Equal(HttpStatusCode.NoContent, deleted.Status);
        Assert.Equal(4503, (await client.ClosedAsync()).Code);
        await host.CollectAsync();
        await using var again = await host.OpenAsync("ana", new RawResume(
            client.Welcome.Session, client.Welcome.ResumeToken, new Dictionary<string, RawPosition> { ["room:1"] = new(epoch, 0) }));
        Assert.Equal("expired", again.Welcome!.State);
    }

    internal static async Task EventuallyListedAsync(SessionHost host, string user, string channel)
    {
        var index = host.Services.GetRequiredService<ISessionIndex>();
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () =>
            {
                try
                {
                    if (await index.ByUserAsync("default", user, 10) is not [var entry]) return false;
                    await host.CollectAsync();
                    return (await host.Session(entry.Session).DescribeAsync())?.Channels is [var only] && only == channel;
                }
                catch (Exception e) when (Server.Hosting.Outage.Is(e))
                {
                    return false;
                }
            },
            () => $"the session of {user} with {channel} is in Redis; log:\n{string.Join('\n', host.Log)}");
    }

    private static SiloAddress Silo(SessionHost host) => host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress;

    /// <summary>Waits until the session's last report was stored.</summary>
    private static async Task DetachedAsync(SessionHost host, RawClient client)
    {
        using var deadline = TestDeadline.In(30);
        await deadline.UntilAsync(
            async () => await host.Session(client.Welcome!.Session).DescribeAsync() is { Connected: false }, () => "the session is detached");
    }

    /// <summary>Waits until only the marker, and what the readiness check writes, are in Redis.</summary>
    private async Task NothingLeftAsync()
    {
        using var parts = new RedisParts(_redis);
        await parts.Loss.ReadAsync();
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () =>
            {
                await _redis.CommandAsync("DEL", parts.Keys.Probe.ToString());
                return await _redis.CountKeysAsync() == 1;
            },
            () => "no session is left in Redis");
    }
}

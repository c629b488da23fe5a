using System.Net;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.ClusterTests.Focused;

/// <summary>PostgreSQL and Redis go away and come back; what does not need them goes on, the rest says so and heals by itself.</summary>
public class StoreOutageTests(SharedCluster shared) : FocusedTest(shared)
{
    [Fact]
    public Task Without_postgres_publishes_are_unavailable_sockets_stay_and_all_heals_by_itself() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        using var http = HttpOf(Silos[2]);
        await publisher.PublishAsync(channel, "1", key: "k1");
        await subscriber.MessageAsync(channel, 1);
        await Cluster.Postgres.StopAsync();
        try
        {
            var refused = await publisher.PublishAsync(channel, "2", key: "k2");
            Assert.Equal("error", refused.Type);
            Assert.Equal("unavailable", refused.Code);
            var answer = await http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":3,"key":"k3"}""");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.Status);
            Assert.Equal("application/problem+json", answer.ContentType);
            Assert.Equal("unavailable", answer.Json.GetProperty("code").GetString());
            Assert.NotNull(answer.Headers.RetryAfter);
            await publisher.PingAsync();
            await subscriber.PingAsync();

            // A channel that is not active anywhere answers the same, and its activation does not fail again and again.
            var asleep = NewChannel();
            Assert.Equal("unavailable", (await publisher.PublishAsync(asleep, "1", key: "k1")).Code);
            Assert.DoesNotContain(Silos.SelectMany(s => s.Host.Output.Lines), line => line.Contains(asleep, StringComparison.Ordinal));
        }
        finally
        {
            await Cluster.Postgres.StartAsync();
        }

        using var deadline = TestDeadline.In(60);
        RawFrame healed = null!;
        await deadline.UntilAsync(
            async () => (healed = await publisher.PublishAsync(channel, "2", key: "k2")).Type == "published", () => "publishes are stored again");
        await http.PublishAsync(channel, "3", key: "k3");
        var head = (await http.HistoryAsync(channel)).Head;
        Assert.Equal(3, head);
        await subscriber.MessageAsync(channel, head);
        Assert.Equal([1L, 2, 3], subscriber.Messages(channel).Select(m => m.Offset));
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public Task A_database_that_lost_its_last_messages_gives_the_channel_a_new_epoch(bool wasAway) => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        string before = null!;
        for (var i = 1; i <= 5; i++) before = (await PublishedAsync(publisher, channel, $"{i}")).Epoch;
        await subscriber.MessageAsync(channel, 5);

        if (wasAway)
        {
            // Publishes meanwhile are of unknown outcome, and the channel's grain cannot find out.
            await Cluster.Postgres.StopAsync();
            try
            {
                for (var i = 0; i < 3; i++) Assert.Equal("unavailable", (await publisher.PublishAsync(channel, "0", key: "k0")).Code);
            }
            finally
            {
                await Cluster.Postgres.StartAsync();
            }
        }

        // What a standby would have that lacks the last three commits.
        await Cluster.Postgres.ExecuteAsync(
            $"""
            do $$ declare _id bigint; begin
                update grid.channels set head = 2 where name like '%/{channel}' returning id into strict _id;
                delete from grid.messages where channel = _id and last > 2;
                delete from grid.keys where channel = _id and message > 2;
            end $$
            """,
            Cluster.Database);
        using var deadline = TestDeadline.In(60);
        RawFrame stored = null!;
        await deadline.UntilAsync(
            async () => (stored = await publisher.PublishAsync(channel, "6", key: "k6")).Type == "published", () => "the sixth message is stored");
        Assert.Equal(3, stored.Offset);
        Assert.NotEqual(before, stored.Epoch);

        // Offset 3 was delivered before, as another message: this one is not taken for a repeat of it.
        await subscriber.WaitAsync(f => f.Type == "message" && f.Offset == 3 && f.Payload == "6", "message 6");
        var gap = Assert.Single(subscriber.Frames, f => f.Type == "gap");
        Assert.Equal(stored.Epoch, gap.Epoch);
    });

    [Fact]
    public Task A_move_that_cannot_be_stored_leaves_the_subscription_where_it_is() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        for (var i = 1; i <= 3; i++) await PublishedAsync(publisher, channel, $"{i}");
        await subscriber.MessageAsync(channel, 3);
        await Cluster.Redis.KillAsync();
        try
        {
            var refused = await subscriber.SubscribeAsync(channel, ClientFrames.Start);
            Assert.Equal("unavailable", refused.Code);
            await publisher.PublishAsync(channel, "4");
            await subscriber.MessageAsync(channel, 4);
            Assert.Equal([1L, 2, 3, 4], subscriber.Messages(channel).Select(m => m.Offset));
        }
        finally
        {
            await Cluster.Redis.StartAsync();
        }

        using var deadline = TestDeadline.In(60);
        RawFrame moved = null!;
        await deadline.UntilAsync(
            async () => (moved = await subscriber.SubscribeAsync(channel, ClientFrames.Start)).Type == "subscribed", () => "the move is stored");
        Assert.Equal(0, moved.Cursor);
        await subscriber.WaitAsync(_ => subscriber.Messages(channel).Count == 8, "all four again");
        Assert.Equal([1L, 2, 3, 4, 1, 2, 3, 4], subscriber.Messages(channel).Select(m => m.Offset));
    });

    [Fact]
    public Task A_move_forward_that_cannot_be_stored_skips_nothing_when_the_session_resumes() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        for (var i = 1; i <= 9; i++) await PublishedAsync(publisher, channel, $"{i}");
        await subscriber.MessageAsync(channel, 9);
        await Cluster.Redis.KillAsync();
        try
        {
            Assert.Equal("unavailable", (await subscriber.SubscribeAsync(channel, ClientFrames.Last(1))).Code);
        }
        finally
        {
            await Cluster.Redis.StartAsync();
        }

        // Acknowledged, and so reported, once Redis is back; the report may only raise what the session's grain holds.
        subscriber.Ack(channel, 2);
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () => (await subscriber.SubscribeAsync(NewChannel())).Type == "subscribed", () => "the session is stored again");
        await subscriber.CloseAsync();
        await using var resumed = await ResumeAsync(Silos[2], new RawResume(subscriber.Welcome!.Session, subscriber.Welcome.ResumeToken));
        Assert.Equal(2, resumed.Welcome!.Subscriptions[channel].Cursor);
    });

    [Fact]
    public Task Without_redis_delivery_goes_on_and_sessions_resume_when_it_is_back() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        var epoch = (await PublishedAsync(publisher, channel, "1")).Epoch;
        await subscriber.MessageAsync(channel, 1);
        await Cluster.Redis.KillAsync();
        try
        {
            for (var i = 2; i <= 20; i++)
            {
                Assert.Equal(i, (await publisher.PublishAsync(channel, $"{i}")).Offset);
                await subscriber.MessageAsync(channel, i);
                subscriber.Ack(channel, i);
            }

            await subscriber.PingAsync();
        }
        finally
        {
            await Cluster.Redis.StartAsync();
        }

        await Cluster.TogetherAsync();
        subscriber.Abort();
        var cursors = new Dictionary<string, RawPosition> { [channel] = new(epoch, 20) };
        await using var again = await ResumeAsync(Silos[2], new RawResume(subscriber.Welcome!.Session, subscriber.Welcome.ResumeToken, cursors));
        Assert.Equal("resumed", again.Welcome!.State);
        var last = await publisher.PublishAsync(channel, "21");
        await again.MessageAsync(channel, last.Offset);
        Assert.Equal([21L], again.Messages(channel).Select(m => m.Offset));
    });

    /// <summary>Publishes as clients do: another test may just have stopped the database, and a silo notices that by its next append.</summary>
    private static async Task<RawFrame> PublishedAsync(RawClient publisher, string channel, string data)
    {
        using var deadline = TestDeadline.In(30);
        RawFrame answer = null!;
        await deadline.UntilAsync(
            async () => (answer = await publisher.PublishAsync(channel, data, key: $"k{data}")).Type == "published", () => $"{data} is stored");
        return answer;
    }
}

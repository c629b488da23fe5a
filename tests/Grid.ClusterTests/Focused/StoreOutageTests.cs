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

    [Fact]
    public Task Without_redis_delivery_goes_on_and_sessions_resume_when_it_is_back() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[0].OpenAsync("publisher");
        await using var subscriber = await Silos[1].OpenAsync("subscriber");
        await subscriber.SubscribeAsync(channel);
        var epoch = (await publisher.PublishAsync(channel, "1")).Epoch;
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
}

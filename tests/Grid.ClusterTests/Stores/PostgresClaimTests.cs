using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Postgres;
using Grid.Testing.Servers;

namespace Grid.ClusterTests.Stores;

/// <summary>Claims of subscriptions when the database crashes, which the activations that made them outlive.</summary>
public sealed class PostgresClaimTests
{
    [Fact]
    public async Task No_two_activations_have_one_generation_whatever_the_database_goes_through()
    {
        // What is not synced is lost with more than luck.
        await using var server = await PostgresServer.StartNewAsync(fsync: true, "wal_writer_delay=10s");
        await using var database = await Postgres.OpenAsync(await server.CreateDatabaseAsync());
        var (store, webhook) = (new PostgresWebhookStore(database), new WebhookId("acme", "wh_1"));
        Assert.True(await store.CreateAsync(
            new StoredWebhook { Id = webhook, Channels = ["*"], Version = 1, Definition = new byte[] { 1 }, Secrets = new byte[] { 1 } }, most: 1));
        var last = 0L;
        for (var crashes = 0; crashes < 2; crashes++)
        {
            Assert.True(await store.ClaimAsync(webhook) > last);
            last = (await store.ClaimAsync(webhook))!.Value;
            await server.KillAsync();
            await server.StartAsync();
        }

        Assert.True(await store.ClaimAsync(webhook) > last);
    }
}

using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Delivery;
using Grid.Testing.Webhooks;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.ClusterTests.Stores;

/// <summary>The contract of the store of webhooks, on PostgreSQL.</summary>
public sealed class PostgresWebhookStoreConformance(PostgresFixture fixture) : WebhookStoreConformance, IClassFixture<PostgresFixture>
{
    private GridClusterOptions? _cluster;
    private ServiceProvider? _services;

    protected override async Task<IServiceProvider> OpenAsync()
    {
        _cluster ??= new GridClusterOptions { Postgres = await fixture.Server.CreateDatabaseAsync() };
        _services = new ServiceCollection().AddLogging().AddOptions().AddSingleton<TimeProvider>(Time).AddGridPostgresStore(_cluster).BuildServiceProvider();
        await _services.GetRequiredService<PostgresDatabase>().OpenAsync(CancellationToken.None);
        return _services;
    }

    [Fact]
    public async Task Programs_that_do_not_claim_go_on_after_those_that_do()
    {
        var webhook = await CreateAsync("wh_1", "x");
        for (var activations = 0; activations < 3; activations++) Assert.NotNull(await Store.ClaimAsync(webhook));
        var generation = (await Store.ReadProgressAsync(webhook))!.Generation + 1;
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = generation }), null));
        Assert.True(await Store.ClaimAsync(webhook) > generation);
    }

    protected override async Task CloseAsync() => await _services!.DisposeAsync();
}

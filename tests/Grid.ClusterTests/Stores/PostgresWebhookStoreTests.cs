using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
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

    protected override async Task CloseAsync() => await _services!.DisposeAsync();
}

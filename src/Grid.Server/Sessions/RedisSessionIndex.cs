using Grid.Server.Hosting;
using Microsoft.Extensions.Options;
using StackExchange.Redis;

namespace Grid.Server.Sessions;

/// <summary>
/// The session index in Redis: a hash of each session's user, a sorted set of all sessions by due time, and one per user. A change of
/// all three is one script. Several silos sweep, and share the work: what <see cref="DueAsync"/> hands out is due again only after a
/// <see cref="Lease"/>, unless its grain says otherwise first.
/// </summary>
/// <remarks>
/// Each entry that is set also renews the expiry of the session's state: a state that no sweep would find, because its entry was
/// lost, goes by itself, and one that has an entry never does.
/// </remarks>
internal sealed class RedisSessionIndex(RedisConnection redis, RedisKeys keys, IOptions<GridOptions> options) : ISessionIndex
{
    /// <summary>How long what was handed out to one silo's sweep is kept from the others': the time after which its silo has died.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    private const string SetScript =
        """
        local old = redis.call('HGET', KEYS[1], ARGV[1])
        if old and old ~= ARGV[3] then redis.call('ZREM', ARGV[6] .. old, ARGV[2]) end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
        redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
        redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
        redis.call('PEXPIRE', KEYS[4], ARGV[5])
        """;

    private const string RemoveScript =
        """
        local old = redis.call('HGET', KEYS[1], ARGV[1])
        if old then redis.call('ZREM', ARGV[3] .. old, ARGV[2]) end
        redis.call('HDEL', KEYS[1], ARGV[1])
        redis.call('ZREM', KEYS[2], ARGV[1])
        """;

    private const string ByUserScript = "return redis.call('ZRANGE', KEYS[1], 0, ARGV[1], 'WITHSCORES')";

    private const string DueScript =
        """
        local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
        local found = {}
        for i = 1, #due, 2 do
          redis.call('ZADD', KEYS[2], ARGV[3], due[i])
          found[#found + 1] = due[i]
          found[#found + 1] = due[i + 1]
          found[#found + 1] = redis.call('HGET', KEYS[1], due[i]) or ''
        end
        return found
        """;

    /// <summary>How long a state outlives its due time before Redis drops it.</summary>
    private static readonly TimeSpan Spare = TimeSpan.FromDays(2);

    /// <summary>How long a state that is never looked at again may stay after it was written.</summary>
    public static TimeSpan StateExpiry(TimeSpan resumeWindow) => TimeSpan.FromSeconds(Math.Ceiling((resumeWindow + Spare).TotalSeconds));

    /// <inheritdoc/>
    public async ValueTask SetAsync(SessionIndexEntry entry, CancellationToken cancellationToken = default)
    {
        var (tenant, session) = (entry.Tenant, entry.Session);
        var expiry = StateExpiry(options.Value.ResumeWindow);
        await redis.RunAsync(
            SetScript,
            [keys.Entries, keys.Due, keys.User(tenant, entry.User), keys.State(SessionGrain.StateName, Member(tenant, session))],
            [
                Member(tenant, session), session, entry.User, entry.DueAt.ToUnixTimeMilliseconds(),
                (long)expiry.TotalMilliseconds, keys.UserPrefix(tenant),
            ],
            cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask RemoveAsync(string tenant, string session, CancellationToken cancellationToken = default) =>
        await redis.RunAsync(
            RemoveScript, [keys.Entries, keys.Due], [Member(tenant, session), session, keys.UserPrefix(tenant)], cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<SessionIndexEntry>> ByUserAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default)
    {
        var rows = (RedisValue[]?)await redis.RunAsync(ByUserScript, [keys.User(tenant, user)], [limit - 1], cancellationToken) ?? [];
        var found = new List<SessionIndexEntry>(rows.Length / 2);
        for (var i = 0; i + 1 < rows.Length; i += 2) found.Add(new SessionIndexEntry(tenant, rows[i]!, user, Time(rows[i + 1])));
        return found;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<SessionIndexEntry>> DueAsync(
        DateTimeOffset now, int limit, CancellationToken cancellationToken = default)
    {
        var rows = (RedisValue[]?)await redis.RunAsync(
            DueScript,
            [keys.Entries, keys.Due],
            [now.ToUnixTimeMilliseconds(), limit, (now + Lease).ToUnixTimeMilliseconds()],
            cancellationToken) ?? [];
        var found = new List<SessionIndexEntry>(rows.Length / 3);
        for (var i = 0; i + 2 < rows.Length; i += 3)
        {
            var (tenant, session) = Split(rows[i]!);
            found.Add(new SessionIndexEntry(tenant, session, rows[i + 2]!, Time(rows[i + 1])));
        }

        return found;
    }

    private static string Member(string tenant, string session) => $"{tenant}/{session}";

    private static (string Tenant, string Session) Split(string member)
    {
        var slash = member.IndexOf('/', StringComparison.Ordinal);
        return (member[..slash], member[(slash + 1)..]);
    }

    private static DateTimeOffset Time(RedisValue score) => DateTimeOffset.FromUnixTimeMilliseconds((long)(double)score);
}

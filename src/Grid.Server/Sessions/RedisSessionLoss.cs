using StackExchange.Redis;

namespace Grid.Server.Sessions;

/// <summary>Since when the state in Redis is complete.</summary>
/// <param name="Id">Changes with every loss.</param>
/// <param name="Age">How long ago state may last have been lost, by Redis's own clock.</param>
/// <param name="KnowsRun">Whether Redis told which run of it this is; without that a restart cannot be told from none.</param>
internal readonly record struct LossMarker(string Id, TimeSpan Age, bool KnowsRun);

/// <summary>
/// Finds out from Redis itself whether it may have lost state. A marker in it names the run (<c>run_id</c>) of the Redis that has held
/// the state, and since when. No marker: it was flushed, or is another, empty one. Another run: it was restarted, or a replica took
/// over, and the last moments before that may be missing. Either way whoever notices first writes a new marker: state may have been
/// lost up to then. Looking and writing is one script, so all silos see the same, and their clocks do not matter.
/// </summary>
/// <remarks>
/// A Redis that does not let scripts call <c>INFO</c> cannot be asked for its run. Then state that is missing always counts as lost,
/// since calling a lost session expired would be worse than bringing back an expired one that knows its token and cursors.
/// </remarks>
internal sealed class RedisSessionLoss(RedisConnection redis, RedisKeys keys) : ISessionLoss
{
    private const string Script =
        """
        local info = redis.pcall('INFO', 'server')
        local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local marker = redis.call('HMGET', KEYS[1], 'id', 'run', 'since')
        if not marker[1] or not marker[3] or marker[2] ~= run then
          marker = { ARGV[1], run, string.format('%.0f', now) }
          redis.call('HSET', KEYS[1], 'id', marker[1], 'run', run, 'since', marker[3])
        end
        return { marker[1], string.format('%.0f', now - marker[3]), run }
        """;

    private const string EvictionScript =
        """
        local memory = redis.pcall('INFO', 'memory')
        return type(memory) == 'string' and not string.match(memory, 'maxmemory:0%s') and string.match(memory, 'maxmemory_policy:([%w-]+)') or ''
        """;

    /// <inheritdoc/>
    public async ValueTask<bool> MayHaveHappenedAsync(TimeSpan window)
    {
        var marker = await ReadAsync();
        return !marker.KnowsRun || marker.Age <= window;
    }

    /// <summary>Reads the marker, and writes a new one if state may have been lost since it was written.</summary>
    /// <exception cref="Log.LogUnavailableException">Redis is out of reach.</exception>
    public async ValueTask<LossMarker> ReadAsync(CancellationToken cancellationToken = default)
    {
        var fields = (RedisValue[])(await redis.RunAsync(Script, [keys.Marker], [Guid.NewGuid().ToString("N")], cancellationToken))!;
        return new LossMarker(fields[0]!, TimeSpan.FromMilliseconds((long)fields[1]), !fields[2].IsNullOrEmpty);
    }

    /// <summary>The policy by which this Redis drops keys when its memory is full; null when it drops none, or does not tell.</summary>
    /// <exception cref="Log.LogUnavailableException">Redis is out of reach.</exception>
    public async ValueTask<string?> ReadEvictionAsync(CancellationToken cancellationToken = default)
    {
        var policy = (string?)await redis.RunAsync(EvictionScript, [keys.Marker], [], cancellationToken);
        return policy is "" or "noeviction" ? null : policy;
    }
}

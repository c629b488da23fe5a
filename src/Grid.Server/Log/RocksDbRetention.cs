using System.Buffers.Binary;
using System.Text;
using Grid.Abstractions;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// Applies the namespaces' limits to the durable log: age, number and bytes of messages, and the windows of idempotency keys.
/// </summary>
/// <remarks>
/// <para>It looks only at channels that can have something to trim. For age there is an index of channels by the time of their
/// oldest message. For number and bytes, appends note the channels that went past a limit. A change of the settings, or a crash
/// before a sweep, is caught by looking once at every channel after the start.</para>
/// <para>Where to cut is found by binary search, because offsets have no holes and both time and the running total of bytes only
/// rise. The cut itself is one small job for the writer; the search and everything else happens on this thread.</para>
/// </remarks>
internal sealed class RocksDbRetention(RocksDbMessageLog log) : IRetention
{
    /// <summary>Rows read from an index before their jobs are done, so that no iterator stays open for long.</summary>
    private const int Chunk = 256;

    private bool _sawAll;

    /// <inheritdoc/>
    public async Task<SweepResult> SweepAsync(CancellationToken cancellationToken)
    {
        var keys = await ExpireKeysAsync(cancellationToken);
        var (channels, messages) = (0, 0L);
        var candidates = new HashSet<ChannelId>(log.TakeOverLimit());
        if (!_sawAll)
        {
            await foreach (var channel in AllChannelsAsync(cancellationToken)) await TrimAsync(channel);
            _sawAll = true;
        }

        foreach (var channel in candidates) await TrimAsync(channel);
        await foreach (var channel in OldChannelsAsync(cancellationToken)) await TrimAsync(channel);
        return new SweepResult(channels, messages, keys);

        async Task TrimAsync(ChannelId channel)
        {
            var trimmed = await TrimByPolicyAsync(channel, cancellationToken);
            if (trimmed == 0) return;
            channels++;
            messages += trimmed;
        }
    }

    /// <summary>Trims one channel to its policy's limits; returns how many messages were forgotten.</summary>
    private async Task<long> TrimByPolicyAsync(ChannelId channel, CancellationToken cancellationToken)
    {
        if (FindCut(channel) is not { } cut) return 0;
        await log.Store.Writer.RunAsync(new TrimJob(log, channel, cut.UpTo, cut.Number), cancellationToken);
        return cut.UpTo - cut.Oldest + 1;
    }

    /// <summary>The last offset that the policy does not allow any more, if there is one.</summary>
    private (long UpTo, long Oldest, long Number)? FindCut(ChannelId channel)
    {
        using var lease = log.Store.Lease();
        var database = lease.Database;
        var (record, head, total) = log.Load(database, channel);
        if (record.Number == 0 || head < record.Oldest) return null;
        var policy = log.Policies.For(channel.Name);
        var upTo = record.Oldest - 1;
        if (policy.MaxMessages is { } maxMessages) upTo = Math.Max(upTo, head - maxMessages);
        try
        {
            if (policy.MaxAge is { } maxAge)
            {
                var limit = log.Store.Time.GetUtcNow().ToUnixTimeMilliseconds() - (long)maxAge.TotalMilliseconds;
                upTo = LastWhere(upTo, head, offset => MessageRecord.At(RocksDbMessageLog.Stored(database, record.Number, offset)) < limit);
            }

            if (policy.MaxBytes is { } maxBytes && total - record.TotalBefore > maxBytes)
            {
                // All up to the first offset with this total must go; the newest message stays in any case.
                var limit = total - maxBytes;
                var tooEarly = LastWhere(
                    record.Oldest - 1,
                    head - 1,
                    offset => MessageRecord.Total(RocksDbMessageLog.Stored(database, record.Number, offset)) < limit);
                upTo = Math.Max(upTo, Math.Min(tooEarly + 1, head - 1));
            }
        }
        catch (InvalidDataException)
        {
            // The channel was trimmed or purged while the search went on; the next sweep sees what is left to do.
            return null;
        }

        return upTo >= record.Oldest ? (upTo, record.Oldest, record.Number) : null;
    }

    /// <summary>The last offset in (<paramref name="known"/>, <paramref name="head"/>] where a condition holds that, once false, stays false.</summary>
    private static long LastWhere(long known, long head, Func<long, bool> holds)
    {
        var (low, high) = (known, head);
        while (low < high)
        {
            var middle = low + ((high - low + 1) / 2);
            if (holds(middle)) low = middle;
            else high = middle - 1;
        }

        return low;
    }

    /// <summary>Every channel that was ever written.</summary>
    private async IAsyncEnumerable<ChannelId> AllChannelsAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        byte[]? after = null;
        while (true)
        {
            var rows = ReadRows(database => database.Channels, after ?? [], _ => true);
            foreach (var (key, _) in rows) yield return ChannelId.Parse(Encoding.UTF8.GetString(key));
            if (rows.Count < Chunk) yield break;
            after = [.. rows[^1].Key, 0];

            // Lets go of the thread between chunks.
            await Task.Yield();
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary>The channels whose oldest message is older than their namespace allows.</summary>
    private async IAsyncEnumerable<ChannelId> OldChannelsAsync(
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var now = log.Store.Time.GetUtcNow().ToUnixTimeMilliseconds();
        byte[] from = [];
        while (ReadRows(database => database.Age, from, _ => true, limit: 1) is [var (first, _)])
        {
            // Rows of one namespace lie together, by time.
            var prefix = first[..^16];
            var maxAge = log.Policies.For(Encoding.UTF8.GetString(prefix.AsSpan(0, prefix.Length - 1)) + ":").MaxAge;
            var limit = maxAge is { } age ? now - (long)age.TotalMilliseconds : long.MinValue;
            byte[]? next = first;
            while (next is not null)
            {
                var rows = ReadRows(
                    database => database.Age,
                    next,
                    key => key.StartsWith(prefix) && key.Length == prefix.Length + 16
                        && BinaryPrimitives.ReadInt64BigEndian(key[prefix.Length..]) < limit);
                foreach (var (_, channel) in rows) yield return ChannelId.Parse(Encoding.UTF8.GetString(channel));
                next = rows.Count < Chunk ? null : [.. rows[^1].Key, 0];
                await Task.Yield();
                cancellationToken.ThrowIfCancellationRequested();
            }

            // The next namespace: the zero byte that ends this one's name, raised by one.
            from = prefix;
            from[^1] = 1;
        }
    }

    private async Task<long> ExpireKeysAsync(CancellationToken cancellationToken)
    {
        var now = log.Store.Time.GetUtcNow().ToUnixTimeMilliseconds();
        var expired = 0L;
        byte[] from = [];
        while (true)
        {
            var rows = ReadRows(database => database.Expiry, from, key => BinaryPrimitives.ReadInt64BigEndian(key) <= now);
            foreach (var (key, record) in rows)
                expired += await log.Store.Writer.RunAsync(new ExpireKeysJob(key, record), cancellationToken);
            if (rows.Count < Chunk) return expired;
            from = [.. rows[^1].Key, 0];
        }
    }

    private delegate bool KeyTest(ReadOnlySpan<byte> key);

    private List<(byte[] Key, byte[] Value)> ReadRows(
        Func<OpenDatabase, Family> family, byte[] from, KeyTest wanted, int limit = Chunk)
    {
        using var lease = log.Store.Lease();
        using var rows = lease.Database.Db.NewIterator(family(lease.Database).Handle);
        var found = new List<(byte[], byte[])>();
        for (rows.Seek(from); rows.Valid() && found.Count < limit && wanted(rows.GetKeySpan()); rows.Next())
            found.Add((rows.Key(), rows.Value()));
        Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return found;
    }
}

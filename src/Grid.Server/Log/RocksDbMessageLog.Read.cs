using Grid.Abstractions;
using RocksDbSharp;

namespace Grid.Server.Log;

internal sealed partial class RocksDbMessageLog
{
    /// <summary>Reads that may block on the disk at once, so that a cold history cannot take the whole thread pool.</summary>
    private const int MaxDiskReads = 8;

    /// <summary>Heads that are looked up in the database before the rest goes to another thread.</summary>
    private const int MaxInlineHeads = 32;

    private readonly SemaphoreSlim _diskReads = new(MaxDiskReads);

    /// <inheritdoc/>
    public ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(after);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxMessages, 1);
        cancellationToken.ThrowIfCancellationRequested();

        // Recent messages are in memory, and reading them is quicker than changing threads.
        return Read(channel, after, maxMessages, maxBytes, memoryOnly: true) is { } page
            ? ValueTask.FromResult(page)
            : new ValueTask<ChannelPage>(OnDiskAsync(() => Read(channel, after, maxMessages, maxBytes, memoryOnly: false)!, cancellationToken));
    }

    /// <inheritdoc/>
    public ValueTask<long[]> FindKeysAsync(
        ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return ValueTask.FromResult(Guarded(() =>
        {
            var number = View(channel).Number;
            var offsets = new long[keys.Count];
            if (number == 0) return offsets;
            using var lease = _store.Lease();
            var now = _store.Time.GetUtcNow().ToUnixTimeMilliseconds();
            for (var i = 0; i < offsets.Length; i++)
            {
                if (KeyRecord.Find(lease.Database, number, keys[i], now, out var offset)) offsets[i] = offset;
            }

            return offsets;
        }));
    }

    /// <inheritdoc/>
    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return ValueTask.FromResult(Guarded(() => View(channel).ToHead()));
    }

    /// <inheritdoc/>
    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var heads = new ChannelHead[channels.Count];
        var next = FillHeads(channels, heads, 0, MaxInlineHeads);
        if (next == heads.Length) return ValueTask.FromResult(heads);
        return new ValueTask<ChannelHead[]>(OnDiskAsync(
            () =>
            {
                FillHeads(channels, heads, next, int.MaxValue);
                return heads;
            },
            cancellationToken));
    }

    private int FillHeads(IReadOnlyList<ChannelId> channels, ChannelHead[] heads, int first, int maxLookups) => Guarded(() =>
    {
        var index = first;
        for (var lookups = 0; index < heads.Length; index++)
        {
            if (_cache.Find(channels[index]) is { } state)
            {
                heads[index] = state.View.ToHead();
                continue;
            }

            if (lookups++ == maxLookups) break;
            heads[index] = View(channels[index]).ToHead();
        }

        return index;
    });

    private async Task<T> OnDiskAsync<T>(Func<T> read, CancellationToken cancellationToken)
    {
        await _diskReads.WaitAsync(cancellationToken);
        try
        {
            return await Task.Run(read, cancellationToken);
        }
        finally
        {
            _diskReads.Release();
        }
    }

    /// <summary>Failures of the database are the store's being away.</summary>
    private static T Guarded<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception e) when (e is RocksDbException or InvalidDataException)
        {
            throw new LogUnavailableException(RocksDbStore.Explain(e), e);
        }
    }

    /// <summary>A page, or null when it is not all in memory and only that was asked for.</summary>
    private ChannelPage? Read(ChannelId channel, long after, int maxMessages, int maxBytes, bool memoryOnly) => Guarded(() =>
    {
        var view = View(channel);
        while (true)
        {
            var first = Math.Max(after + 1, view.Oldest);
            if (first > view.Head) return new ChannelPage(view.ToHead(), []);
            var messages = new List<Message>((int)Math.Min(Math.Min(maxMessages, view.Head - first + 1), 256));
            if (Scan(view, first, maxMessages, maxBytes, memoryOnly, messages)) return new ChannelPage(view.ToHead(), messages);
            if (memoryOnly) return null;

            // Something was missing: a trim or a purge has passed, or the store is damaged.
            var now = View(channel);
            if (now.Number == view.Number && now.Oldest == view.Oldest)
                throw new InvalidDataException($"Messages of '{channel}' from {first} on are missing from the store.");
            view = now;
        }
    });

    /// <summary>Reads messages from <paramref name="first"/> on; false when one that should be there is not (or not in memory).</summary>
    private bool Scan(ChannelView view, long first, int maxMessages, int maxBytes, bool memoryOnly, List<Message> messages)
    {
        using var lease = _store.Lease();
        var database = lease.Database;
        using var rows = database.Db.NewIterator(
            database.Messages.Handle, memoryOnly ? database.ReadCachedMessages : database.ReadMessages);
        Span<byte> key = stackalloc byte[RowKeys.MessageBytes];
        RowKeys.Message(key, view.Number, first);
        rows.Seek((ReadOnlySpan<byte>)key);
        long bytes = 0;
        for (var offset = first; offset <= view.Head && messages.Count < maxMessages && bytes < maxBytes; offset++)
        {
            if (offset > first) rows.Next();
            if (!rows.Valid()) return Missing(rows, memoryOnly);
            RowKeys.Message(key, view.Number, offset);
            if (!rows.GetKeySpan().SequenceEqual(key)) return false;
            var message = MessageRecord.Read(rows.GetValueSpan(), offset);
            bytes += message.Payload.Bytes.Length;
            messages.Add(message);
        }

        return true;
    }

    private static bool Missing(Iterator rows, bool memoryOnly)
    {
        // An iterator ends early both at the last row and on an error; in memory-only reads the error is that it would need the disk.
        if (!memoryOnly) Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return false;
    }

    /// <summary>How a channel stands: as the writer last published it, or from the database.</summary>
    private ChannelView View(ChannelId channel)
    {
        if (_cache.Find(channel) is { } state) return state.View;
        using var lease = _store.Lease();
        var stored = Load(lease.Database, channel);
        return new ChannelView(stored.Record.Number, stored.Record.Epoch, stored.Record.Oldest, stored.Head);
    }

    /// <summary>Reads how a channel stands.</summary>
    public (ChannelRecord Record, long Head, long Total) Load(OpenDatabase database, ChannelId channel)
    {
        var channelKey = RowKeys.Channel(channel);
        var bytes = database.Db.Get(channelKey.AsSpan(), database.Channels.Handle);
        while (bytes is not null)
        {
            var record = ChannelRecord.Read(bytes);
            var (head, total) = LoadHead(database, record);

            // The writer may have trimmed or purged between the two reads; then the record is another one.
            var again = database.Db.Get(channelKey.AsSpan(), database.Channels.Handle);
            if (bytes.AsSpan().SequenceEqual(again)) return (record, head, total);
            bytes = again;
        }

        return (new ChannelRecord(0, _store.Epoch, Oldest: 1, TotalBefore: 0, IndexedAt: 0), 0, 0);
    }

    /// <summary>The last message is the head; without one it is the one before the oldest.</summary>
    private static (long Head, long Total) LoadHead(OpenDatabase database, ChannelRecord record)
    {
        using var rows = database.Db.NewIterator(database.Messages.Handle, database.ReadMessages);
        Span<byte> last = stackalloc byte[RowKeys.MessageBytes];
        RowKeys.Message(last, record.Number, long.MaxValue);
        rows.SeekForPrev((ReadOnlySpan<byte>)last);
        if (!rows.Valid())
        {
            Native.Instance.rocksdb_iter_get_error(rows.Handle);
            return (record.Oldest - 1, record.TotalBefore);
        }

        var key = rows.GetKeySpan();
        return RowKeys.Number(key) == record.Number && RowKeys.Offset(key) >= record.Oldest
            ? (RowKeys.Offset(key), MessageRecord.Total(rows.GetValueSpan()))
            : (record.Oldest - 1, record.TotalBefore);
    }
}

using Grid.Abstractions;

namespace Grid.Server.Log;

/// <summary>
/// Forgets the oldest messages of a channel. Not synced: a trim that a power loss undoes is made again by the next sweep.
/// </summary>
/// <param name="log">The log.</param>
/// <param name="channel">The channel.</param>
/// <param name="upTo">The last offset to forget.</param>
/// <param name="number">If not 0: the channel number for which this was decided; after a purge nothing happens.</param>
internal sealed class TrimJob(RocksDbMessageLog log, ChannelId channel, long upTo, long number = 0) : StoreJob<ChannelHead>
{
    /// <summary>Up to this many messages are deleted one by one: many small range deletions cost more in RocksDB than they save.</summary>
    private const int MaxSingleDeletes = 8;

    private ChannelState? _state;
    private ChannelView? _view;

    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        var state = log.State(channel, group);
        Result = state.View.ToHead();
        var record = state.Record;
        var last = Math.Min(upTo, state.Head);
        if (record.Number == 0 || last < record.Oldest || (number != 0 && number != record.Number)) return true;

        // What the group appends cannot be read yet.
        if (state.Group == group.Number) return false;

        var (database, messages) = (group.Database, group.Database.Messages);
        var trimmed = last == state.Head
            ? record with { Oldest = last + 1, TotalBefore = state.Total, IndexedAt = 0 }
            : record with
            {
                Oldest = last + 1,
                TotalBefore = MessageRecord.Total(RocksDbMessageLog.Stored(database, record.Number, last)),
                IndexedAt = MessageRecord.At(RocksDbMessageLog.Stored(database, record.Number, last + 1)),
            };
        if (record.IndexedAt != 0) group.Rows.Delete(database.Age.Number, RowKeys.Age(channel, record.IndexedAt, record.Number));
        var channelKey = RowKeys.Channel(channel);
        if (trimmed.IndexedAt != 0)
            group.Rows.Put(database.Age.Number, RowKeys.Age(channel, trimmed.IndexedAt, record.Number), channelKey);
        group.Rows.Put(database.Channels.Number, channelKey, trimmed.ToBytes());

        Span<byte> first = stackalloc byte[RowKeys.MessageBytes];
        if (last - record.Oldest < MaxSingleDeletes)
        {
            for (var offset = record.Oldest; offset <= last; offset++)
            {
                RowKeys.Message(first, record.Number, offset);
                group.Rows.Delete(messages.Number, first);
            }
        }
        else
        {
            Span<byte> end = stackalloc byte[RowKeys.MessageBytes];
            RowKeys.Message(first, record.Number, record.Oldest);
            RowKeys.Message(end, record.Number, last + 1);
            group.Rows.DeleteRange(messages.Number, first, end);
        }

        state.Record = trimmed;
        state.Group = group.Number;
        state.GroupKeys = [];
        _state = state;
        _view = state.NewView();
        Result = _view.ToHead();
        return true;
    }

    /// <inheritdoc/>
    public override void Commit()
    {
        if (_view is not null) _state!.EndGroup(_view);
    }
}

/// <summary>Forgets a channel's messages and keys. It goes on under another number and another epoch, so nothing old can be met again.</summary>
internal sealed class PurgeJob(RocksDbMessageLog log, ChannelId channel) : StoreJob<ChannelHead>
{
    private ChannelState? _state;
    private ChannelView? _view;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        var state = log.State(channel, group);
        if (state.Group == group.Number) return false;
        var (database, old) = (group.Database, state.Record);
        if (old.Number != 0)
        {
            if (old.IndexedAt != 0) group.Rows.Delete(database.Age.Number, RowKeys.Age(channel, old.IndexedAt, old.Number));
            Span<byte> first = stackalloc byte[RowKeys.MessageBytes];
            Span<byte> end = stackalloc byte[RowKeys.MessageBytes];
            RowKeys.Message(first, old.Number, 0);
            RowKeys.Message(end, old.Number + 1, 0);
            group.Rows.DeleteRange(database.Messages.Number, first, end);
            group.Rows.DeleteRange(database.Keys.Number, first[..8], end[..8]);
        }

        var record = new ChannelRecord(log.TakeNumber(group), RocksDbStore.NewEpoch(), Oldest: 1, TotalBefore: 0, IndexedAt: 0);
        group.Rows.Put(database.Channels.Number, RowKeys.Channel(channel), record.ToBytes());
        state.Record = record;
        state.Head = 0;
        state.Total = 0;
        state.Group = group.Number;
        state.GroupKeys = [];
        _state = state;
        _view = state.NewView();
        Result = _view.ToHead();
        return true;
    }

    /// <inheritdoc/>
    public override void Commit()
    {
        if (_view is not null) _state!.EndGroup(_view);
    }
}

/// <summary>Removes idempotency keys whose window has passed, with the row of the expiry index that names them.</summary>
internal sealed class ExpireKeysJob(byte[] indexKey, byte[] indexRecord) : StoreJob<int>
{
    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        // A key that an append of this group stores anew must not be deleted by its old row.
        if (group.Expiring.Any) return false;
        var (database, removed) = (group.Database, 0);
        Span<byte> record = stackalloc byte[KeyRecord.Bytes];
        var rest = indexRecord.AsSpan(1);
        for (ReadOnlySpan<byte> left = rest; ExpiryRecord.Next(ref left, out var key);)
        {
            if (!database.Db.GetFixedSizeValue(key, record, database.Keys.Handle)) continue;
            if (KeyRecord.ExpiresAt(record) > group.Now) continue;
            group.Rows.Delete(database.Keys.Number, key);
            removed++;
        }

        group.Rows.Delete(database.Expiry.Number, indexKey);
        Result = removed;
        return true;
    }
}

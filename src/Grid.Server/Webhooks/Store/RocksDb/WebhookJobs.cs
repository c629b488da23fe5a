using System.Buffers.Binary;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>A change to one subscription. Two of them are never in one group, so each finds stored what the one before it did.</summary>
internal abstract class WebhookJob<T>(RocksDbMessageLog log, WebhookId webhook) : StoreJob<T>
{
    private readonly string _row = $"webhook/{webhook}";

    /// <summary>The log, which shares the writer.</summary>
    protected RocksDbMessageLog Log { get; } = log;

    /// <summary>Which subscription.</summary>
    protected WebhookId Webhook { get; } = webhook;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        if (!group.TryTouch(_row)) return false;
        Result = Change(group, Log.Marks.Find(group, Webhook));
        return true;
    }

    /// <summary>Decides, and adds rows.</summary>
    /// <param name="group">The group.</param>
    /// <param name="known">The subscription; null: there is none.</param>
    protected abstract T Change(WriteGroup group, KnownWebhook? known);

    /// <summary>What is stored under a key.</summary>
    protected static byte[]? Read(WriteGroup group, byte[] key) =>
        group.Database.Db.Get(key.AsSpan(), group.Database.Webhooks.Handle);

    /// <summary>Stores a row.</summary>
    protected static void Put(WriteGroup group, byte[] key, ReadOnlySpan<byte> value) =>
        group.Rows.Put(group.Database.Webhooks.Number, key, value);

    /// <summary>Removes a row.</summary>
    protected static void Delete(WriteGroup group, byte[] key) => group.Rows.Delete(group.Database.Webhooks.Number, key);
}

/// <summary>Stores a new subscription. One that is there already just so was stored by the same call before.</summary>
internal sealed class CreateWebhookJob(RocksDbMessageLog log, StoredWebhook webhook, int most) : WebhookJob<bool>(log, webhook.Id)
{
    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        var (key, record) = (WebhookRowKeys.Definition(Webhook), WebhookRowRecords.ToBytes(webhook));
        if (known is not null) return record.AsSpan().SequenceEqual(Read(group, key));
        if (Log.Marks.Count(Webhook.Tenant) >= most) return false;
        Put(group, key, record);
        Log.Marks.Add(new KnownWebhook(Webhook, webhook.Channels));
        return true;
    }
}

/// <summary>Replaces a subscription's definition.</summary>
internal sealed class UpdateWebhookJob(RocksDbMessageLog log, StoredWebhook webhook, long generation) : WebhookJob<bool>(log, webhook.Id)
{
    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        if (known is null || known.Generation > generation) return false;
        var (key, record) = (WebhookRowKeys.Definition(Webhook), WebhookRowRecords.ToBytes(webhook));
        var stored = Read(group, key);
        if (record.AsSpan().SequenceEqual(stored)) return true;
        if (WebhookRowRecords.ReadWebhook(Webhook, stored).Version != webhook.Version - 1) return false;
        Put(group, key, record);
        if (known.Channels.SequenceEqual(webhook.Channels, StringComparer.Ordinal)) return true;
        Log.Marks.Change(known, webhook.Channels);
        return true;
    }
}

/// <summary>Removes a subscription and all of its rows.</summary>
internal sealed class DeleteWebhookJob(RocksDbMessageLog log, WebhookId webhook) : WebhookJob<bool>(log, webhook)
{
    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        if (known is null) return false;
        var own = WebhookRowKeys.Own(Webhook);
        Delete(group, WebhookRowKeys.Definition(Webhook));
        group.Rows.DeleteRange(group.Database.Webhooks.Number, own, WebhookRowKeys.After(own));
        Log.Marks.Remove(known);
        return true;
    }

    /// <inheritdoc/>
    public override void Commit() => Log.Marks.Removed(Webhook);
}

/// <summary>Counts an activation. In memory, also beyond a failed write: a crash ends those before it as well.</summary>
internal sealed class ClaimWebhookJob(RocksDbMessageLog log, WebhookId webhook) : WebhookJob<long?>(log, webhook)
{
    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    protected override long? Change(WriteGroup group, KnownWebhook? known) => known is null ? null : known.Claimed = ++known.Generation;
}

/// <summary>Marks channels from the oldest message that they keep.</summary>
internal sealed class MarkChannelsJob(RocksDbMessageLog log, WebhookId webhook, IReadOnlyList<string> channels) : WebhookJob<bool>(log, webhook)
{
    /// <inheritdoc/>
    public override int Bytes => channels.Count * 128;

    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        if (known is null) return false;
        foreach (var channel in channels)
        {
            var state = Log.State(new ChannelId(Webhook.Tenant, channel), group);
            if (state.Count == 0 || Log.Marks.Hooks(group, state) is not { } hooks) continue;
            if (hooks.IndexOf(known) is >= 0 and var index)
                RocksDbMarks.Put(group, state, hooks, index, new Position(state.Record.Epoch, state.Record.Oldest - 1));
        }

        return true;
    }
}

/// <summary>
/// Removes marks of channels that are settled up to their head. Not synced: a mark that a power loss brings back is removed again by
/// whoever looks at its channel.
/// </summary>
internal sealed class ClearMarksJob(RocksDbMessageLog log, WebhookId webhook, long generation, IReadOnlyList<WebhookMark> settled)
    : WebhookJob<bool[]?>(log, webhook)
{
    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    protected override bool[]? Change(WriteGroup group, KnownWebhook? known)
    {
        if (known?.Generation > generation) return null;
        var cleared = new bool[settled.Count];
        var looked = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < cleared.Length; i++)
        {
            // The head is that of the appends before this job, those of its group among them: none can come between.
            var state = Log.State(new ChannelId(Webhook.Tenant, settled[i].Channel), group);
            cleared[i] = known is null || settled[i].Position == new Position(state.Record.Epoch, state.Head);
            if (known is not null && cleared[i] && looked.Add(settled[i].Channel)) Clear(group, known, state);
        }

        return cleared;
    }

    private void Clear(WriteGroup group, KnownWebhook known, ChannelState state)
    {
        var key = WebhookRowKeys.Of(Webhook, WebhookRow.Mark, state.Channel.Name);
        var hooks = Log.Marks.Hooks(group, state)!;
        var index = hooks.IndexOf(known);
        if (index >= 0 ? !hooks.IsMarked(index) : Read(group, key) is null) return;
        Delete(group, key);
        state.MarksGroup = group.Number;
        if (index >= 0) hooks.Note(index, false);
        known.Marks--;
    }
}

/// <summary>
/// Stores progress, and what its effects come to. A busy subscription's progress alone is synced every <see cref="SyncMs"/> only: it is
/// written after every few deliveries, and each sync would hold up the one writer for longer than they took.
/// </summary>
internal sealed class WriteProgressJob(
    RocksDbMessageLog log, WebhookId webhook, Delivery.WebhookWrite write, WebhookChanges changes, long? nextWake)
    : WebhookJob<bool>(log, webhook)
{
    /// <summary>How much of a subscription's progress a power failure can take at most, in milliseconds.</summary>
    private const long SyncMs = 250;

    private readonly Delivery.WebhookSnapshot _snapshot = write.Snapshot;
    private bool _synced = true;

    private readonly List<(byte[] Key, byte[] Value)> _rows =
    [
        (WebhookRowKeys.Of(webhook, WebhookRow.Header), WebhookRowRecords.ToBytes(write.Snapshot, nextWake)),
        .. write.Snapshot.Channels.Select(c => (WebhookRowKeys.Of(webhook, WebhookRow.Channel, c.Channel), Delivery.SnapshotRecord.ToBytes(c))),
    ];

    /// <inheritdoc/>
    public override int Bytes => 256 + _rows.Sum(r => r.Value.Length + 64) + ((changes.Parked.Count + changes.DeadLetters.Count) * 512);

    /// <inheritdoc/>
    public override bool Synced => _synced;

    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        if (known is null || known.Generation > _snapshot.Generation) return false;
        _synced = write.IsAwaited || write.Effects.Count > 0 || Math.Abs(group.Now - known.SyncedAt) >= SyncMs;
        if (_synced) known.SyncedAt = group.Now;
        foreach (var letter in changes.DeadLetters.Values) WebhookRowChanges.PutDeadLetter(group, Webhook, letter);
        foreach (var (message, change) in changes.Parked) WebhookRowChanges.Park(group, Webhook, message, change);
        foreach (var cut in changes.Truncations.Values) WebhookRowChanges.PutTruncation(group, Webhook, cut);
        foreach (var channel in changes.Forgotten) Delete(group, WebhookRowKeys.Of(Webhook, WebhookRow.Channel, channel));
        foreach (var (key, value) in _rows) Put(group, key, value);
        known.Generation = _snapshot.Generation;
        known.NotBefore = WebhookWake.NotBefore(_snapshot);
        known.NextWake = nextWake ?? WebhookWake.Never;
        return true;
    }
}

/// <summary>Parks messages on request, and takes them out of the dead letters.</summary>
internal sealed class ParkJob(RocksDbMessageLog log, WebhookId webhook, IReadOnlyList<Delivery.ParkedRow> rows) : WebhookJob<bool>(log, webhook)
{
    /// <inheritdoc/>
    public override int Bytes => rows.Count * 512;

    /// <inheritdoc/>
    protected override bool Change(WriteGroup group, KnownWebhook? known)
    {
        if (known is null) return false;
        foreach (var row in rows.GroupBy(r => r.Ref).Select(g => g.Last()))
        {
            WebhookRowChanges.Park(group, Webhook, row.Ref, new ParkedChange(row, 0));
            WebhookRowChanges.DeleteDeadLetter(group, Webhook, row.Ref.ToId());
            known.NextWake = Math.Min(known.NextWake, row.Due);
        }

        if (rows.Count > 0) StoreWake(group, known);
        return true;
    }

    /// <summary>Nobody else may ever wake the subscription for what was parked.</summary>
    private void StoreWake(WriteGroup group, KnownWebhook known)
    {
        var key = WebhookRowKeys.Of(Webhook, WebhookRow.Header);
        var header = Read(group, key) is { } stored ? WebhookRowRecords.ReadHeader(stored).Header : new Delivery.WebhookSnapshot();
        var first = rows.Min(r => r.Due);
        if (header.StoredDue == 0 || header.StoredDue > first) header = header with { StoredDue = first };
        Put(group, key, WebhookRowRecords.ToBytes(header, known.NextWake));
    }
}

/// <summary>Finds the subscriptions to wake.</summary>
internal sealed class FindDueJob(RocksDbMessageLog log, IReadOnlyCollection<int> shards, long nowMs, WebhookId? after, int limit)
    : StoreJob<IReadOnlyList<WebhookId>>
{
    private static readonly Comparer<WebhookId> LastFirst = Comparer<WebhookId>.Create(static (left, right) => Compare(right, left));

    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        var wanted = new bool[WebhookId.Shards];
        foreach (var shard in shards) wanted[shard] = true;

        // The first ones, the last of them on top. Sorting all would hold up the writer for each page while very many are due.
        var first = new PriorityQueue<WebhookId, WebhookId>(LastFirst);
        foreach (var webhook in log.Marks.All(group))
        {
            if (!wanted[webhook.Shard] || !webhook.IsDue(nowMs) || (after is { } a && Compare(webhook.Id, a) <= 0)) continue;
            if (first.Count < limit) first.Enqueue(webhook.Id, webhook.Id);
            else if (limit > 0 && Compare(webhook.Id, first.Peek()) < 0) first.EnqueueDequeue(webhook.Id, webhook.Id);
        }

        var due = new WebhookId[first.Count];
        for (var i = due.Length - 1; i >= 0; i--) due[i] = first.Dequeue();
        Result = due;
        return true;
    }

    private static int Compare(WebhookId left, WebhookId right)
    {
        var tenants = string.CompareOrdinal(left.Tenant, right.Tenant);
        return tenants != 0 ? tenants : string.CompareOrdinal(left.Id, right.Id);
    }
}

/// <summary>Stores attempts. Not synced: what is written later is stored after them.</summary>
internal sealed class AddAttemptsJob(List<(byte[] Key, byte[] Value)> rows) : StoreJob<bool>
{
    private readonly int _bytes = rows.Sum(r => r.Key.Length + r.Value.Length + 16);

    /// <inheritdoc/>
    public override int Bytes => _bytes;

    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        foreach (var (key, value) in rows) group.Rows.Put(group.Database.Attempts.Number, key, value);
        return Result = true;
    }
}

/// <summary>Drops all attempts before a day.</summary>
internal sealed class DropAttemptsJob(int day) : StoreJob<bool>
{
    /// <inheritdoc/>
    public override bool Synced => false;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        group.Rows.DeleteRange(group.Database.Attempts.Number, AttemptRowKeys.FirstOf(0), AttemptRowKeys.FirstOf(day));
        return Result = true;
    }
}

/// <summary>Changes to rows that have a second row to be found by.</summary>
internal static class WebhookRowChanges
{
    /// <summary>Changes a message's parked row.</summary>
    public static void Park(WriteGroup group, WebhookId webhook, Delivery.MessageRef message, ParkedChange change)
    {
        var (database, family, name) = (group.Database, group.Database.Webhooks, message.ToId());
        var byMessage = WebhookRowKeys.Of(webhook, WebhookRow.ParkedDue, name);
        var due = database.Db.Get(byMessage.AsSpan(), family.Handle) is { } stored ? BinaryPrimitives.ReadInt64BigEndian(stored) : -1;
        if (change.Row is null && (due < 0 || (change.IfDue != 0 && change.IfDue != due))) return;
        if (due >= 0) group.Rows.Delete(family.Number, WebhookRowKeys.Of(webhook, WebhookRow.Parked, due, name));
        if (change.Row is not { } row)
        {
            group.Rows.Delete(family.Number, byMessage);
            return;
        }

        group.Rows.Put(family.Number, WebhookRowKeys.Of(webhook, WebhookRow.Parked, row.Due, name), WebhookRowRecords.ToBytes(row));
        group.Rows.Put(family.Number, byMessage, WebhookRowKeys.Number(row.Due));
    }

    /// <summary>Stores a dead letter.</summary>
    public static void PutDeadLetter(WriteGroup group, WebhookId webhook, StoredDeadLetter letter)
    {
        var name = letter.Ref.ToId();
        DeleteDeadLetter(group, webhook, name);
        var family = group.Database.Webhooks.Number;
        group.Rows.Put(family, WebhookRowKeys.Of(webhook, WebhookRow.DeadLetter, letter.At, name), WebhookRowRecords.ToBytes(letter));
        group.Rows.Put(family, WebhookRowKeys.Of(webhook, WebhookRow.DeadLetterAt, name), WebhookRowKeys.Number(letter.At));
    }

    /// <summary>Removes a dead letter, if there is one.</summary>
    public static void DeleteDeadLetter(WriteGroup group, WebhookId webhook, string name)
    {
        var (database, family) = (group.Database, group.Database.Webhooks);
        var byMessage = WebhookRowKeys.Of(webhook, WebhookRow.DeadLetterAt, name);
        if (database.Db.Get(byMessage.AsSpan(), family.Handle) is not { } at) return;
        group.Rows.Delete(family.Number, byMessage);
        group.Rows.Delete(
            family.Number, WebhookRowKeys.Of(webhook, WebhookRow.DeadLetter, BinaryPrimitives.ReadInt64BigEndian(at), name));
    }

    /// <summary>Stores a truncation; one that was stored before keeps its place, and never becomes shorter.</summary>
    public static void PutTruncation(WriteGroup group, WebhookId webhook, StoredTruncation cut)
    {
        var (database, family, name) = (group.Database, group.Database.Webhooks, WebhookRowKeys.Name(cut));
        var byName = WebhookRowKeys.Of(webhook, WebhookRow.TruncationAt, name);
        var place = database.Db.Get(byName.AsSpan(), family.Handle);
        if (place is not null && database.Db.Get(place.AsSpan(), family.Handle) is { } stored
            && WebhookRowRecords.ReadTruncation(stored).To > cut.To)
        {
            return;
        }

        place ??= WebhookRowKeys.Of(webhook, WebhookRow.Truncation, group.Now, name);
        group.Rows.Put(family.Number, byName, place);
        group.Rows.Put(family.Number, place, WebhookRowRecords.ToBytes(cut));
    }
}

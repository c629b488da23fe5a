using System.Buffers.Binary;
using System.Text;
using Grid.Abstractions;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using RocksDbSharp;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Webhook subscriptions in the embedded store. All changes are jobs of the store's one writer, together with the appends that leave
/// marks; reads go to the database.
/// </summary>
internal sealed class RocksDbWebhookStore(RocksDbMessageLog log) : IWebhookStore
{
    /// <summary>Channels that are looked at, or marked, in one go.</summary>
    private const int Chunk = 512;

    private readonly RocksDbStore _store = log.Store;

    /// <inheritdoc/>
    public async ValueTask<bool> CreateAsync(StoredWebhook webhook, int most, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new CreateWebhookJob(log, webhook, most), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask MarkAllAsync(StoredWebhook webhook, CancellationToken cancellationToken = default)
    {
        foreach (var pattern in webhook.Channels)
        {
            var after = "";
            while (await FindChannelsAsync(webhook.Id.Tenant, pattern, after, Chunk, cancellationToken) is { Count: > 0 } channels)
            {
                await _store.Writer.RunAsync(new MarkChannelsJob(log, webhook.Id, channels), cancellationToken);
                after = channels[^1];
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask<bool> UpdateAsync(StoredWebhook webhook, long generation, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new UpdateWebhookJob(log, webhook, generation), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<bool> DeleteAsync(WebhookId webhook, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new DeleteWebhookJob(log, webhook), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<StoredWebhook?> GetAsync(WebhookId webhook, CancellationToken cancellationToken = default) => Read(database =>
        database.Db.Get(WebhookRowKeys.Definition(webhook).AsSpan(), database.Webhooks.Handle) is { } record
            ? WebhookRowRecords.ReadWebhook(webhook, record)
            : null);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StoredWebhook>> ListAsync(
        string tenant, string after, int limit, CancellationToken cancellationToken = default) => Read<IReadOnlyList<StoredWebhook>>(database =>
    {
        var start = WebhookRowKeys.DefinitionsOf(tenant);
        byte[]? from = after.Length == 0 ? null : [.. WebhookRowKeys.Definition(new WebhookId(tenant, after)), 0];
        return [.. WebhookRows.Scan(database, database.Webhooks, start, from, limit)
            .Select(r => WebhookRowRecords.ReadWebhook(WebhookRowKeys.ReadDefinition(r.Key), r.Value))];
    });

    /// <inheritdoc/>
    public async ValueTask<long?> ClaimAsync(WebhookId webhook, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new ClaimWebhookJob(log, webhook), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<WebhookMark>> GetMarksAsync(
        WebhookId webhook, string after, int limit, CancellationToken cancellationToken = default) => Read<IReadOnlyList<WebhookMark>>(database =>
    {
        var start = WebhookRowKeys.Of(webhook, WebhookRow.Mark);
        byte[]? from = after.Length == 0 ? null : [.. WebhookRowKeys.Of(webhook, WebhookRow.Mark, after), 0];
        return [.. WebhookRows.Scan(database, database.Webhooks, start, from, limit).Select(
            r => new WebhookMark(Encoding.UTF8.GetString(r.Key.AsSpan(start.Length)), WebhookRowRecords.ReadPosition(r.Value)))];
    });

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<WebhookMark>> FindMarksAsync(
        WebhookId webhook, IReadOnlyList<string> channels, CancellationToken cancellationToken = default) => Read<IReadOnlyList<WebhookMark>>(database =>
    {
        var found = new List<WebhookMark>();
        foreach (var channel in channels)
        {
            if (database.Db.Get(WebhookRowKeys.Of(webhook, WebhookRow.Mark, channel).AsSpan(), database.Webhooks.Handle) is { } place)
                found.Add(new WebhookMark(channel, WebhookRowRecords.ReadPosition(place)));
        }

        return found;
    });

    /// <inheritdoc/>
    public async ValueTask<bool[]?> ClearMarksAsync(
        WebhookId webhook, long generation, IReadOnlyList<WebhookMark> settled, CancellationToken cancellationToken = default) =>
        settled.Count == 0 ? [] : await _store.Writer.RunAsync(new ClearMarksJob(log, webhook, generation, settled), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<WebhookSnapshot?> ReadProgressAsync(WebhookId webhook, CancellationToken cancellationToken = default) => Read(database =>
    {
        // One look, so that header and channels are of one write: the header comes behind the channels.
        var own = WebhookRowKeys.Own(webhook);
        WebhookSnapshot? header = null;
        var channels = new List<ProgressRecord>();
        using var rows = database.Db.NewIterator(database.Webhooks.Handle);
        for (rows.Seek([.. own, (byte)WebhookRow.Channel]); header is null && rows.Valid(); rows.Next())
        {
            var key = rows.GetKeySpan();
            if (!key.StartsWith(own)) break;
            var kind = (WebhookRow)key[own.Length];
            if (kind == WebhookRow.Channel) channels.Add(SnapshotRecord.ReadChannel(rows.GetValueSpan()));
            else if (kind == WebhookRow.Header) header = WebhookRowRecords.ReadHeader(rows.GetValueSpan()).Header;
            else break;
        }

        Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return header is null ? null : header with { Channels = channels };
    });

    /// <inheritdoc/>
    public async ValueTask<bool> WriteAsync(
        WebhookId webhook, WebhookWrite write, long? nextWake, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(
            new WriteProgressJob(log, webhook, write, WebhookChanges.Of(write.Effects), nextWake), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ParkedRow>> ReadParkedAsync(
        WebhookId webhook, long from, int limit, CancellationToken cancellationToken = default) => Read<IReadOnlyList<ParkedRow>>(database =>
    {
        var start = WebhookRowKeys.Of(webhook, WebhookRow.Parked);
        return [.. WebhookRows.Scan(database, database.Webhooks, start, [.. start, .. WebhookRowKeys.Number(from)], limit).Select(
            r => WebhookRowRecords.ReadParked(r.Value, BinaryPrimitives.ReadInt64BigEndian(r.Key.AsSpan(start.Length))))];
    });

    /// <inheritdoc/>
    public async ValueTask ParkAsync(WebhookId webhook, IReadOnlyList<ParkedRow> rows, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new ParkJob(log, webhook, rows), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StoredDeadLetter>> ListDeadLettersAsync(
        WebhookId webhook, StoredPlace before, int limit, CancellationToken cancellationToken = default) =>
        Read<IReadOnlyList<StoredDeadLetter>>(database =>
        {
            var start = WebhookRowKeys.Of(webhook, WebhookRow.DeadLetter);
            var end = before == default ? WebhookRowKeys.After(start) : WebhookRowKeys.Of(webhook, WebhookRow.DeadLetter, before.At, before.Name ?? "");
            return [.. WebhookRows.ScanBack(database, database.Webhooks, start, end, limit).Select(r => WebhookRowRecords.ReadDeadLetter(r))];
        });

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StoredTruncation>> ListTruncationsAsync(
        WebhookId webhook, int limit, CancellationToken cancellationToken = default) => Read<IReadOnlyList<StoredTruncation>>(database =>
    {
        var start = WebhookRowKeys.Of(webhook, WebhookRow.Truncation);
        return [.. WebhookRows.ScanBack(database, database.Webhooks, start, WebhookRowKeys.After(start), limit)
            .Select(r => WebhookRowRecords.ReadTruncation(r))];
    });

    /// <inheritdoc/>
    public async ValueTask AddAttemptsAsync(IReadOnlyList<StoredAttempt> attempts, CancellationToken cancellationToken = default)
    {
        if (attempts.Count == 0) return;
        await _store.Writer.RunAsync(new AddAttemptsJob(AttemptRows.Of(attempts)), cancellationToken);
    }

    /// <inheritdoc/>
    /// <remarks>On the thread pool: old attempts are on the disk.</remarks>
    public async ValueTask<AttemptPage> ListAttemptsAsync(
        WebhookId webhook, AttemptQuery query, CancellationToken cancellationToken = default) =>
        await Task.Run(() => Guarded(database => AttemptReader.Read(database, webhook, query)), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DropAttemptsAsync(DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        var day = AttemptRowKeys.Day(before.ToUnixTimeMilliseconds());
        var some = Guarded(database =>
        {
            // A mark of deletion for every sweep would make readers look at all of them.
            using var rows = database.Db.NewIterator(database.Attempts.Handle);
            rows.SeekToFirst();
            return rows.Valid() && AttemptRowKeys.Day(rows.GetKeySpan()) < day;
        });
        if (some) await _store.Writer.RunAsync(new DropAttemptsJob(day), cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DropDeadLettersAsync(DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        var time = before.ToUnixTimeMilliseconds();
        byte[]? from = null;
        while (true)
        {
            var page = await Task.Run(() => Guarded(database => WebhookRows.Scan(database, database.Webhooks, WebhookRowKeys.Definitions, from, Chunk)
                .Select(r => (r.Key, Webhook: WebhookRowKeys.ReadDefinition(r.Key)))
                .Select(r => (r.Key, r.Webhook, IsOld: DropDeadLettersJob.HasOld(database, r.Webhook, time))).ToList()), cancellationToken);
            foreach (var (_, webhook, _) in page.Where(static w => w.IsOld))
            {
                while (await _store.Writer.RunAsync(new DropDeadLettersJob(log, webhook, time, Chunk), cancellationToken) == Chunk)
                {
                }
            }

            if (page.Count < Chunk) return;
            from = [.. page[^1].Key, 0];
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<WebhookId>> FindDueAsync(
        IReadOnlyCollection<int> shards, long nowMs, WebhookId? after, int limit, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new FindDueJob(log, shards, nowMs, after, limit), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> FindChannelsAsync(
        string tenant, string pattern, string after, int limit, CancellationToken cancellationToken = default) =>
        Read<IReadOnlyList<string>>(database =>
        {
            var tenantLength = RowKeys.Channel(new ChannelId(tenant, "")).Length;
            if (!ChannelPatterns.IsPrefix(pattern, out var prefix))
            {
                return string.CompareOrdinal(pattern, after) > 0 && limit > 0
                    && database.Db.Get(RowKeys.Channel(new ChannelId(tenant, pattern)).AsSpan(), database.Channels.Handle) is not null
                    ? [pattern]
                    : [];
            }

            var start = RowKeys.Channel(new ChannelId(tenant, prefix.ToString()));
            byte[]? from = string.CompareOrdinal(after, prefix.ToString()) < 0 ? null : [.. RowKeys.Channel(new ChannelId(tenant, after)), 0];
            var found = new List<string>();
            while (found.Count < limit)
            {
                var wanted = limit - found.Count;
                string[] page = [.. Names(from, wanted)];
                found.AddRange(ChannelPatterns.IsOwn(prefix) ? page : page.Where(static c => !ChannelPatterns.IsOwn(c)));
                if (page.Length < wanted) break;
                from = [.. RowKeys.Channel(new ChannelId(tenant, page[^1])), 0];
            }

            return found;

            IEnumerable<string> Names(byte[]? first, int most) => WebhookRows.Scan(database, database.Channels, start, first, most).Select(
                r => Encoding.UTF8.GetString(r.Key.AsSpan(tenantLength)));
        });

    private ValueTask<T> Read<T>(Func<OpenDatabase, T> read) => ValueTask.FromResult(Guarded(read));

    /// <summary>Failures of the database are the store's being away.</summary>
    private T Guarded<T>(Func<OpenDatabase, T> read)
    {
        try
        {
            using var lease = _store.Lease();
            return read(lease.Database);
        }
        catch (Exception e) when (e is RocksDbException or InvalidDataException)
        {
            throw new LogUnavailableException(RocksDbStore.Explain(e), e);
        }
    }
}

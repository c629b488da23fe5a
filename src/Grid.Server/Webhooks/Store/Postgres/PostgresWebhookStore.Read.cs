using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Npgsql;
using static Grid.Server.Webhooks.Store.Postgres.PostgresCall;

namespace Grid.Server.Webhooks.Store.Postgres;

// What is read.
internal sealed partial class PostgresWebhookStore
{
    /// <inheritdoc/>
    public async ValueTask<StoredWebhook?> GetAsync(WebhookId webhook, CancellationToken cancellationToken = default) =>
        (await RowsAsync(
            "select id, version, channels, definition, secrets from webhooks where tenant = $1 and id = $2",
            r => ReadWebhook(webhook.Tenant, r),
            cancellationToken,
            P(webhook.Tenant),
            P(webhook.Id))).SingleOrDefault();

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StoredWebhook>> ListAsync(
        string tenant, string after, int limit, CancellationToken cancellationToken = default) => await RowsAsync(
        "select id, version, channels, definition, secrets from webhooks where tenant = $1 and id > $2 order by id limit $3",
        r => ReadWebhook(tenant, r),
        cancellationToken,
        P(tenant),
        P(after),
        P(limit));

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<WebhookMark>> GetMarksAsync(
        WebhookId webhook, string after, int limit, CancellationToken cancellationToken = default) => await RowsAsync(
        "select channel, epoch, place from webhook_marks where tenant = $1 and id = $2 and channel > $3 order by channel limit $4",
        ReadMark,
        cancellationToken,
        P(webhook.Tenant),
        P(webhook.Id),
        P(after),
        P(limit));

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<WebhookMark>> FindMarksAsync(
        WebhookId webhook, IReadOnlyList<string> channels, CancellationToken cancellationToken = default) => channels.Count == 0 ? [] : await RowsAsync(
        "select channel, epoch, place from webhook_marks where tenant = $1 and id = $2 and channel = any ($3)",
        ReadMark,
        cancellationToken,
        P(webhook.Tenant),
        P(webhook.Id),
        P(channels.ToArray()));

    /// <inheritdoc/>
    public async ValueTask<WebhookSnapshot?> ReadProgressAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        // One statement, so that header and channels are of one write.
        var rows = await RowsAsync(
            """
            select true, header from webhook_progress where tenant = $1 and id = $2 and header is not null
            union all
            select false, record from webhook_channels where tenant = $1 and id = $2
            """,
            r => (IsHeader: r.GetBoolean(0), Record: r.GetFieldValue<byte[]>(1)),
            cancellationToken,
            P(webhook.Tenant),
            P(webhook.Id));
        WebhookSnapshot? header = null;
        var channels = new List<ProgressRecord>();
        foreach (var (isHeader, record) in rows)
        {
            if (isHeader) header = SnapshotRecord.Read(record);
            else channels.Add(SnapshotRecord.ReadChannel(record));
        }

        channels.Sort((a, b) => string.CompareOrdinal(a.Channel, b.Channel));
        return header is null ? null : header with { Channels = channels };
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ParkedRow>> ReadParkedAsync(
        WebhookId webhook, long from, int limit, CancellationToken cancellationToken = default) => await RowsAsync(
        "select due, record from webhook_parked where tenant = $1 and id = $2 and due >= $3 order by due, message limit $4",
        r => WebhookRowRecords.ReadParked(r.GetFieldValue<byte[]>(1), r.GetInt64(0)),
        cancellationToken,
        P(webhook.Tenant),
        P(webhook.Id),
        P(from),
        P(limit));

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StoredDeadLetter>> ListDeadLettersAsync(
        WebhookId webhook, StoredPlace before, int limit, CancellationToken cancellationToken = default) => await RowsAsync(
        """
        select record from webhook_dead_letters where tenant = $1 and id = $2 and (at, message) < ($3, $4)
        order by at desc, message desc limit $5
        """,
        r => WebhookRowRecords.ReadDeadLetter(r.GetFieldValue<byte[]>(0)),
        cancellationToken,
        P(webhook.Tenant),
        P(webhook.Id),
        P(before == default ? long.MaxValue : before.At),
        P(before.Name ?? ""),
        P(limit));

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StoredTruncation>> ListTruncationsAsync(
        WebhookId webhook, int limit, CancellationToken cancellationToken = default) => await RowsAsync(
        "select record from webhook_truncations where tenant = $1 and id = $2 order by number desc limit $3",
        r => WebhookRowRecords.ReadTruncation(r.GetFieldValue<byte[]>(0)),
        cancellationToken,
        P(webhook.Tenant),
        P(webhook.Id),
        P(limit));

    /// <inheritdoc/>
    public async ValueTask<AttemptPage> ListAttemptsAsync(WebhookId webhook, AttemptQuery query, CancellationToken cancellationToken = default)
    {
        var at = query.Before == default ? long.MaxValue : query.Before.At;
        List<NpgsqlParameter> parameters =
        [
            P(webhook.Tenant), P(webhook.Id), P(at), P(query.Before.Name ?? ""), P(query.Since),
            P(PostgresAttemptDays.Of(query.Since)), P(query.Limit), P(query.MostRead),
        ];
        var (where, wanted) = ("tenant = $1 and id = $2 and (at, name) < ($3, $4) and at >= $5 and bucket >= $6", "true");
        if (query.MessageId is { } message)
        {
            parameters.Add(P(message));
            where += " and message = $9";
        }

        // Those of all that failed are found by an index. Else no more rows are looked at than may be, and the last of them comes along:
        // it says where to go on.
        if (query is { Succeeded: false, MessageId: null }) where += " and failed";
        else if (query.Succeeded is { } succeeded) wanted = succeeded ? "not failed" : "failed";
        var rows = await RowsAsync(
            $"""
            select at, name, n, case when {wanted} then record end from (
                select at, name, failed, record, row_number() over (order by at desc, name desc) as n
                from webhook_attempts where {where} order by at desc, name desc limit $8) looked
            where {wanted} or n = $8 order by at desc, name desc limit $7
            """,
            r => (Place: new StoredPlace(r.GetInt64(0), r.GetString(1)), Number: r.GetInt64(2), Record: r.IsDBNull(3) ? null : r.GetFieldValue<byte[]>(3)),
            cancellationToken,
            [.. parameters]);
        var isCut = rows.Count == query.Limit || (rows.Count > 0 && rows[^1].Number == query.MostRead);
        return new AttemptPage(
            [.. rows.Where(static r => r.Record is not null).Select(r => WebhookRowRecords.ReadAttempt(webhook, r.Record))],
            isCut ? rows[^1].Place : default);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<WebhookId>> FindDueAsync(
        IReadOnlyCollection<int> shards, long nowMs, WebhookId? after, int limit, CancellationToken cancellationToken = default) =>
        await RowsAsync(
            """
            select p.tenant, p.id from webhook_progress p
            where p.shard = any ($1) and p.not_before <= $2 and (p.tenant, p.id) > ($3, $4)
                and (p.wake <= $2 or exists (select from webhook_marks m where m.tenant = p.tenant and m.id = p.id))
            order by p.tenant, p.id limit $5
            """,
            r => new WebhookId(r.GetString(0), r.GetString(1)),
            cancellationToken,
            P(shards.ToArray()),
            P(nowMs),
            P(after?.Tenant ?? ""),
            P(after?.Id ?? ""),
            P(limit));

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<string>> FindChannelsAsync(
        string tenant, string pattern, string after, int limit, CancellationToken cancellationToken = default)
    {
        var found = new List<string>();
        foreach (var (from, to) in Names(tenant, pattern))
        {
            if (found.Count == limit) break;
            found.AddRange(await RowsAsync(
                "select substr(name, $4) from channels where name >= $1 and name < $2 and name > $3 order by name limit $5",
                r => r.GetString(0),
                cancellationToken,
                P(from),
                P(to),
                P($"{tenant}/{after}"),
                P(tenant.Length + 2),
                P(limit - found.Count)));
        }

        return found;
    }

    private static WebhookMark ReadMark(NpgsqlDataReader row) => new(row.GetString(0), new Position(row.GetString(1), row.GetInt64(2)));

    private static StoredWebhook ReadWebhook(string tenant, NpgsqlDataReader row) => new()
    {
        Id = new WebhookId(tenant, row.GetString(0)),
        Version = row.GetInt64(1),
        Channels = row.GetFieldValue<string[]>(2),
        Definition = row.GetFieldValue<byte[]>(3),
        Secrets = row.GetFieldValue<byte[]>(4),
    };

    /// <summary>A subscription's generation and header; null: there is none.</summary>
    private async Task<(long Generation, byte[]? Header)?> ReadHeaderAsync(WebhookId webhook, CancellationToken cancellationToken)
    {
        var found = await RowsAsync(
            "select generation, header from webhook_progress where tenant = $1 and id = $2",
            r => (r.GetInt64(0), r.IsDBNull(1) ? null : r.GetFieldValue<byte[]>(1)),
            cancellationToken,
            P(webhook.Tenant),
            P(webhook.Id));
        return found.Count == 0 ? null : found[0];
    }

    private async Task<List<T>> RowsAsync<T>(
        string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken, params NpgsqlParameter[] parameters) =>
        await _database.ReadAsync(
            (Sql: sql, Read: read, Parameters: parameters),
            static async (call, source, cancellation) =>
            {
                await using var connection = await source.OpenConnectionAsync(cancellation);
                await using var command = Command(connection, call.Sql, [.. call.Parameters.Select(p => p.Clone())]);
                var found = new List<T>();
                await using var rows = await command.ExecuteReaderAsync(cancellation);
                while (await rows.ReadAsync(cancellation)) found.Add(call.Read(rows));
                return found;
            },
            cancellationToken);
}

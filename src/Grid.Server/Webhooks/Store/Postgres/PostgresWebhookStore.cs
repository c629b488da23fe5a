using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Delivery;
using Npgsql;
using static Grid.Server.Webhooks.Store.Postgres.PostgresCall;

namespace Grid.Server.Webhooks.Store.Postgres;

/// <summary>
/// Webhook subscriptions in the cluster's database. What is decided under locks is decided in its functions
/// (<c>Schema/0006_webhooks.sql</c> and those after it).
/// </summary>
/// <remarks>
/// Nothing keeps appends from going on while a subscription is made: one that begins when its definition is committed finds it, one that
/// began before may not. The snapshots that <c>create_webhook</c> and <c>update_webhook</c> answer with, and <c>mark_moved</c>, are what
/// programs that come before <see cref="Channels.IPublishBarrier"/> look for such appends with.
/// </remarks>
internal sealed partial class PostgresWebhookStore : IWebhookStore
{
    /// <summary>The most writes of progress in one transaction.</summary>
    private const int MaxWrites = 128;

    /// <summary>The most calls whose attempts go in one transaction.</summary>
    private const int MaxAttempts = 512;

    /// <summary>Channels that are looked at in one statement.</summary>
    private const int Page = 2_000;

    private readonly PostgresDatabase _database;
    private readonly PostgresGatherer<ProgressWrite, bool> _writes;
    private readonly PostgresGatherer<IReadOnlyList<StoredAttempt>, bool> _attempts;

    public PostgresWebhookStore(PostgresDatabase database)
    {
        _database = database;
        _writes = new(database, MaxWrites, w => w.Webhook, w => ProgressWrite.WriteAsync(database.Source, w));
        _attempts = new(database, MaxAttempts, keyOf: null, a => AttemptWrite.WriteAsync(database.Source, a));
    }

    /// <summary>Transactions that wrote progress so far.</summary>
    public long Writes => _writes.Transactions;

    /// <inheritdoc/>
    public async ValueTask<bool> CreateAsync(StoredWebhook webhook, int most, CancellationToken cancellationToken = default) =>
        await CallAsync(
            "select create_webhook($1, $2, $3, $4, $5, $6, $7, $8)",
            cancellationToken,
            P(webhook.Id.Tenant), P(webhook.Id.Id), P(webhook.Id.Shard), P(webhook.Version), P(webhook.Channels.ToArray()),
            P(webhook.Definition.ToArray()), P(webhook.Secrets.ToArray()), P(most)) is string;

    /// <inheritdoc/>
    public async ValueTask MarkAllAsync(StoredWebhook webhook, CancellationToken cancellationToken = default)
    {
        // Those that may not have known of the subscription: they write to channels that are not here yet.
        await CallAsync("select wait_for_appends()", cancellationToken);
        var (tenant, id) = webhook.Id;
        foreach (var (first, to) in webhook.Channels.SelectMany(p => Names(tenant, p)))
        {
            var from = first;
            while (await CallAsync(
                "select mark_all($1, $2, $3, $4, $5)", cancellationToken, P(tenant), P(id), P(from), P(to), P(Page)) is string last)
            {
                from = last + '\u0001';
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask<bool> UpdateAsync(StoredWebhook webhook, long generation, CancellationToken cancellationToken = default) =>
        await CallAsync(
            "select update_webhook($1, $2, $3, $4, $5, $6, $7)",
            cancellationToken,
            P(webhook.Id.Tenant), P(webhook.Id.Id), P(generation), P(webhook.Version), P(webhook.Channels.ToArray()),
            P(webhook.Definition.ToArray()), P(webhook.Secrets.ToArray())) is true;

    /// <inheritdoc/>
    /// <remarks>
    /// The header names the generation too: programs that come before this call count on from there, and what they wrote would be refused if
    /// it named an earlier one. Synced: activations outlive a crash of the database, and after it two of them would have the same one.
    /// </remarks>
    public async ValueTask<long?> ClaimAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        while (await ReadHeaderAsync(webhook, cancellationToken) is var (generation, stored))
        {
            var header = (stored is null ? new WebhookSnapshot() : SnapshotRecord.Read(stored)) with { Generation = generation + 1 };
            var claimed = await CallAsync(
                """
                update webhook_progress p set generation = $3 + 1, header = $5
                where p.tenant = $1 and p.id = $2 and p.generation = $3 and p.header is not distinct from $4 returning p.generation
                """,
                cancellationToken,
                P(webhook.Tenant), P(webhook.Id), P(generation), Bytes(stored), P(SnapshotRecord.ToBytes(header)));
            if (claimed is long next) return next;
        }

        return null;
    }

    /// <inheritdoc/>
    public async ValueTask<bool[]?> ClearMarksAsync(
        WebhookId webhook, long generation, IReadOnlyList<WebhookMark> settled, CancellationToken cancellationToken = default)
    {
        var cleared = new bool[settled.Count];
        if (cleared.Length == 0) return cleared;
        var answer = await CallAsync(
            "select clear_marks($1, $2, $3, $4, $5, $6)",
            cancellationToken,
            P(webhook.Tenant), P(webhook.Id), P(generation),
            P(settled.Select(s => s.Channel).ToArray()),
            P(settled.Select(s => s.Position.Epoch).ToArray()),
            P(settled.Select(s => s.Position.Offset).ToArray()));
        if (answer is not int[] kept) return null;
        Array.Fill(cleared, true);
        foreach (var place in kept) cleared[place - 1] = false;
        return cleared;
    }

    /// <inheritdoc/>
    public async ValueTask<bool> WriteAsync(
        WebhookId webhook, WebhookWrite write, long? nextWake, CancellationToken cancellationToken = default) =>
        await _writes.WriteAsync(
            new ProgressWrite(webhook, write.Snapshot, WebhookChanges.Of(write.Effects), nextWake), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask ParkAsync(WebhookId webhook, IReadOnlyList<ParkedRow> rows, CancellationToken cancellationToken = default)
    {
        if (rows.Count == 0) return;
        ParkedRow[] last = [.. rows.GroupBy(r => r.Ref).Select(g => g.Last())];
        var first = last.Min(r => r.Due);
        while (await ReadHeaderAsync(webhook, cancellationToken) is var (generation, stored))
        {
            // Nobody else may ever wake the subscription for what is parked; so the header names it. If it was written meanwhile, again.
            var header = stored is null ? new WebhookSnapshot() : SnapshotRecord.Read(stored);
            if (header.StoredDue == 0 || header.StoredDue > first) header = header with { StoredDue = first };
            var parked = await CallAsync(
                "select park_messages($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                cancellationToken,
                P(webhook.Tenant), P(webhook.Id), P(generation), Bytes(stored), P(SnapshotRecord.ToBytes(header)), P(first),
                P(last.Select(r => r.Ref.ToId()).ToArray()),
                P(last.Select(r => r.Due).ToArray()),
                P(last.Select(WebhookRowRecords.ToBytes).ToArray()));
            if (parked is true) return;
        }
    }

    /// <inheritdoc/>
    public async ValueTask AddAttemptsAsync(IReadOnlyList<StoredAttempt> attempts, CancellationToken cancellationToken = default)
    {
        if (attempts.Count > 0) await _attempts.WriteAsync(attempts, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DropAttemptsAsync(DateTimeOffset before, CancellationToken cancellationToken = default) =>
        await _database.ReadAsync(
            PostgresAttemptDays.Of(before.ToUnixTimeMilliseconds()),
            static (day, source, cancellation) => PostgresAttemptDays.DropAsync(source, day, cancellation),
            cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DropDeadLettersAsync(DateTimeOffset before, CancellationToken cancellationToken = default)
    {
        foreach (var table in (string[])["webhook_dead_letters", "webhook_truncations"])
        {
            // In parts, and passing over what somebody else is about to change: it is not so old then, or dropped by another silo.
            while (await CallAsync(
                $"""
                with dropped as (
                    delete from {table} where ctid = any (array(
                        select ctid from {table} where at < $1 order by at limit $2 for update skip locked)) returning 1)
                select count(*) from dropped
                """,
                cancellationToken, P(before.ToUnixTimeMilliseconds()), P(Page)) is long and >= Page)
            {
            }
        }

        await DropLeftoversAsync(cancellationToken);
    }

    /// <summary>The rows' names that match a pattern: from one to before another. Names have no character below or above these.</summary>
    private static (string From, string To)[] Names(string tenant, string pattern)
    {
        if (!ChannelPatterns.IsPrefix(pattern, out var prefix)) return [($"{tenant}/{pattern}", $"{tenant}/{pattern}\u0001")];
        var (from, to) = ($"{tenant}/{prefix}", $"{tenant}/{prefix}\u007f");
        if (ChannelPatterns.IsOwn(prefix) || !ChannelPatterns.Own.AsSpan().StartsWith(prefix, StringComparison.Ordinal)) return [(from, to)];

        // Around Grid's own.
        return [(from, $"{tenant}/{ChannelPatterns.Own}"), ($"{tenant}/{ChannelPatterns.Own}\u007f", to)];
    }

    private static NpgsqlParameter Bytes(byte[]? value) =>
        new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Bytea };

    private async Task<object?> CallAsync(string sql, CancellationToken cancellationToken, params NpgsqlParameter[] parameters) =>
        await _database.ReadAsync(
            (Sql: sql, Parameters: parameters),
            static (call, source, cancellation) => PostgresCall.WriteAsync(
                source, call.Sql, cancellation, [.. call.Parameters.Select(p => p.Clone())]),
            cancellationToken);
}

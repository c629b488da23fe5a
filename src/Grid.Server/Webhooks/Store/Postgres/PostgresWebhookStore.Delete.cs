using Grid.Server.Log.Postgres;
using Npgsql;
using static Grid.Server.Webhooks.Store.Postgres.PostgresCall;

namespace Grid.Server.Webhooks.Store.Postgres;

// Deletion. First the subscription itself goes, in one step, so that nothing is marked or written for it any more; then its rows, in parts: a
// prefix can have left millions, and one statement for all would not end in the time that a statement has, however often it is repeated.
internal sealed partial class PostgresWebhookStore
{
    /// <summary>Above every name.</summary>
    private const string LastName = "\U0010FFFF";

    /// <summary>The tables with the rows of subscriptions, each with the column that follows tenant and id in its key.</summary>
    private static readonly (string Table, string Key)[] RowTables =
    [
        ("webhook_marks", "channel"), ("webhook_channels", "channel"), ("webhook_parked", "message"), ("webhook_dead_letters", "message"),
        ("webhook_truncations", "channel"),
    ];

    /// <inheritdoc/>
    public async ValueTask<bool> DeleteAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        // What is not there is not looked for under a lock.
        if (await GetAsync(webhook, cancellationToken) is null || !await _database.ReadAsync(webhook, RemoveAsync, cancellationToken)) return false;

        // Appends under way may still have known it.
        await CallAsync("select wait_for_appends()", cancellationToken);
        foreach (var (table, key) in RowTables) await DeleteRowsAsync(table, key, webhook, cancellationToken);
        return true;
    }

    /// <summary>
    /// Removes the subscription itself, in the order in which others lock the same rows. Its progress goes with it: a write holds that row
    /// while it adds to the rest, and without it nothing is written.
    /// </summary>
    private static async Task<bool> RemoveAsync(WebhookId webhook, NpgsqlDataSource source, CancellationToken cancellationToken)
    {
        await using var connection = await source.OpenConnectionAsync(cancellationToken);
        var watch = new CommitWatch(connection);

        // Without a transaction of its own a batch is one.
        await using var batch = new NpgsqlBatch(connection);
        Add("select lock_webhook_tenant($1)", webhook.Tenant);
        var deletion = Add("delete from webhooks where tenant = $1 and id = $2", webhook.Tenant, webhook.Id);
        Add("delete from webhook_patterns where tenant = $1 and id = $2", webhook.Tenant, webhook.Id);
        Add("select renew_webhook_tenant($1)", webhook.Tenant);
        Add("delete from webhook_progress where tenant = $1 and id = $2", webhook.Tenant, webhook.Id);
        await batch.ExecuteNonQueryAsync(cancellationToken);
        watch.Verify();
        return deletion.RecordsAffected > 0;

        NpgsqlBatchCommand Add(string sql, params string[] names)
        {
            var command = new NpgsqlBatchCommand(sql);
            foreach (var name in names) command.Parameters.Add(P(name));
            batch.BatchCommands.Add(command);
            return command;
        }
    }

    /// <summary>Deletes a subscription's rows of a table, going on from key to key: what is deleted is not looked at again.</summary>
    private async Task DeleteRowsAsync(string table, string key, WebhookId webhook, CancellationToken cancellationToken)
    {
        var sql =
            $"""
            with part as materialized (
                select (select t.{key} from {table} t
                    where t.tenant = $1 and t.id = $2 and t.{key} > $3 order by t.{key} offset $4 limit 1) as last),
            gone as (
                delete from {table} t
                where t.tenant = $1 and t.id = $2 and t.{key} > $3 and t.{key} <= coalesce((select p.last from part p), $5))
            select p.last from part p
            """;
        for (var after = string.Empty; after is not null;)
        {
            after = (string?)await CallAsync(
                sql, cancellationToken, P(webhook.Tenant), P(webhook.Id), P(after), P(Page - 1), P(LastName));
        }
    }

    /// <summary>
    /// Deletes what is left of subscriptions that are gone: a deletion may have been cut off, and an append that began before may have left a
    /// mark after it.
    /// </summary>
    private async Task DropLeftoversAsync(CancellationToken cancellationToken)
    {
        foreach (var (table, key) in RowTables)
        {
            // From one subscription's rows to the next one's, whose number is bounded, whatever the number of rows.
            var sql =
                $"""
                with recursive found(tenant, id, n) as (
                    (select t.tenant, t.id, 1 from {table} t where (t.tenant, t.id) > ($1, $2) order by t.tenant, t.id limit 1)
                    union all
                    select m.tenant, m.id, f.n + 1
                    from found f
                    cross join lateral (
                        select t.tenant, t.id from {table} t where (t.tenant, t.id) > (f.tenant, f.id) order by t.tenant, t.id limit 1) m
                    where f.n < $3)
                select f.tenant, f.id, exists (select from webhooks w where w.tenant = f.tenant and w.id = f.id) from found f order by f.n
                """;
            var after = new WebhookId(string.Empty, string.Empty);
            while (true)
            {
                var found = await RowsAsync(
                    sql,
                    r => (Webhook: new WebhookId(r.GetString(0), r.GetString(1)), Exists: r.GetBoolean(2)),
                    cancellationToken,
                    P(after.Tenant),
                    P(after.Id),
                    P(Page));
                foreach (var (webhook, exists) in found)
                {
                    if (!exists) await DeleteRowsAsync(table, key, webhook, cancellationToken);
                }

                if (found.Count < Page) break;
                after = found[^1].Webhook;
            }
        }
    }
}

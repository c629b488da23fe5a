using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Delivery;
using Npgsql;
using static Grid.Server.Webhooks.Store.Postgres.PostgresCall;

namespace Grid.Server.Webhooks.Store.Postgres;

/// <summary>A write of one subscription's progress.</summary>
/// <param name="Webhook">Which.</param>
/// <param name="Snapshot">The header and the channels.</param>
/// <param name="Changes">What the effects come to.</param>
/// <param name="NextWake">When it has something to do though nothing happens.</param>
internal sealed record ProgressWrite(WebhookId Webhook, WebhookSnapshot Snapshot, WebhookChanges Changes, long? NextWake)
{
    /// <summary>Writes those of different subscriptions in one transaction; tells for each whether it was not refused.</summary>
    public static async Task<bool[]> WriteAsync(NpgsqlDataSource source, IReadOnlyList<ProgressWrite> writes)
    {
        // Numbered from 1, as places in arrays are.
        var numbered = writes.Select((w, i) => (Write: w, Number: i + 1)).ToArray();
        var channels = numbered.SelectMany(n => n.Write.Snapshot.Channels.Select(c => (n.Number, Row: c))).ToArray();
        var parked = numbered.SelectMany(n => n.Write.Changes.Parked.Select(p => (n.Number, Message: p.Key.ToId(), Row: p.Value))).ToArray();
        var dead = numbered.SelectMany(n => n.Write.Changes.DeadLetters.Values.Select(d => (n.Number, Row: d))).ToArray();
        var cuts = numbered.SelectMany(n => n.Write.Changes.Truncations.Values.Select(t => (n.Number, Row: t))).ToArray();
        var forgotten = numbered.SelectMany(n => n.Write.Changes.Forgotten.Select(f => (n.Number, Channel: f))).ToArray();
        var refused = (int[]?)await PostgresCall.WriteAsync(
            source,
            "select write_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)",
            CancellationToken.None,
            P(Array(writes, w => w.Webhook.Tenant)),
            P(Array(writes, w => w.Webhook.Id)),
            P(Array(writes, w => w.Snapshot.Generation)),
            P(Array(writes, w => WebhookWake.NotBefore(w.Snapshot))),
            P(Array(writes, w => w.NextWake)),
            P(Array(writes, w => SnapshotRecord.ToBytes(w.Snapshot with { Channels = [] }))),
            P(Array(channels, c => c.Number)),
            P(Array(channels, c => c.Row.Channel)),
            P(Array(channels, c => SnapshotRecord.ToBytes(c.Row))),
            P(Array(parked, p => p.Number)),
            P(Array(parked, p => p.Message)),
            P(Array(parked, p => p.Row.IfDue)),
            P(Array(parked, p => p.Row.Row?.Due)),
            P(Array(parked, p => p.Row.Row is { } row ? WebhookRowRecords.ToBytes(row) : [])),
            P(Array(dead, d => d.Number)),
            P(Array(dead, d => d.Row.Ref.ToId())),
            P(Array(dead, d => d.Row.At)),
            P(Array(dead, d => WebhookRowRecords.ToBytes(d.Row))),
            P(Array(cuts, t => t.Number)),
            P(Array(cuts, t => t.Row.Channel)),
            P(Array(cuts, t => t.Row.Epoch)),
            P(Array(cuts, t => t.Row.From)),
            P(Array(cuts, t => t.Row.To)),
            P(Array(cuts, t => WebhookRowRecords.ToBytes(t.Row))),
            P(Array(forgotten, f => f.Number)),
            P(Array(forgotten, f => f.Channel)));
        var written = new bool[writes.Count];
        System.Array.Fill(written, true);
        foreach (var number in refused ?? []) written[number - 1] = false;
        return written;
    }

    private static TValue[] Array<TItem, TValue>(IReadOnlyList<TItem> items, Func<TItem, TValue> value)
    {
        var values = new TValue[items.Count];
        for (var i = 0; i < values.Length; i++) values[i] = value(items[i]);
        return values;
    }
}

/// <summary>Writes of attempts.</summary>
internal static class AttemptWrite
{
    /// <summary>Stores attempts of many callers in one transaction, and makes partitions that are missing.</summary>
    public static async Task<bool[]> WriteAsync(NpgsqlDataSource source, IReadOnlyList<IReadOnlyList<StoredAttempt>> lists)
    {
        StoredAttempt[] all = [.. lists.SelectMany(a => a)];
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await PostgresCall.WriteAsync(
                    source,
                    "select add_attempts($1, $2, $3, $4, $5, $6, $7)",
                    CancellationToken.None,
                    P(all.Select(a => a.Webhook.Tenant).ToArray()),
                    P(all.Select(a => a.Webhook.Id).ToArray()),
                    P(all.Select(a => a.At).ToArray()),
                    P(all.Select(a => a.Id).ToArray()),
                    P(all.Select(a => a.MessageId).ToArray()),
                    P(all.Select(a => !a.Succeeded).ToArray()),
                    P(all.Select(WebhookRowRecords.ToBytes).ToArray()));
                return [.. lists.Select(_ => true)];
            }
            catch (Exception e) when (attempt == 1 && PostgresErrors.IsMissingPartition(e))
            {
                foreach (var day in all.Select(a => PostgresAttemptDays.Of(a.At)).Distinct()) await PostgresAttemptDays.MakeAsync(source, day);
            }
        }
    }
}

using System.Text;
using Grid.Server.Log;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>Drops a subscription's dead letters and truncations from before a time, so many at most; tells how many there were.</summary>
/// <remarks>Not synced: what a power failure brings back is dropped the next time.</remarks>
internal sealed class DropDeadLettersJob(RocksDbMessageLog log, WebhookId webhook, long before, int limit) : WebhookJob<int>(log, webhook)
{
    /// <summary>The lists, each with the rows by which its entries are found by name.</summary>
    private static readonly (WebhookRow ByTime, WebhookRow ByName)[] Lists =
        [(WebhookRow.DeadLetter, WebhookRow.DeadLetterAt), (WebhookRow.Truncation, WebhookRow.TruncationAt)];

    /// <inheritdoc/>
    public override int Bytes => limit * 256;

    /// <inheritdoc/>
    public override bool Synced => false;

    /// <summary>Whether there is anything to drop, for who does not want to hold up the writer for nothing.</summary>
    public static bool HasOld(OpenDatabase database, WebhookId webhook, long before) =>
        Lists.Any(list => Old(database, webhook, list.ByTime, before, 1).Any());

    /// <inheritdoc/>
    protected override int Change(WriteGroup group, KnownWebhook? known)
    {
        var dropped = 0;
        foreach (var (byTime, byName) in Lists)
        {
            var names = WebhookRowKeys.Of(Webhook, byTime).Length + sizeof(long);
            foreach (var key in Old(group.Database, Webhook, byTime, before, limit - dropped))
            {
                Delete(group, key);
                Delete(group, WebhookRowKeys.Of(Webhook, byName, Encoding.UTF8.GetString(key.AsSpan(names))));
                dropped++;
            }
        }

        return dropped;
    }

    private static IEnumerable<byte[]> Old(OpenDatabase database, WebhookId webhook, WebhookRow list, long before, int limit)
    {
        var start = WebhookRowKeys.Of(webhook, list);
        var end = WebhookRowKeys.Of(webhook, list, before, "");
        return WebhookRows.Scan(database, database.Webhooks, start, null, limit).Select(static r => r.Key).TakeWhile(k => k.AsSpan().SequenceCompareTo(end) < 0);
    }
}

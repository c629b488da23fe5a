using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Attempts as rows. Those of a subscription that are written together share one, and one in each index: a row costs the database about as
/// much, however many are in it.
/// </summary>
internal static class AttemptRows
{
    /// <summary>
    /// How far apart in milliseconds the attempts of a row began at most. A list that goes on before a time has to look at rows of up to so
    /// much later.
    /// </summary>
    public const long MaxSpanMs = 100;

    /// <summary>The most attempts of a row: who looks for one reads all of them.</summary>
    private const int MaxAttempts = 128;

    /// <summary>About the most bytes of a row, unless one attempt has more.</summary>
    private const int MaxBytes = 16 * 1024;

    /// <summary>The rows of attempts. The same attempts make the same rows.</summary>
    public static List<(byte[] Key, byte[] Value)> Of(IReadOnlyList<StoredAttempt> attempts)
    {
        StoredAttempt[] sorted = [.. attempts];
        Array.Sort(sorted, static (left, right) => Compare(left, right));
        var rows = new List<(byte[], byte[])>();
        var writer = new RecordWriter();
        for (var first = 0; first < sorted.Length;)
        {
            var row = sorted.AsSpan(first, Fitting(sorted.AsSpan(first)));
            writer.Clear();
            AttemptListRecord.Write(writer, row);
            Add(rows, row, writer.Written.ToArray());
            first += row.Length;
        }

        return rows;
    }

    private static int Compare(StoredAttempt left, StoredAttempt right)
    {
        var webhooks = string.CompareOrdinal(left.Webhook.Id, right.Webhook.Id);
        if (webhooks == 0) webhooks = string.CompareOrdinal(left.Webhook.Tenant, right.Webhook.Tenant);
        return webhooks != 0 ? webhooks : AttemptMerge.NewestFirst.Compare(AttemptMerge.PlaceOf(left), AttemptMerge.PlaceOf(right));
    }

    /// <summary>How many of these are a row.</summary>
    private static int Fitting(ReadOnlySpan<StoredAttempt> attempts)
    {
        var (newest, count, bytes) = (attempts[0], 1, Bytes(attempts[0]));
        for (; count < attempts.Length && count < MaxAttempts; count++)
        {
            var next = attempts[count];
            bytes += Bytes(next);
            if (bytes > MaxBytes || next.Webhook != newest.Webhook || newest.At - next.At > MaxSpanMs
                || AttemptRowKeys.Day(next.At) != AttemptRowKeys.Day(newest.At))
            {
                break;
            }
        }

        return count;

        static int Bytes(StoredAttempt attempt) => 64 + (attempt.Detail?.Length ?? 0) + (attempt.Answer?.Length ?? 0);
    }

    private static void Add(List<(byte[] Key, byte[] Value)> rows, ReadOnlySpan<StoredAttempt> attempts, byte[] record)
    {
        var newest = attempts[0];
        var (own, day, place) = (WebhookRowKeys.Own(newest.Webhook), AttemptRowKeys.Day(newest.At), AttemptRowKeys.Place(newest, record));
        rows.Add((Key(AttemptRowKeys.Main), record));

        var failed = false;
        var blocks = new Dictionary<MessageRef, (byte First, byte Last)>();
        foreach (var attempt in attempts)
        {
            failed |= !attempt.Succeeded;
            if (attempt.Ref.Channel is null || !attempt.Ref.Has(attempt.MessageId))
            {
                rows.Add((Key(AttemptRowKeys.ByMessage, AttemptRowKeys.OfMessage(attempt.MessageId)), []));
                continue;
            }

            // A block goes by the name of its first place.
            var index = AttemptRowKeys.IndexOf(attempt.Ref);
            var block = attempt.Ref with { Offset = attempt.Ref.Offset - index };
            blocks[block] = blocks.TryGetValue(block, out var known) ? (Math.Min(known.First, index), Math.Max(known.Last, index)) : (index, index);
        }

        foreach (var (block, (first, last)) in blocks) rows.Add((Key(AttemptRowKeys.ByBlock, AttemptRowKeys.OfBlock(block)), [first, last]));
        if (failed) rows.Add((Key(AttemptRowKeys.Failed), []));

        byte[] Key(byte kind, byte[]? part = null) => AttemptRowKeys.Key(day, kind, own, part, place);
    }
}

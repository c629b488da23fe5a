using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>Attempts as rows, and back.</summary>
internal static class AttemptReader
{
    /// <summary>The rows of attempts: each itself, one to find it by its message, and one if it failed.</summary>
    public static List<(byte[] Key, byte[] Value)> RowsOf(IReadOnlyList<StoredAttempt> attempts)
    {
        var rows = new List<(byte[], byte[])>(attempts.Count * 3);
        foreach (var attempt in attempts)
        {
            var day = AttemptRowKeys.Day(attempt.At);
            rows.Add((Key(AttemptRowKeys.Of(day, AttemptRowKeys.Main, attempt.Webhook)), WebhookRowRecords.ToBytes(attempt)));
            rows.Add((Key(AttemptRowKeys.Of(day, AttemptRowKeys.ByMessage, attempt.Webhook, attempt.MessageId)), []));
            if (!attempt.Succeeded) rows.Add((Key(AttemptRowKeys.Of(day, AttemptRowKeys.Failed, attempt.Webhook)), []));

            byte[] Key(byte[] start) => AttemptRowKeys.Key(start, attempt.At, attempt.Id);
        }

        return rows;
    }

    /// <summary>Finds attempts, newest first, day by day.</summary>
    public static AttemptPage Read(OpenDatabase database, WebhookId webhook, AttemptQuery query)
    {
        var (found, read) = (new List<StoredAttempt>(), 0);
        var kind = query.MessageId is not null ? AttemptRowKeys.ByMessage : query.Succeeded == false ? AttemptRowKeys.Failed : AttemptRowKeys.Main;
        var (before, sinceDay) = (query.Before, AttemptRowKeys.Day(query.Since));
        using var rows = database.Db.NewIterator(database.Attempts.Handle);
        rows.SeekToLast();
        if (!rows.Valid()) return Checked(rows, new(found, default));
        var day = AttemptRowKeys.Day(rows.GetKeySpan());
        if (before != default) day = Math.Min(day, AttemptRowKeys.Day(before.At));
        while (day >= sinceDay)
        {
            var start = AttemptRowKeys.Of(day, kind, webhook, query.MessageId);
            var end = before != default && day == AttemptRowKeys.Day(before.At)
                ? AttemptRowKeys.Key(start, before.At, before.Name ?? "")
                : WebhookRowKeys.After(start);
            rows.SeekForPrev(end);
            if (rows.Valid() && rows.GetKeySpan().SequenceEqual(end)) rows.Prev();
            for (; rows.Valid() && rows.GetKeySpan().StartsWith(start); rows.Prev())
            {
                if (Attempt(database, webhook, rows, day, kind, start.Length) is { } attempt)
                {
                    if (attempt.At < query.Since) return Checked(rows, new(found, default));
                    if (query.Succeeded is not { } wanted || attempt.Succeeded == wanted) found.Add(attempt);
                }

                if (found.Count == query.Limit || ++read == query.MostRead)
                    return Checked(rows, new(found, AttemptRowKeys.ReadPlace(rows.GetKeySpan()[start.Length..])));
            }

            // Where the rows go on before these: on this day with others', or on an earlier one.
            if (!rows.Valid()) break;
            day = Math.Min(day - 1, AttemptRowKeys.Day(rows.GetKeySpan()));
        }

        return Checked(rows, new(found, default));
    }

    private static StoredAttempt? Attempt(OpenDatabase database, WebhookId webhook, Iterator rows, int day, byte kind, int start)
    {
        if (kind == AttemptRowKeys.Main) return WebhookRowRecords.ReadAttempt(webhook, rows.GetValueSpan());
        byte[] key = [.. AttemptRowKeys.Of(day, AttemptRowKeys.Main, webhook), .. rows.GetKeySpan()[start..]];
        return database.Db.Get(key.AsSpan(), database.Attempts.Handle) is { } record ? WebhookRowRecords.ReadAttempt(webhook, record) : null;
    }

    private static AttemptPage Checked(Iterator rows, AttemptPage page)
    {
        Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return page;
    }
}

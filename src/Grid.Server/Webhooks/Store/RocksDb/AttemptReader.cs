using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>Finds attempts, newest first, day by day.</summary>
internal static class AttemptReader
{
    /// <summary>Finds attempts.</summary>
    /// <exception cref="InvalidDataException">A row is none.</exception>
    /// <exception cref="RocksDbException">The database failed.</exception>
    public static IReadOnlyList<StoredAttempt> Read(OpenDatabase database, WebhookId webhook, AttemptQuery query)
    {
        var page = new AttemptPage(webhook, query);
        using var rows = database.Db.NewIterator(database.Attempts.Handle);
        rows.SeekToLast();
        var walks = AttemptWalk.For(database, webhook, query);
        try
        {
            var newest = query.Before == default ? int.MaxValue : AttemptRowKeys.Day(query.Before.At);
            while (rows.Valid() && !page.IsFull)
            {
                var day = Math.Min(AttemptRowKeys.Day(rows.GetKeySpan()), newest);
                if (day < AttemptRowKeys.Day(query.Since)) break;
                ReadDay(page, walks, query, day);
                rows.SeekForPrev(AttemptRowKeys.FirstOf(day));
            }

            Native.Instance.rocksdb_iter_get_error(rows.Handle);
            foreach (var walk in walks) walk.Check();
        }
        finally
        {
            foreach (var walk in walks) walk.Dispose();
        }

        return page.Found;
    }

    /// <summary>No row has attempts of two days.</summary>
    private static void ReadDay(AttemptPage page, AttemptWalk[] walks, AttemptQuery query, int day)
    {
        // What is older than a place may be in a row that stands after it.
        var end = query.Before == default || query.Before.At >= long.MaxValue - AttemptRows.MaxSpanMs
            ? long.MaxValue
            : query.Before.At + AttemptRows.MaxSpanMs + 1;
        foreach (var walk in walks) walk.Begin(day, end);
        while (!page.IsFull && Newest(walks) is { Place: { } place } walk)
        {
            page.Pass(place);
            if (place.At < query.Since) break;
            walk.AddTo(page);
            walk.Next();
        }

        page.Pass(default);
    }

    private static AttemptWalk? Newest(AttemptWalk[] walks)
    {
        AttemptWalk? newest = null;
        foreach (var walk in walks)
        {
            if (walk.Place is { } place && (newest?.Place is not { } other || AttemptPage.NewestFirst.Compare(place, other) < 0)) newest = walk;
        }

        return newest;
    }
}

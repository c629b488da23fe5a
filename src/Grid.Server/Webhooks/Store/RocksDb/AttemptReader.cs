using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>Finds attempts, newest first, day by day.</summary>
internal static class AttemptReader
{
    /// <summary>Finds attempts.</summary>
    /// <exception cref="InvalidDataException">A row is none.</exception>
    /// <exception cref="RocksDbException">The database failed.</exception>
    public static AttemptPage Read(OpenDatabase database, WebhookId webhook, AttemptQuery query)
    {
        var merge = new AttemptMerge(webhook, query);
        using var rows = database.Db.NewIterator(database.Attempts.Handle);
        rows.SeekToLast();
        var walks = AttemptWalk.For(database, webhook, query);
        try
        {
            var newest = query.Before == default ? int.MaxValue : AttemptRowKeys.Day(query.Before.At);
            while (rows.Valid() && !merge.IsOver)
            {
                var day = Math.Min(AttemptRowKeys.Day(rows.GetKeySpan()), newest);
                if (day < AttemptRowKeys.Day(query.Since)) break;
                ReadDay(merge, walks, query, day);
                rows.SeekForPrev(AttemptRowKeys.FirstOf(day));
            }

            Native.Instance.rocksdb_iter_get_error(rows.Handle);
            foreach (var walk in walks) walk.Check();
        }
        finally
        {
            foreach (var walk in walks) walk.Dispose();
        }

        return merge.Page;
    }

    /// <summary>No row has attempts of two days.</summary>
    private static void ReadDay(AttemptMerge merge, AttemptWalk[] walks, AttemptQuery query, int day)
    {
        // What is older than a place may be in a row that stands after it.
        var end = query.Before == default || query.Before.At >= long.MaxValue - AttemptRows.MaxSpanMs
            ? long.MaxValue
            : query.Before.At + AttemptRows.MaxSpanMs + 1;
        foreach (var walk in walks) walk.Begin(day, end);
        while (!merge.IsOver && Newest(walks) is { Place: { } place } walk)
        {
            merge.Pass(place);
            if (place.At < query.Since) break;
            walk.AddTo(merge);
            merge.EndIfEnough(place);
            walk.Next();
        }

        merge.Pass(default);
    }

    private static AttemptWalk? Newest(AttemptWalk[] walks)
    {
        AttemptWalk? newest = null;
        foreach (var walk in walks)
        {
            if (walk.Place is { } place && (newest?.Place is not { } other || AttemptMerge.NewestFirst.Compare(place, other) < 0)) newest = walk;
        }

        return newest;
    }
}

using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using RocksDbSharp;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Goes through a subscription's rows of attempts, or through those of an index, which name rows: within a day, from the newest one on.
/// </summary>
internal sealed class AttemptWalk : IDisposable
{
    private readonly OpenDatabase _database;
    private readonly Iterator _rows;
    private readonly byte[] _start;

    /// <summary>The start of the rows that the index names; null: this is no index.</summary>
    private readonly byte[]? _main;

    /// <summary>Of a message, its place in its block; null: all entries are of it.</summary>
    private readonly byte? _index;

    private AttemptWalk(OpenDatabase database, byte[] start, byte[]? main = null, byte? index = null)
    {
        (_database, _start, _main, _index) = (database, start, main, index);
        _rows = database.Db.NewIterator(database.Attempts.Handle);
    }

    /// <summary>Where the current row stands; null: there is none.</summary>
    public StoredPlace? Place { get; private set; }

    /// <summary>Those that a query needs: all that is wanted is in one of them.</summary>
    public static AttemptWalk[] For(OpenDatabase database, WebhookId webhook, AttemptQuery query)
    {
        var own = WebhookRowKeys.Own(webhook);
        var main = AttemptRowKeys.Key(0, AttemptRowKeys.Main, own);
        if (query.MessageId is not { } id)
            return [query.Succeeded == false ? new(database, AttemptRowKeys.Key(0, AttemptRowKeys.Failed, own), main) : new(database, main)];

        // Rows of a single attempt are found by the id, whatever it is.
        var byId = new AttemptWalk(database, AttemptRowKeys.Key(0, AttemptRowKeys.ByMessage, own, AttemptRowKeys.OfMessage(id)), main);
        if (!MessageRef.TryParseId(id, out var message)) return [byId];
        var blocks = AttemptRowKeys.Key(0, AttemptRowKeys.ByBlock, own, AttemptRowKeys.OfBlock(message));
        return [byId, new(database, blocks, main, AttemptRowKeys.IndexOf(message))];
    }

    /// <summary>Goes to the newest row of a day.</summary>
    /// <param name="day">The day.</param>
    /// <param name="end">Only rows that stand before this time, in Unix milliseconds.</param>
    public void Begin(int day, long end)
    {
        AttemptRowKeys.SetDay(_start, day);
        if (_main is not null) AttemptRowKeys.SetDay(_main, day);

        _rows.SeekForPrev([.. _start, .. WebhookRowKeys.Number(end)]);
        Look();
    }

    /// <summary>Goes to the next older row of the day.</summary>
    public void Next()
    {
        _rows.Prev();
        Look();
    }

    /// <summary>Gives the current row to a merge, if what is wanted may be in it.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public void AddTo(AttemptMerge merge)
    {
        var value = _rows.GetValueSpan();
        if (_main is null) merge.Add(value);
        else if (_index is { } index && (value.Length != 2 || index < value[0] || index > value[1])) return;
        else if (_database.Db.Get([.. _main, .. _rows.GetKeySpan()[_start.Length..]], _database.Attempts.Handle) is { } record) merge.Add(record);
    }

    /// <summary>Throws if rows could not be read.</summary>
    /// <exception cref="RocksDbException">They could not.</exception>
    public void Check() => Native.Instance.rocksdb_iter_get_error(_rows.Handle);

    /// <inheritdoc/>
    public void Dispose() => _rows.Dispose();

    private void Look() => Place = _rows.Valid() && _rows.GetKeySpan().StartsWith(_start)
        ? AttemptRowKeys.ReadPlace(_rows.GetKeySpan()[_start.Length..])
        : null;
}

using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// One opening of the database, with its column families. Whoever uses it holds a lease, because a native handle that is closed
/// under a reader ends the process: closing waits for the leases.
/// </summary>
internal sealed partial class OpenDatabase
{
    private const string MessagesName = "messages";
    private const string ChannelsName = "channels";
    private const string KeysName = "keys";
    private const string ExpiryName = "expiry";
    private const string AgeName = "age";
    private const string StateName = "state";
    private const string SessionsName = "sessions";
    private const string WebhooksName = "webhooks";
    private const string AttemptsName = "attempts";

    /// <summary>
    /// The folders that this process has open. The log of none of these may be cut, nor may its file LOCK be opened and closed: that
    /// would let go of RocksDB's lock, which in POSIX belongs to the process.
    /// </summary>
    private static readonly ConcurrentDictionary<string, bool> Opened = new();

    private readonly TaskCompletionSource _unused = new();
    private readonly string _path;
    private volatile bool _closing;

    /// <summary>Leases, and one for being open.</summary>
    private int _leases = 1;

    private OpenDatabase(string path, RocksDb db)
    {
        _path = path;
        Db = db;
        Meta = new Family(db.GetDefaultColumnFamily());
        Messages = new Family(db.GetColumnFamily(MessagesName));
        Channels = new Family(db.GetColumnFamily(ChannelsName));
        Keys = new Family(db.GetColumnFamily(KeysName));
        Expiry = new Family(db.GetColumnFamily(ExpiryName));
        Age = new Family(db.GetColumnFamily(AgeName));
        State = new Family(db.GetColumnFamily(StateName));
        Sessions = new Family(db.GetColumnFamily(SessionsName));
        Webhooks = new Family(db.GetColumnFamily(WebhooksName));
        Attempts = new Family(db.GetColumnFamily(AttemptsName));
        ReadMessages = new ReadOptions();
        ReadMessages.SetReadTier(ReadAllTier);
        ReadCachedMessages = new ReadOptions();
        ReadCachedMessages.SetReadTier(BlockCacheTier);

        // Trimmed messages lie before their channel's oldest, where no reader looks; so readers need not pay for range deletions.
        Native.Instance.rocksdb_readoptions_set_ignore_range_deletions(ReadMessages.Handle, 1);
        Native.Instance.rocksdb_readoptions_set_ignore_range_deletions(ReadCachedMessages.Handle, 1);
    }

    private const int ReadAllTier = 0;
    private const int BlockCacheTier = 1;

    /// <summary>The database. Used under a lease only.</summary>
    public RocksDb Db { get; }

    /// <summary>The store's own records, by name.</summary>
    public Family Meta { get; }

    /// <summary>Channel number (8) and offset (8) → <see cref="MessageRecord"/>.</summary>
    public Family Messages { get; }

    /// <summary><c>tenant/channel</c> → <see cref="ChannelRecord"/>.</summary>
    public Family Channels { get; }

    /// <summary>Channel number (8) and idempotency key → <see cref="KeyRecord"/>.</summary>
    public Family Keys { get; }

    /// <summary>Expiry in Unix milliseconds (8) and a number (8) → the keys that expire then, see <see cref="ExpiryRecord"/>.</summary>
    public Family Expiry { get; }

    /// <summary>Namespace, 0, time of the oldest message (8), channel number (8) → <c>tenant/channel</c>.</summary>
    public Family Age { get; }

    /// <summary>Grain state.</summary>
    public Family State { get; }

    /// <summary>The session index.</summary>
    public Family Sessions { get; }

    /// <summary>Webhook subscriptions, see <see cref="Webhooks.Store.RocksDb.WebhookRowKeys"/>.</summary>
    public Family Webhooks { get; }

    /// <summary>Attempts of webhooks, see <see cref="Webhooks.Store.RocksDb.AttemptRowKeys"/>.</summary>
    public Family Attempts { get; }

    /// <summary>For messages at or after their channel's oldest.</summary>
    public ReadOptions ReadMessages { get; }

    /// <summary>The same, but only from memory: what would need the disk is reported as incomplete.</summary>
    public ReadOptions ReadCachedMessages { get; }

    /// <summary>Opens, and creates what is missing.</summary>
    /// <exception cref="RocksDbException">It cannot.</exception>
    /// <exception cref="IOException">The end of its log cannot be read or cut.</exception>
    public static OpenDatabase Open(string path, RocksDbTuning tuning, ILogger logger)
    {
        // Another opening in this process: RocksDB says so.
        if (!Opened.TryAdd(path, true)) return OpenCut(path, tuning);
        try
        {
            if (WriteAheadLogTail.Cut(path) is var (file, bytes)) LogCut(logger, bytes, file);
            return OpenCut(path, tuning);
        }
        catch
        {
            Opened.TryRemove(path, out _);
            throw;
        }
    }

    private static OpenDatabase OpenCut(string path, RocksDbTuning tuning)
    {
        var families = new ColumnFamilies(tuning.Small())
        {
            { MessagesName, tuning.Messages() },
            { ChannelsName, tuning.Small() },
            { KeysName, tuning.Keys() },
            { ExpiryName, tuning.Expiry() },
            { AgeName, tuning.Small() },
            { StateName, tuning.Small() },
            { SessionsName, tuning.Small() },
            { WebhooksName, tuning.Webhooks() },
            { AttemptsName, tuning.Attempts() },
        };
        return new OpenDatabase(path, RocksDb.Open(RocksDbTuning.Database(), path, families));
    }

    /// <summary>Takes a lease unless the database is closed or being closed.</summary>
    public bool TryLease()
    {
        var leases = Volatile.Read(ref _leases);
        while (leases > 0 && !_closing)
        {
            var seen = Interlocked.CompareExchange(ref _leases, leases + 1, leases);
            if (seen == leases) return true;
            leases = seen;
        }

        return false;
    }

    /// <summary>Gives a lease back.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _leases) == 0) _unused.TrySetResult();
    }

    /// <summary>Refuses further leases, waits for those given, and closes. To be called once.</summary>
    public void Close()
    {
        _closing = true;
        Release();
        _unused.Task.Wait();
        Db.Dispose();
        Opened.TryRemove(_path, out _);
    }

    [LoggerMessage(1, LogLevel.Warning, "The write-ahead log does not end with a whole write, as after a power loss: the {Bytes} bytes behind the last whole one were cut off {File}. Recovery could not have read them.")]
    private static partial void LogCut(ILogger logger, long bytes, string file);
}

/// <summary>A column family: its native handle for reads, its number for batches.</summary>
internal readonly struct Family(ColumnFamilyHandle handle)
{
    /// <summary>For reads.</summary>
    public ColumnFamilyHandle Handle { get; } = handle;

    /// <summary>For <see cref="BatchBuffer"/>.</summary>
    public uint Number { get; } = Native.Instance.rocksdb_column_family_handle_get_id(handle.Handle);
}

/// <summary>The right to use an open database until disposed.</summary>
internal readonly struct DatabaseLease(OpenDatabase database) : IDisposable
{
    /// <summary>The database.</summary>
    public OpenDatabase Database { get; } = database;

    /// <inheritdoc/>
    public void Dispose() => Database.Release();
}

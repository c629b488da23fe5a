using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Grid.Server.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// The embedded store: one RocksDB database in <see cref="GridOptions.DataDirectory"/> that holds the durable log, the grain state
/// and the session index of a Grid that runs on one machine. One process at a time can have it open.
/// </summary>
internal sealed partial class RocksDbStore : IAsyncDisposable
{
    /// <summary>
    /// Raised when a file of this version could not be read by an older one, or would be written by it as it must not. 2: appends mark
    /// webhooks.
    /// </summary>
    private const int FormatVersion = 2;
    private const int SecretBytes = 32;

    private static readonly byte[] FormatKey = "format"u8.ToArray();
    private static readonly byte[] EpochKey = "epoch"u8.ToArray();
    private static readonly byte[] NextChannelKey = "nextChannel"u8.ToArray();

    /// <summary>Kept: of options that nobody refers to any more the native part goes, also while a write still uses it.</summary>
    private static readonly WriteOptions Synced = new WriteOptions().SetSync(true);

    private readonly RocksDbTuning _tuning = new();
    private readonly Lock _secrets = new();
    private readonly ILogger _logger;
    private readonly StoreFaults? _faults;
    private volatile OpenDatabase? _database;
    private volatile bool _disposed;
    private Task? _disposal;

    private RocksDbStore(string directory, TimeProvider time, ILogger<RocksDbStore> logger, StoreFaults? faults)
    {
        Directory = directory;
        _logger = logger;
        _faults = faults;
        Time = time;
        _database = OpenDatabase.Open(directory, _tuning, logger);
        try
        {
            Epoch = ReadOrCreateFormat(_database);
        }
        catch
        {
            _database.Close();
            throw;
        }

        Writer = new StoreWriter(this, time, logger, faults);
        Writer.Start();
        LogOpened(logger, directory);
    }

    /// <summary>The folder, as a full path.</summary>
    public string Directory { get; }

    /// <summary>The epoch of channels that were never purged: random, made with the store.</summary>
    public string Epoch { get; }

    /// <summary>The clock of all that expires in the store.</summary>
    public TimeProvider Time { get; }

    /// <summary>All changes go through it.</summary>
    public StoreWriter Writer { get; }

    /// <summary>The database without a lease: for the writer's thread, which alone replaces it.</summary>
    public OpenDatabase Current => _database ?? throw new LogUnavailableException("The store is not open.");

    /// <summary>Opens the store, and makes it if there is none.</summary>
    /// <exception cref="GridStartupException">It cannot be opened; the message says why and what to do.</exception>
    public static RocksDbStore Open(
        string dataDirectory, TimeProvider time, ILogger<RocksDbStore> logger, StoreFaults? faults = null)
    {
        var directory = StoreDirectory.Prepare(dataDirectory);
        try
        {
            return new RocksDbStore(directory, time, logger, faults);
        }
        catch (Exception e) when (e is RocksDbException or IOException or UnauthorizedAccessException)
        {
            throw StoreDirectory.CannotOpen(directory, e);
        }
    }

    /// <summary>Opens the store that the options name.</summary>
    public static RocksDbStore Open(IOptions<GridOptions> options, TimeProvider time, ILogger<RocksDbStore> logger) =>
        Open(options.Value.DataDirectory, time, logger);

    /// <summary>A new epoch: 16 hexadecimal digits.</summary>
    public static string NewEpoch() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));

    /// <summary>A sentence for a failure of the store.</summary>
    public static string Explain(Exception failure) => failure switch
    {
        LogUnavailableException => failure.Message,
        _ when StoreDirectory.IsDiskFull(failure) => "The disk of the data directory is full.",
        _ => $"The store failed: {failure.Message}",
    };

    /// <summary>Takes the right to read.</summary>
    /// <exception cref="LogUnavailableException">The store is closed, or is being opened again after a failure.</exception>
    public DatabaseLease Lease()
    {
        var database = _database;
        if (database is not null && database.TryLease()) return new DatabaseLease(database);
        throw new LogUnavailableException(_disposed ? "The store is shutting down." : "The store is being opened again after a failure.");
    }

    /// <summary>
    /// A secret of 32 random bytes that is made when it is first asked for and stays the same for the life of the store.
    /// It is synced before it is returned.
    /// </summary>
    public byte[] GetOrCreateSecret(string name)
    {
        var key = Encoding.UTF8.GetBytes("secret/" + name);
        lock (_secrets)
        {
            using var lease = Lease();
            var (db, meta) = (lease.Database.Db, lease.Database.Meta.Handle);
            if (db.Get(key.AsSpan(), meta) is { Length: SecretBytes } existing) return existing;
            var secret = RandomNumberGenerator.GetBytes(SecretBytes);
            db.Put(key, secret, meta, Synced);
            return secret;
        }
    }

    /// <summary>Takes a channel number that was never used, as part of a group. A group that fails gives it back.</summary>
    public static long TakeChannelNumber(WriteGroup group, ref long next)
    {
        if (next == 0)
        {
            var stored = group.Database.Db.Get(NextChannelKey.AsSpan(), group.Database.Meta.Handle);
            next = stored is null ? 1 : BinaryPrimitives.ReadInt64BigEndian(stored);
        }

        var number = next++;
        Span<byte> value = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(value, next);
        group.Rows.Put(group.Database.Meta.Number, NextChannelKey, value);
        return number;
    }

    /// <summary>Closes the database and opens it again. On the writer's thread, after a failed write.</summary>
    /// <remarks>While the folder cannot be written the old opening stays, for readers.</remarks>
    public void Reopen()
    {
        if (_disposed) return;
        StoreDirectory.Probe(Directory);
        var old = _database;
        _database = null;
        old?.Close();
        _database = OpenDatabase.Open(Directory, _tuning, _logger);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        lock (_secrets)
        {
            _disposed = true;
            return new ValueTask(_disposal ??= CloseAsync());
        }
    }

    private async Task CloseAsync()
    {
        await Writer.StopAsync();
        var database = _database;
        _database = null;
        database?.Close();
    }

    private static string ReadOrCreateFormat(OpenDatabase database)
    {
        var (db, meta) = (database.Db, database.Meta.Handle);
        if (db.Get(FormatKey.AsSpan(), meta) is { } format)
        {
            var version = format.Length == 1 ? format[0] : int.MaxValue;
            if (version > FormatVersion)
                throw new GridStartupException(
                    $"The data directory was written by a newer version of Grid (its format is {version}, this version knows {FormatVersion}). Start that version, or name another folder in Grid__DataDirectory.");
            var epoch = db.Get(EpochKey.AsSpan(), meta)
                ?? throw new GridStartupException("The data directory is damaged: its store has no epoch. Restore it from a backup.");
            if (version < FormatVersion) db.Put(FormatKey.AsSpan(), [FormatVersion], meta, Synced);
            return Encoding.ASCII.GetString(epoch);
        }

        var created = NewEpoch();
        using var batch = new WriteBatch();
        batch.Put(EpochKey.AsSpan(), Encoding.ASCII.GetBytes(created), meta);
        batch.Put(FormatKey.AsSpan(), [FormatVersion], meta);
        db.Write(batch, Synced);
        return created;
    }
}

using Grid.Server.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>The cluster's database: its connections, and how failures of it are told.</summary>
internal sealed class PostgresDatabase : IGridStorePart, IAsyncDisposable, IDisposable
{
    /// <summary>One finding of a dead connection speaks for all that are met at the same time.</summary>
    private const long ClearedMs = 100;

    /// <summary>The same after time-outs, which a server that is only slow causes too, and many of them: new connections would cost it more.</summary>
    private const long ClearedAfterTimeoutsMs = 5_000;

    private readonly PostgresSchema _schema;

    /// <summary>Connections, never opened, that name Orleans' pools.</summary>
    private readonly NpgsqlConnection[] _poolsOfOrleans;
    private long _clearedAt;
    private int _refusing;
    private int _clearings;

    public PostgresDatabase(GridClusterOptions cluster, ILoggerFactory loggers)
    {
        Description = PostgresConnectionString.Describe(cluster.Postgres);
        var builder = new NpgsqlDataSourceBuilder(PostgresConnectionString.ForLog(cluster.Postgres)) { Name = "grid" };
        Source = builder.Build();
        _poolsOfOrleans =
        [
            new NpgsqlConnection(PostgresConnectionString.ForStorage(cluster.Postgres)),
            new NpgsqlConnection(PostgresConnectionString.ForMembership(cluster.Postgres)),
        ];
        _schema = new PostgresSchema(Source, Description, loggers.CreateLogger<PostgresSchema>()) { ClusterId = cluster.ClusterId };
    }

    /// <summary>The connections.</summary>
    public NpgsqlDataSource Source { get; }

    /// <inheritdoc/>
    public string Name => "postgres";

    /// <inheritdoc/>
    public string Description { get; }

    /// <inheritdoc/>
    public Task OpenAsync(CancellationToken cancellationToken) => _schema.MigrateAsync(cancellationToken);

    /// <inheritdoc/>
    /// <remarks>
    /// A question alone would not do: a server whose disk is full, or whose standby is away, answers it. Lanes know better, and try a
    /// write until one succeeds.
    /// </remarks>
    public async ValueTask<bool> IsUsableAsync(CancellationToken cancellationToken) =>
        Volatile.Read(ref _refusing) == 0 && await TakesWritesAsync(cancellationToken);

    /// <summary>How often connections were found dead, and all that lay in the pools were closed. One that was opened before may be dead too.</summary>
    public int Clearings => Volatile.Read(ref _clearings);

    /// <summary>Counts the lanes that refuse appends, since one failed and no write has succeeded since.</summary>
    public void NoteRefusing(int change) => Interlocked.Add(ref _refusing, change);

    /// <summary>Writes, and tells whether that can be done. May throw instead of answering no.</summary>
    public async ValueTask<bool> TryWriteAsync(CancellationToken cancellationToken)
    {
        if (!await TakesWritesAsync(cancellationToken)) return false;
        await using var connection = await Source.OpenConnectionAsync(cancellationToken);
        var watch = new CommitWatch(connection);
        await using var command = new NpgsqlCommand("select try_write()", connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
        watch.Verify();
        return true;
    }

    private async ValueTask<bool> TakesWritesAsync(CancellationToken cancellationToken)
    {
        try
        {
            await using var command = Source.CreateCommand(PostgresSchema.TakesWrites);
            if (await command.ExecuteScalarAsync(cancellationToken) is true) return true;
        }
        catch (Exception e) when (PostgresErrors.IsOfDatabase(e))
        {
            NoteFailure(e);
            throw;
        }

        // A name may lead to another server by now, but connections that lie in the pool lead to the old one.
        ClearPool();
        return false;
    }

    /// <summary>
    /// Reads, and turns failures into <see cref="LogUnavailableException"/>. One that met a dead connection is made again on a new
    /// one, once, since the server may have been restarted while the connection lay in the pool.
    /// </summary>
    public async ValueTask<T> ReadAsync<T, TState>(
        TState state, Func<TState, NpgsqlDataSource, CancellationToken, Task<T>> read, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await read(state, Source, cancellationToken);
            }
            catch (Exception e) when (PostgresErrors.IsOfDatabase(e))
            {
                cancellationToken.ThrowIfCancellationRequested();
                NoteFailure(e);
                if (attempt > 1 || !(PostgresErrors.IsWorthAnotherConnection(e) || PostgresErrors.IsRetryable(e)))
                    throw Unavailable(e);
            }
        }
    }

    /// <summary>After a failure: when the connections that lie in the pool may be dead too, they are closed instead of met one by one.</summary>
    public void NoteFailure(Exception e)
    {
        if (PostgresErrors.IsOfConnection(e)) ClearPool(PostgresErrors.IsTimeout(e) ? ClearedAfterTimeoutsMs : ClearedMs);
    }

    private void ClearPool(long notWithinMs = ClearedMs)
    {
        var now = Environment.TickCount64;
        var last = Interlocked.Read(ref _clearedAt);
        if (now - last < notWithinMs || Interlocked.CompareExchange(ref _clearedAt, now, last) != last) return;
        Interlocked.Increment(ref _clearings);
        Source.Clear();

        // Orleans does not try a read again that met a dead connection: a tenant's key would be out of reach once for each of them.
        foreach (var pool in _poolsOfOrleans) NpgsqlConnection.ClearPool(pool);
    }

    /// <summary>The failure as a log tells it.</summary>
    public static LogUnavailableException Unavailable(Exception e) => new(PostgresErrors.Explain(e), e);

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        foreach (var pool in _poolsOfOrleans) pool.Dispose();
        return Source.DisposeAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var pool in _poolsOfOrleans) pool.Dispose();
        Source.Dispose();
    }
}

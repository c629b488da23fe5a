using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.ObjectPool;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// The durable log of a cluster, in PostgreSQL. Any silo may append to any channel: the channel's row is the fence, and the database
/// compares under its lock.
/// </summary>
/// <remarks>
/// <para>Nothing of a channel is remembered here, so nothing can be out of date. Appends go through <see cref="PostgresLane"/>s in
/// groups, one transaction each; questions for heads share statements (<see cref="PostgresHeads"/>); reads of messages are one statement
/// each, which sees one moment of the database.</para>
/// </remarks>
internal sealed class PostgresMessageLog : IMessageLog, IAsyncDisposable, IDisposable
{
    /// <summary>Connections that append at once: while one waits for its commit to be synced, another's statement runs.</summary>
    public const int DefaultLanes = 2;

    private const int ReadAttempts = 3;

    private readonly PostgresDatabase _database;
    private readonly NamespacePolicies _policies;
    private readonly TimeProvider _time;
    private readonly PostgresHeads _heads;
    private readonly PostgresLane[] _lanes;
    private readonly DefaultObjectPool<PostgresAppend> _appends;

    public PostgresMessageLog(
        PostgresDatabase database, NamespacePolicies policies, TimeProvider time, ILogger<PostgresMessageLog> logger, int lanes = DefaultLanes,
        LogMetrics? metrics = null)
    {
        (_database, _policies, _time) = (database, policies, time);
        _heads = new PostgresHeads(database);
        _lanes = new PostgresLane[lanes];
        for (var i = 0; i < lanes; i++)
            _lanes[i] = new PostgresLane(database, new PostgresAppender(database.Source, policies), metrics, time, logger);
        _appends = new DefaultObjectPool<PostgresAppend>(new AppendPolicy(this), 4096);
    }

    /// <summary>The database.</summary>
    public PostgresDatabase Database => _database;

    /// <summary>The policies by which it is swept.</summary>
    public NamespacePolicies Policies => _policies;

    /// <summary>Its clock.</summary>
    public TimeProvider Time => _time;

    /// <summary>Transactions that appended so far.</summary>
    public long Groups => _lanes.Sum(l => l.Groups);

    /// <summary>Statements that asked for heads so far.</summary>
    public long HeadStatements => _heads.Statements;

    /// <inheritdoc/>
    public ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        AppendCheck.Verify(request);
        cancellationToken.ThrowIfCancellationRequested();
        var lane = _lanes[(uint)request.Channel.GetHashCode() % (uint)_lanes.Length];
        var append = _appends.Get();
        append.Begin(request);
        WaitingAppend? waiting;
        try
        {
            waiting = lane.Enqueue(append);
        }
        catch
        {
            append.Abandon();
            throw;
        }

        if (waiting is not null) return new ValueTask<AppendResult>(WaitAsync(lane, append, waiting, cancellationToken));
        var answer = new ValueTask<AppendResult>(append, append.Version);

        // A caller that stops waiting does not stop the append: its outcome is then unknown to it.
        return cancellationToken.CanBeCanceled ? new ValueTask<AppendResult>(answer.AsTask().WaitAsync(cancellationToken)) : answer;
    }

    /// <inheritdoc/>
    public async ValueTask<long[]> FindKeysAsync(
        ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default)
    {
        var now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        return await _database.ReadAsync(
            (Channel: channel.ToString(), Keys: keys, Now: now),
            static async (state, source, cancellation) =>
            {
                await using var connection = await source.OpenConnectionAsync(cancellation);
                var watch = new CommitWatch(connection);
                await using var command = new NpgsqlCommand("select o_index, o_message from find_keys($1, $2, $3)", connection);
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Channel });
                command.Parameters.Add(new NpgsqlParameter<byte[][]> { TypedValue = [.. state.Keys.Select(Encoding.UTF8.GetBytes)] });
                command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = state.Now });
                var offsets = new long[state.Keys.Count];
                await using (var rows = await command.ExecuteReaderAsync(cancellation))
                {
                    while (await rows.ReadAsync(cancellation)) offsets[rows.GetInt32(0) - 1] = rows.GetInt64(1);
                    await rows.NextResultAsync(cancellation);
                }

                // A key that is known stands for a message that was acknowledged.
                watch.Verify();
                return offsets;
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(after);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxMessages, 1);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await _database.ReadAsync(
                    (Channel: channel.ToString(), After: Math.Min(after, long.MaxValue - 1), Messages: maxMessages, Bytes: maxBytes),
                    static (state, source, cancellation) => ReadPageAsync(
                        source, state.Channel, state.After, state.Messages, state.Bytes, cancellation),
                    cancellationToken);
            }
            catch (InvalidDataException e)
            {
                // A statement that began before a trim, and went on after the trimmed partition was dropped. Else it is damage.
                if (attempt == ReadAttempts) throw new LogUnavailableException($"Messages of '{channel}' cannot be read. {e.Message}", e);
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        (await GetEndAsync(channel, cancellationToken)).Head;

    /// <inheritdoc/>
    public async ValueTask<ChannelEnd> GetEndAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        (await _heads.AskAsync([channel], cancellationToken))[0];

    /// <inheritdoc/>
    public async ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return channels.Count == 0 ? [] : [.. (await _heads.AskAsync(channels, cancellationToken)).Select(e => e.Head)];
    }

    /// <inheritdoc/>
    public async ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default) =>
        await _database.ReadAsync(
            (Channel: channel.ToString(), UpTo: upTo),
            static async (state, source, cancellation) =>
            {
                await using var command = source.CreateCommand("select trim_channel($1, $2)");
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Channel });
                command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = state.UpTo });
                return await command.ExecuteNonQueryAsync(cancellation);
            },
            cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken = default)
    {
        await _database.ReadAsync(
            (Channel: channel.ToString(), Reached: reached, Epoch: RocksDbStore.NewEpoch()),
            static async (state, source, cancellation) =>
            {
                await using var command = source.CreateCommand("select renew_channel($1, $2, $3, $4)");
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Channel });
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Reached.Epoch });
                command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = state.Reached.Offset });
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Epoch });
                return await command.ExecuteNonQueryAsync(cancellation);
            },
            cancellationToken);
        return await GetHeadAsync(channel, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        // Made here, so that a call that is made again asks for the same and changes nothing.
        var epoch = RocksDbStore.NewEpoch();
        await _database.ReadAsync(
            (Channel: channel.ToString(), Epoch: epoch),
            static async (state, source, cancellation) =>
            {
                await using var connection = await source.OpenConnectionAsync(cancellation);
                var watch = new CommitWatch(connection);
                await using var command = new NpgsqlCommand("select purge_channel($1, $2)", connection);
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Channel });
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = state.Epoch });
                var purged = await command.ExecuteNonQueryAsync(cancellation);
                watch.Verify();
                return purged;
            },
            cancellationToken);
        return new ChannelHead(epoch, Oldest: 1, Head: 0);
    }

    /// <summary>Takes an append back whose answer was collected.</summary>
    public void Return(PostgresAppend append) => _appends.Return(append);

    /// <summary>Ends after the groups on their way. The database is not closed: others use it too.</summary>
    public async ValueTask DisposeAsync() => await Task.WhenAll(_lanes.Select(l => l.StopAsync()));

    /// <inheritdoc/>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    private static async Task<ChannelPage> ReadPageAsync(
        NpgsqlDataSource source, string channel, long after, int maxMessages, int maxBytes, CancellationToken cancellationToken)
    {
        await using var command = source.CreateCommand("select o_epoch, o_oldest, o_head, o_last, o_count, o_body from read_channel($1, $2, $3, $4)");
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = channel });
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = maxMessages });
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = maxBytes });
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        await rows.ReadAsync(cancellationToken);
        var head = new ChannelHead(rows.GetString(0), rows.GetInt64(1), rows.GetInt64(2));
        var first = Math.Max(after + 1, head.Oldest);
        var page = new PageBuilder(first, maxMessages, maxBytes);
        while (await rows.ReadAsync(cancellationToken))
        {
            var run = await rows.GetFieldValueAsync<byte[]>(5, cancellationToken);
            if (!MessageRun.Read(run, rows.GetInt64(3) - rows.GetInt32(4) + 1, page)) break;
        }

        if (page.Messages.Count == 0 && first <= head.Head) throw new InvalidDataException($"Message {first} is missing from the store.");
        return new ChannelPage(head, page.Messages);
    }

    private static async Task<AppendResult> WaitAsync(
        PostgresLane lane, PostgresAppend append, WaitingAppend waiting, CancellationToken cancellationToken)
    {
        try
        {
            await lane.LetInAsync(waiting, cancellationToken);
        }
        catch when (!waiting.IsLetIn)
        {
            append.Abandon();
            throw;
        }

        var answer = new ValueTask<AppendResult>(append, append.Version).AsTask();
        return await answer.WaitAsync(cancellationToken);
    }

    private sealed class AppendPolicy(PostgresMessageLog log) : PooledObjectPolicy<PostgresAppend>
    {
        public override PostgresAppend Create() => new(log);

        public override bool Return(PostgresAppend obj) => true;
    }
}

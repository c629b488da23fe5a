using System.Globalization;
using Grid.Server.Hosting;
using Grid.Server.Webhooks.Store.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Applies the namespaces' limits to the log in PostgreSQL. Every silo sweeps; one at a time does it, and the others find it done.
/// </summary>
/// <remarks>
/// <para>1. Partitions that will be needed soon are made, so that no append has to wait for one. 2. Channels past a limit get a higher
/// oldest offset, page by page. 3. Rows of trimmed messages are deleted, in small steps, where their partition stays for a while yet.
/// 4. Partitions that are past their hour are detached, which waits for readers but lets nobody wait, and dropped.</para>
/// <para>So what is limited by age is never deleted row by row, and leaves nothing to vacuum; what is limited by number or bytes is
/// deleted while its partition still takes new rows, which fill the place again.</para>
/// </remarks>
internal sealed partial class PostgresRetention(PostgresMessageLog log, ILogger<PostgresRetention> logger) : IRetention
{
    /// <summary>Any number that nobody else takes in this database.</summary>
    private const long LockId = 0x67726965;

    /// <summary>Channels of one page: one statement.</summary>
    private const int Page = 5_000;

    /// <summary>About the most rows that one transaction deletes.</summary>
    private const int DeleteRows = 5_000;

    /// <summary>The fewest channels of a page: after a statement that took too long, pages are smaller for a while.</summary>
    private const int SmallestPage = 20;

    /// <summary>
    /// How long a statement may take, in seconds. One may have much to look through, and detaching a partition waits for all
    /// transactions before it. It holds up no other.
    /// </summary>
    private const int StatementSeconds = 60;

    /// <summary>How long a partition outlives its hour: the silos' clocks differ.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(10);

    private static readonly string[] Tables = ["messages", "keys"];

    private int _page = Page;

    /// <summary>The most rows deleted by one sweep; the next goes on. Default: 2,000,000, some 70,000 a second at two sweeps a minute.</summary>
    public long MaxDeletes { get; init; } = 2_000_000;

    /// <inheritdoc/>
    public async Task<SweepResult> SweepAsync(CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await log.Database.Source.OpenConnectionAsync(cancellationToken);
            if (!await ScalarAsync<bool>(connection, $"select pg_try_advisory_lock({LockId})", cancellationToken)) return default;
            try
            {
                return await SweepAsync(connection, cancellationToken);
            }
            finally
            {
                // The lock is the connection's, which goes back to the pool; a broken one has lost it already.
                if (connection.State == System.Data.ConnectionState.Open)
                    await ScalarAsync<bool>(connection, $"select pg_advisory_unlock({LockId})", CancellationToken.None);
            }
        }
        catch (Exception e) when (PostgresErrors.IsOfDatabase(e))
        {
            cancellationToken.ThrowIfCancellationRequested();
            log.Database.NoteFailure(e);
            throw PostgresDatabase.Unavailable(e);
        }
    }

    private async Task<SweepResult> SweepAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var now = log.Time.GetUtcNow().ToUnixTimeMilliseconds();
        await MakePartitionsAsync(connection, now, cancellationToken);
        try
        {
            return await TrimAllAsync(connection, now, cancellationToken);
        }
        catch (NpgsqlException e) when (e.InnerException is TimeoutException)
        {
            // Much has gathered, as after a long stop. What a statement did before it was cut off is undone: smaller ones get on.
            _page = Math.Max(_page / 4, SmallestPage);
            throw;
        }
        finally
        {
            // Whatever kept messages from being trimmed, what has expired with its partition can go.
            if (connection.State == System.Data.ConnectionState.Open) await DropPartitionsAsync(connection, now, cancellationToken);
        }
    }

    private async Task<SweepResult> TrimAllAsync(NpgsqlConnection connection, long now, CancellationToken cancellationToken)
    {
        var limits = new Limits(log.Policies, now);
        var (channels, messages, deletes) = (0, 0L, MaxDeletes);
        for (long? after = 0; after is { } first;)
        {
            var page = await TrimAsync(connection, first, limits, now, cancellationToken);
            channels += page.Channels;
            messages += page.Messages;
            while (page.Last is { } last && deletes > 0)
            {
                var deleted = await DeleteAsync(connection, first, last, limits, cancellationToken);
                deletes -= deleted;
                if (deleted < DeleteRows) break;
            }

            after = page.Last;
        }

        while (deletes > 0)
        {
            var deleted = await ScalarAsync<long>(connection, $"select delete_purged({DeleteRows})", cancellationToken);
            deletes -= deleted;
            if (deleted < DeleteRows) break;
        }

        _page = Math.Min(_page * 2, Page);
        return new SweepResult(channels, messages, Keys: 0);
    }

    private async Task<(long? Last, int Channels, long Messages)> TrimAsync(
        NpgsqlConnection connection, long after, Limits limits, long now, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            "select o_last, o_channels, o_messages from trim_channels($1, $2, $3, $4, $5, $6, $7)", connection) { CommandTimeout = StatementSeconds };
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = _page });
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = now });
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = limits.Names });
        command.Parameters.Add(new NpgsqlParameter<long?[]> { TypedValue = limits.Ages });
        command.Parameters.Add(new NpgsqlParameter<long?[]> { TypedValue = limits.Messages });
        command.Parameters.Add(new NpgsqlParameter<long?[]> { TypedValue = limits.Bytes });
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        await rows.ReadAsync(cancellationToken);
        return (await rows.IsDBNullAsync(0, cancellationToken) ? null : rows.GetInt64(0), rows.GetInt32(1), rows.GetInt64(2));
    }

    private static async Task<long> DeleteAsync(
        NpgsqlConnection connection, long after, long last, Limits limits, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("select delete_trimmed($1, $2, $3, $4, $5)", connection) { CommandTimeout = StatementSeconds };
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after });
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = last });
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = limits.Names });
        command.Parameters.Add(new NpgsqlParameter<int[]> { TypedValue = limits.GoSoon });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = DeleteRows });
        return (long)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    /// <summary>Makes the partitions of this hour and the next two, and those of webhooks' attempts of today and tomorrow.</summary>
    private async Task MakePartitionsAsync(NpgsqlConnection connection, long now, CancellationToken cancellationToken)
    {
        var policies = log.Policies.Named.Values.Append(log.Policies.Default).Where(p => p.Durability == Durability.Durable).ToArray();
        var needed = new HashSet<(string Table, int Bucket)>();
        for (var hour = 0; hour <= 2; hour++)
        {
            var then = now + (long)TimeSpan.FromHours(hour).TotalMilliseconds;
            foreach (var policy in policies)
            {
                needed.Add(("messages", PostgresBuckets.OfMessages(then, policy)));
                if (policy.KeyWindow > TimeSpan.Zero) needed.Add(("keys", PostgresBuckets.OfKeys(then, policy.KeyWindow)));
            }
        }

        for (var day = 0; day <= 1; day++) needed.Add((PostgresAttemptDays.Table, PostgresAttemptDays.Of(now) + day));
        var present = (await PartitionsAsync(connection, [.. Tables, PostgresAttemptDays.Table], cancellationToken)).Where(p => p is { Attached: true, Leaving: false });
        needed.ExceptWith(present.Select(p => (p.Table, p.Bucket)));
        foreach (var (table, bucket) in needed)
            await ScalarAsync<bool>(connection, $"select make_partition('{table}', {bucket})", cancellationToken);
    }

    private async Task DropPartitionsAsync(NpgsqlConnection connection, long now, CancellationToken cancellationToken)
    {
        var hour = PostgresBuckets.Hour(now - (long)Grace.TotalMilliseconds);
        foreach (var partition in await PartitionsAsync(connection, Tables, cancellationToken))
        {
            if (partition.Attached && !partition.Leaving)
            {
                if (partition.Bucket == PostgresBuckets.Never || partition.Bucket > hour) continue;
                if (partition.Table == "messages") await ReleaseAsync(connection, partition.Name, cancellationToken);
            }

            // What an earlier sweep began and could not end is ended.
            if (partition.Attached)
            {
                await ExecuteAsync(
                    connection,
                    $"alter table {partition.Table} detach partition {partition.Name} {(partition.Leaving ? "finalize" : "concurrently")}",
                    cancellationToken);
            }

            await ExecuteAsync(connection, $"drop table {partition.Name}", cancellationToken);
            LogDropped(logger, partition.Name);
        }
    }

    private static async Task ReleaseAsync(NpgsqlConnection connection, string partition, CancellationToken cancellationToken)
    {
        long? after = 0;
        while (after is not null)
        {
            await using var command = new NpgsqlCommand("select release_partition($1, $2, $3)", connection) { CommandTimeout = StatementSeconds };
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = partition });
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after.Value });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = Page });
            after = await command.ExecuteScalarAsync(cancellationToken) as long?;
        }
    }

    /// <summary>The partitions, and the tables that were some and are not dropped yet.</summary>
    private static async Task<List<Partition>> PartitionsAsync(
        NpgsqlConnection connection, string[] tables, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(
            """
            select t.name, c.relname, substring(c.relname from '[0-9]+$')::int, i.inhrelid is not null, coalesce(i.inhdetachpending, false)
            from unnest($1) t(name)
            join pg_class c on c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace
                and c.relname ~ ('^' || t.name || '_[0-9]+$')
            left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = t.name::regclass
            order by 1, 3
            """,
            connection);
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = tables });
        var found = new List<Partition>();
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
            found.Add(new Partition(rows.GetString(0), rows.GetString(1), rows.GetInt32(2), rows.GetBoolean(3), rows.GetBoolean(4)));
        return found;
    }

    private static async Task<T> ScalarAsync<T>(NpgsqlConnection connection, FormattableString sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql.ToString(CultureInfo.InvariantCulture), connection) { CommandTimeout = StatementSeconds };
        return (T)(await command.ExecuteScalarAsync(cancellationToken))!;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = StatementSeconds };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    [LoggerMessage(1, LogLevel.Debug, "Dropped the partition {Partition}: all in it was past its time.")]
    private static partial void LogDropped(ILogger logger, string partition);

    /// <summary>A partition.</summary>
    /// <param name="Table">Of which table.</param>
    /// <param name="Name">Its own name.</param>
    /// <param name="Bucket">The hour by which all in it is past its time.</param>
    /// <param name="Attached">Whether it is one still, or only a table.</param>
    /// <param name="Leaving">Whether a sweep began to detach it, and was interrupted.</param>
    private sealed record Partition(string Table, string Name, int Bucket, bool Attached, bool Leaving);

    /// <summary>The policies as arrays; the first is that of the namespaces that have none of their own, under an empty name.</summary>
    private sealed class Limits
    {
        public Limits(NamespacePolicies policies, long now)
        {
            (string Name, NamespacePolicy Policy)[] all = [("", policies.Default), .. policies.Named.Select(n => (n.Key, n.Value))];
            Names = [.. all.Select(p => p.Name)];
            Ages = [.. all.Select(p => (long?)p.Policy.MaxAge?.TotalMilliseconds)];
            Messages = [.. all.Select(p => p.Policy.MaxMessages)];
            Bytes = [.. all.Select(p => p.Policy.MaxBytes)];
            GoSoon = [.. all.Select(p => PostgresBuckets.GoesSoon(now, p.Policy))];
        }

        public string[] Names { get; }

        public long?[] Ages { get; }

        public long?[] Messages { get; }

        public long?[] Bytes { get; }

        public int[] GoSoon { get; }
    }
}

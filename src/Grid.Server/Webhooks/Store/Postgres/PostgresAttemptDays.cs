using System.Globalization;
using Npgsql;
using static Grid.Server.Webhooks.Store.Postgres.PostgresCall;

namespace Grid.Server.Webhooks.Store.Postgres;

/// <summary>The partitions of attempts: one a day, by days since 1970.</summary>
internal static class PostgresAttemptDays
{
    /// <summary>The table.</summary>
    public const string Table = "webhook_attempts";

    /// <summary>Any number that nobody else takes in this database.</summary>
    private const long LockId = 0x67726966;

    /// <summary>Detaching a partition waits for all transactions before it. It holds up no other.</summary>
    private const int StatementSeconds = 60;

    private const long DayMs = 24 * 3_600_000;

    /// <summary>The day of a time.</summary>
    public static int Of(long atMs) => (int)(atMs / DayMs);

    /// <summary>Makes a day's partition, if it is not there.</summary>
    public static async Task MakeAsync(NpgsqlDataSource source, int day) =>
        await WriteAsync(source, "select make_partition($1, $2)", CancellationToken.None, P(Table), P(day));

    /// <summary>Drops the partitions of all days before one. One silo at a time; the others find it done.</summary>
    public static async Task<int> DropAsync(NpgsqlDataSource source, int before, CancellationToken cancellationToken)
    {
        await using var connection = await source.OpenConnectionAsync(cancellationToken);
        await using (var take = Command(connection, "select pg_try_advisory_lock($1)", P(LockId)))
        {
            if (await take.ExecuteScalarAsync(cancellationToken) is not true) return 0;
        }

        try
        {
            var dropped = 0;
            foreach (var (name, attached, leaving) in await FindAsync(connection, before, cancellationToken))
            {
                // What an earlier one began and could not end is ended.
                if (attached)
                {
                    await ExecuteAsync(
                        connection, $"alter table {Table} detach partition {name} {(leaving ? "finalize" : "concurrently")}", cancellationToken);
                }

                await ExecuteAsync(connection, $"drop table {name}", cancellationToken);
                dropped++;
            }

            return dropped;
        }
        finally
        {
            // The lock is the connection's, which goes back to the pool; a broken one has lost it already.
            if (connection.State == System.Data.ConnectionState.Open)
            {
                await using var release = Command(connection, "select pg_advisory_unlock($1)", P(LockId));
                await release.ExecuteNonQueryAsync(CancellationToken.None);
            }
        }
    }

    private static async Task<List<(string Name, bool Attached, bool Leaving)>> FindAsync(
        NpgsqlConnection connection, int before, CancellationToken cancellationToken)
    {
        await using var command = Command(
            connection,
            string.Create(CultureInfo.InvariantCulture, $"""
            select c.relname, i.inhrelid is not null, coalesce(i.inhdetachpending, false)
            from pg_class c
            left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = '{Table}'::regclass
            where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace and c.relname ~ '^{Table}_[0-9]+$'
                and substring(c.relname from '[0-9]+$')::int < $1
            order by 1
            """),
            P(before));
        var found = new List<(string, bool, bool)>();
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken)) found.Add((rows.GetString(0), rows.GetBoolean(1), rows.GetBoolean(2)));
        return found;
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = StatementSeconds };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}

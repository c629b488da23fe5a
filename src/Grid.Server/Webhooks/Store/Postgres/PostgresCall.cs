using Grid.Server.Log.Postgres;
using Npgsql;

namespace Grid.Server.Webhooks.Store.Postgres;

/// <summary>Calls of the database's functions.</summary>
internal static class PostgresCall
{
    /// <summary>A command with its parameters, in order.</summary>
    public static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params NpgsqlParameter[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        command.Parameters.AddRange(parameters);
        return command;
    }

    /// <summary>A parameter.</summary>
    public static NpgsqlParameter<T> P<T>(T value) => new() { TypedValue = value };

    /// <summary>Calls a function that writes, and tells of success only when a synchronous standby has it too. Null: it answered null.</summary>
    public static async Task<object?> WriteAsync(
        NpgsqlDataSource source, string sql, CancellationToken cancellationToken, params NpgsqlParameter[] parameters)
    {
        await using var connection = await source.OpenConnectionAsync(cancellationToken);
        var watch = new CommitWatch(connection);
        await using var command = Command(connection, sql, parameters);
        object? result = null;
        await using (var rows = await command.ExecuteReaderAsync(cancellationToken))
        {
            if (await rows.ReadAsync(cancellationToken) && !await rows.IsDBNullAsync(0, cancellationToken)) result = rows.GetValue(0);

            // The commit comes after the last row.
            await rows.NextResultAsync(cancellationToken);
        }

        watch.Verify();
        return result;
    }
}

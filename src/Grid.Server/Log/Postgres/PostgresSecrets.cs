using System.Collections.Concurrent;
using System.Security.Cryptography;
using Grid.Server.Tenancy;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>Keeps secrets in the database, where every silo of the cluster finds the same. What was read once is not asked for again.</summary>
internal sealed class PostgresSecrets(PostgresDatabase database) : ISecretStore
{
    private const int Bytes = 32;
    private readonly ConcurrentDictionary<string, byte[]> _known = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public byte[] GetOrCreate(string name) => _known.GetOrAdd(name, ReadOrCreate);

    private byte[] ReadOrCreate(string name)
    {
        try
        {
            return Ensure(name);
        }
        catch (NpgsqlException e)
        {
            throw PostgresDatabase.Unavailable(e);
        }
    }

    private byte[] Ensure(string name)
    {
        if (Read(name) is { } known) return known;
        using var connection = database.Source.OpenConnection();
        var watch = new CommitWatch(connection);
        using var command = new NpgsqlCommand("insert into secrets (name, value) values ($1, $2) on conflict do nothing", connection);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = name });
        command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = RandomNumberGenerator.GetBytes(Bytes) });
        command.ExecuteNonQuery();
        watch.Verify();

        // Another silo may have been first; what is stored counts.
        return Read(name) ?? throw new InvalidOperationException($"The secret '{name}' was stored, and is not there.");
    }

    private byte[]? Read(string name)
    {
        using var command = database.Source.CreateCommand("select value from secrets where name = $1");
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = name });
        return (byte[]?)command.ExecuteScalar();
    }
}

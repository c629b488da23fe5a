using System.Globalization;
using System.Reflection;
using Grid.Server.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Makes and migrates the schema, so that nobody has to run scripts. The scripts are in this assembly, numbered; each is applied once,
/// in a transaction of its own, under a lock that lets one silo do it while the others wait.
/// </summary>
/// <remarks>
/// The table <c>schema_version</c> says which script came last, and the oldest program that can still work with what it made (by the
/// number of the last script that program knows). So during a rolling upgrade older silos go on, and may restart, as long as the
/// newer scripts allow it.
/// </remarks>
internal sealed partial class PostgresSchema(NpgsqlDataSource source, string description, ILogger<PostgresSchema> logger)
{
    /// <summary>Asks the server whether it takes writes: no standby, and not read-only.</summary>
    public const string TakesWrites = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off'";

    private const int OldestServer = 14;

    /// <summary>Any number that nobody else takes in this database: "grid" in ASCII.</summary>
    private const long LockId = 0x67726964;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromSeconds(5);

    /// <summary>How long a server that is away is waited for. Default: 60 s.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The scripts of this program, in order.</summary>
    public IReadOnlyList<SchemaScript> Scripts { get; init; } = SchemaScript.Embedded();

    /// <summary>The cluster that the database is to belong to; null: whichever. The first one that comes has it for good.</summary>
    public string? ClusterId { get; init; }

    /// <summary>Brings the schema to this program's version.</summary>
    /// <exception cref="GridStartupException">The server stays away, is too old, refuses, or has a schema that this program cannot use.</exception>
    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        var end = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        var sayAt = Environment.TickCount64;
        while (true)
        {
            try
            {
                await MigrateOnceAsync(cancellationToken);
                return;
            }
            catch (Exception e) when (PostgresErrors.IsOfDatabase(e) && !cancellationToken.IsCancellationRequested)
            {
                if (Refusal(e) is { } refusal) throw new GridStartupException(refusal, e);
                var now = Environment.TickCount64;
                if (now >= end)
                {
                    throw new GridStartupException(
                        $"{description} was not usable for {Patience.TotalSeconds:0} s: {PostgresErrors.Explain(e)} Is the server running, "
                        + "and may this machine reach it?", e) { MayPass = true };
                }

                if (now >= sayAt)
                {
                    LogWaiting(logger, description, PostgresErrors.Explain(e));
                    sayAt = now + (long)SayAgainAfter.TotalMilliseconds;
                }
            }

            await Task.Delay(RetryAfter, cancellationToken);
        }
    }

    /// <summary>What no waiting will mend, in plain words; null for what may pass.</summary>
    private string? Refusal(Exception e) => (e as PostgresException)?.SqlState switch
    {
        PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification =>
            $"{description} refuses the user or the password of the connection string.",
        PostgresErrorCodes.InvalidCatalogName => $"{description}: there is no such database. Create it, owned by Grid's user.",
        PostgresErrorCodes.InsufficientPrivilege =>
            $"{description}: the user may not do what Grid needs ({((PostgresException)e).MessageText}). Let it own the database, "
            + $"or a schema '{PostgresConnectionString.Schema}' in it.",
        { } when !PostgresErrors.MayPass(e) => $"{description} refuses Grid's schema: {PostgresErrors.Explain(e)}",
        _ => null,
    };

    private async Task MigrateOnceAsync(CancellationToken cancellationToken)
    {
        await using var connection = await source.OpenConnectionAsync(cancellationToken);
        if (connection.PostgreSqlVersion.Major < OldestServer)
        {
            throw new GridStartupException(
                $"{description} is version {connection.PostgreSqlVersion}; Grid needs {OldestServer} or newer.");
        }

        if (!await UsableAsync(connection, cancellationToken))
            throw new NpgsqlException("the server takes no writes now; it is read-only or a standby");
        await ExecuteAsync(connection, string.Create(CultureInfo.InvariantCulture, $"select pg_advisory_lock({LockId})"), cancellationToken);
        try
        {
            var stored = await ReadVersionAsync(connection, cancellationToken);
            var own = Scripts[^1].Version;
            if (stored.Version > own && own < stored.Compatible)
            {
                throw new GridStartupException(
                    $"{description} has a schema of a newer Grid (version {stored.Version}), with which this one (version {own}) cannot "
                    + "work. Start the newer Grid.");
            }

            // Before anything of a database is changed that belongs to others; and a new one has no place for the name yet.
            if (stored.Version > 0) await ClaimAsync(connection, cancellationToken);
            foreach (var script in Scripts)
            {
                if (script.Version > stored.Version) await ApplyAsync(connection, script, cancellationToken);
            }

            if (stored.Version == 0) await ClaimAsync(connection, cancellationToken);
            await WarnAsync(connection, cancellationToken);
        }
        finally
        {
            // The lock belongs to the connection, which goes back to the pool.
            if (connection.State == System.Data.ConnectionState.Open)
                await ExecuteAsync(connection, string.Create(CultureInfo.InvariantCulture, $"select pg_advisory_unlock({LockId})"), CancellationToken.None);
        }
    }

    private static async Task<bool> UsableAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(TakesWrites, connection);
        return await command.ExecuteScalarAsync(cancellationToken) is true;
    }

    private static async Task<(int Version, int Compatible)> ReadVersionAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await ExecuteAsync(
            connection,
            $"""
            do $$ begin
                if to_regnamespace('{PostgresConnectionString.Schema}') is null then create schema {PostgresConnectionString.Schema}; end if;
                if to_regclass('{PostgresConnectionString.Schema}.schema_version') is null then
                    create table schema_version (
                        version int primary key, compatible int not null, name text not null, applied timestamptz not null default now());
                end if;
            end $$
            """,
            cancellationToken);
        await using var command = new NpgsqlCommand(
            "select coalesce(max(version), 0), coalesce(max(compatible), 0) from schema_version", connection);
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        await rows.ReadAsync(cancellationToken);
        return (rows.GetInt32(0), rows.GetInt32(1));
    }

    /// <summary>Notes whose database it is, unless that is known. Two clusters would share messages, tenants and secrets unawares.</summary>
    private async Task ClaimAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        if (ClusterId is null) return;
        await using (var claim = new NpgsqlCommand("insert into store (name, value) values ('cluster', $1) on conflict do nothing", connection))
        {
            claim.Parameters.Add(new NpgsqlParameter<string> { TypedValue = ClusterId });
            await claim.ExecuteNonQueryAsync(cancellationToken);
        }

        await using var command = new NpgsqlCommand("select value from store where name = 'cluster'", connection);
        if (await command.ExecuteScalarAsync(cancellationToken) is string owner && owner != ClusterId)
        {
            throw new GridStartupException(
                $"{description} belongs to the cluster '{owner}', and Grid__ClusterId is '{ClusterId}'. Clusters on one database would share "
                + "their messages, tenants and keys: give each a database of its own, or set Grid__ClusterId to the one that it belongs to.");
        }
    }

    private async Task ApplyAsync(NpgsqlConnection connection, SchemaScript script, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);

        // A script that waits for a lock, behind a backup for example, makes all wait that come after it: rather try again.
        await ExecuteAsync(connection, "set local lock_timeout = '2s'", cancellationToken);
        await ExecuteAsync(connection, script.Sql, cancellationToken);
        await using (var note = new NpgsqlCommand("insert into schema_version (version, compatible, name) values ($1, $2, $3)", connection))
        {
            note.Parameters.Add(new NpgsqlParameter<int> { TypedValue = script.Version });
            note.Parameters.Add(new NpgsqlParameter<int> { TypedValue = script.Compatible });
            note.Parameters.Add(new NpgsqlParameter<string> { TypedValue = script.Name });
            await note.ExecuteNonQueryAsync(cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        LogApplied(logger, script.Name, description);
    }

    private async Task WarnAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("select current_setting('fsync') = 'on'", connection);
        if (await command.ExecuteScalarAsync(cancellationToken) is false) LogNoFsync(logger, description);
    }

    /// <summary>A statement without parameters, as text: a script has many statements, which cannot be prepared as one, and takes its time.</summary>
    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}

/// <summary>One step of the schema.</summary>
/// <param name="Version">Its number, from 1 on without holes.</param>
/// <param name="Compatible">The last script that a program must know at least to work with what this one makes.</param>
/// <param name="Name">Its file's name.</param>
/// <param name="Sql">What it does.</param>
internal sealed record SchemaScript(int Version, int Compatible, string Name, string Sql)
{
    private const string CompatiblePrefix = "-- compatible: ";

    /// <summary>The scripts in this assembly: <c>0001_name.sql</c>, each beginning with <c>-- compatible: n</c>.</summary>
    public static IReadOnlyList<SchemaScript> Embedded()
    {
        var assembly = Assembly.GetExecutingAssembly();
        var scripts = new List<SchemaScript>();
        foreach (var resource in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
        {
            if (!resource.StartsWith("schema/", StringComparison.Ordinal)) continue;
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            scripts.Add(Parse(resource["schema/".Length..], reader.ReadToEnd()));
        }

        return scripts;
    }

    private static SchemaScript Parse(string name, string sql)
    {
        var version = int.Parse(name.AsSpan(0, 4), CultureInfo.InvariantCulture);
        var first = sql[..sql.IndexOf('\n', StringComparison.Ordinal)];
        return first.StartsWith(CompatiblePrefix, StringComparison.Ordinal)
            ? new SchemaScript(version, int.Parse(first.AsSpan(CompatiblePrefix.Length), CultureInfo.InvariantCulture), name, sql)
            : throw new InvalidDataException($"The schema script {name} does not say what it is compatible with.");
    }
}

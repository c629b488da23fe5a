using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
using Grid.Testing.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Grid.ClusterTests.Stores;

/// <summary>A PostgreSQL server for the tests of one class, each on a database of its own.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    /// <summary>The server.</summary>
    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await PostgresServer.StartNewAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

/// <summary>Makes the parts under test.</summary>
internal static class Postgres
{
    /// <summary>The database of a connection string, with the schema.</summary>
    public static async Task<PostgresDatabase> OpenAsync(string connectionString)
    {
        var database = new PostgresDatabase(new GridClusterOptions { Postgres = connectionString }, NullLoggerFactory.Instance);
        await database.OpenAsync(CancellationToken.None);
        return database;
    }

    /// <summary>A log on a database.</summary>
    public static PostgresMessageLog Log(
        PostgresDatabase database, TimeProvider? time = null, int lanes = PostgresMessageLog.DefaultLanes, Action<GridOptions>? configure = null) =>
        new(database, Policies(configure), time ?? TimeProvider.System, NullLogger<PostgresMessageLog>.Instance, lanes);

    /// <summary>Policies.</summary>
    public static NamespacePolicies Policies(Action<GridOptions>? configure = null)
    {
        var options = new GridOptions();
        configure?.Invoke(options);
        return new NamespacePolicies(Options.Create(options));
    }
}

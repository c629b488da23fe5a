using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Testing.Log;

namespace Grid.ClusterTests.Stores;

/// <summary>The log's contract, on PostgreSQL.</summary>
public sealed class PostgresConformanceTests(PostgresFixture fixture) : MessageLogConformance, IClassFixture<PostgresFixture>
{
    private string? _connectionString;
    private PostgresDatabase? _database;
    private PostgresMessageLog? _log;

    protected override bool Durable => true;

    protected override async Task<IMessageLog> OpenAsync()
    {
        _connectionString ??= await fixture.Server.CreateDatabaseAsync();
        _database = await Postgres.OpenAsync(_connectionString);
        return _log = Postgres.Log(_database, Time);
    }

    protected override async Task CloseAsync()
    {
        if (_log is not null) await _log.DisposeAsync();
        if (_database is not null) await _database.DisposeAsync();
    }
}

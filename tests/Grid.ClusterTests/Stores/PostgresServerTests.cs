using System.Diagnostics;
using Grid.Testing.Servers;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>The server that the other tests stand on: it starts, ends in every way, comes back, and leaves nothing behind.</summary>
public sealed class PostgresServerTests
{
    [Fact]
    public async Task It_comes_back_with_what_was_stored_however_it_ended()
    {
        await using var server = await PostgresServer.StartNewAsync();
        var database = await server.CreateDatabaseAsync();
        await using var source = NpgsqlDataSource.Create(database);
        await ExecuteAsync(source, "create table t (n int)");
        var count = 0L;
        foreach (var end in new Func<Task>[] { server.StopAsync, server.StopImmediatelyAsync, server.KillAsync })
        {
            await ExecuteAsync(source, "insert into t values (1)");
            count++;
            await end();
            Assert.Null(server.ProcessId);
            await server.StartAsync();
            source.Clear();
            Assert.Equal(count, await ExecuteAsync(source, "select count(*) from t"));
        }

        Assert.NotEqual(database, await server.CreateDatabaseAsync());
    }

    [Fact]
    public async Task A_frozen_server_answers_when_it_has_thawed()
    {
        await using var server = await PostgresServer.StartNewAsync(fsync: false);
        await using var connection = new NpgsqlConnection(server.ConnectionString());
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("select 1", connection);
        server.Freeze();
        var answer = command.ExecuteScalarAsync();
        server.Thaw();
        Assert.Equal(1, await answer);
    }

    [Fact]
    public async Task After_its_disposal_nothing_runs_and_nothing_is_left()
    {
        var server = await PostgresServer.StartNewAsync(fsync: false);
        var folder = (string)(await server.ExecuteAsync("show data_directory"))!;
        using var process = Process.GetProcessById(server.ProcessId!.Value);
        await server.DisposeAsync();
        Assert.True(process.HasExited);
        Assert.False(Directory.Exists(Path.GetDirectoryName(folder)));
    }

    private static async Task<object?> ExecuteAsync(NpgsqlDataSource source, string sql)
    {
        await using var command = source.CreateCommand(sql);
        return await command.ExecuteScalarAsync();
    }
}

using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Postgres;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>Deleting subscriptions that have very many rows, as those whose prefix matches millions of channels.</summary>
public sealed class PostgresWebhookDeletionTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>, IAsyncLifetime
{
    private const int Rows = 5_000;
    private static readonly string[] Tables = ["webhook_marks", "webhook_channels", "webhook_parked", "webhook_dead_letters", "webhook_truncations"];

    private PostgresDatabase _database = null!;
    private PostgresWebhookStore _store = null!;

    public async Task InitializeAsync()
    {
        _database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        _store = new PostgresWebhookStore(_database);
        foreach (var id in (string[])["wh_1", "wh_2", "wh_3"]) await CreateAsync(id);
    }

    public async Task DisposeAsync() => await _database.DisposeAsync();

    [Fact]
    public async Task It_takes_many_short_steps_whatever_there_is()
    {
        await ExecuteAsync(
            """
            create function few() returns trigger language plpgsql as $$
            begin
                if (select count(*) from gone) > 2000 then
                    raise 'too many at once';
                end if;
                return null;
            end
            $$
            """);
        foreach (var table in Tables)
            await ExecuteAsync($"create trigger few after delete on {table} referencing old table as gone for each statement execute function few()");
        Assert.True(await _store.DeleteAsync(Id("wh_2")));
        Assert.Null(await _store.GetAsync(Id("wh_2")));
        Assert.False(await _store.DeleteAsync(Id("wh_2")));
        Assert.Equal(["wh_1", "wh_3"], await LeftAsync());
    }

    [Fact]
    public async Task What_it_left_when_it_was_cut_off_goes_with_what_is_old()
    {
        await ExecuteAsync("create function stop() returns trigger language plpgsql as $$ begin raise 'stop'; end $$");
        foreach (var table in Tables) await ExecuteAsync($"create trigger stop before delete on {table} for each row execute function stop()");
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await _store.DeleteAsync(Id("wh_2")));
        foreach (var table in Tables) await ExecuteAsync($"drop trigger stop on {table}");

        // It is gone for all that, and nobody is to look for the rest of it.
        Assert.Null(await _store.GetAsync(Id("wh_2")));
        Assert.False(await _store.DeleteAsync(Id("wh_2")));
        Assert.Equal(["wh_1", "wh_2", "wh_3"], await LeftAsync());
        await _store.DropDeadLettersAsync(DateTimeOffset.UnixEpoch);
        Assert.Equal(["wh_1", "wh_3"], await LeftAsync());
    }

    private static WebhookId Id(string id) => new("acme", id);

    private async Task CreateAsync(string id)
    {
        Assert.True(await _store.CreateAsync(
            new StoredWebhook { Id = Id(id), Channels = ["*"], Version = 1, Definition = new byte[] { 1 }, Secrets = new byte[] { 1 } }, most: 100));
        foreach (var insert in (string[])
        [
            "webhook_marks (tenant, id, channel, epoch, place) select $1, $2, 'c' || n, 'e1', 0",
            "webhook_channels (tenant, id, channel, record) select $1, $2, 'c' || n, ''",
            "webhook_parked (tenant, id, message, due, record) select $1, $2, 'm' || n, n, ''",
            "webhook_dead_letters (tenant, id, message, at, record) select $1, $2, 'm' || n, n, ''",
            "webhook_truncations (tenant, id, channel, epoch, first, last, record) select $1, $2, 'c' || n, 'e1', 1, n, ''",
        ])
        {
            await using var command = _database.Source.CreateCommand($"insert into {insert} from generate_series(1, {Rows}) n");
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = "acme" });
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = id });
            Assert.Equal(Rows, await command.ExecuteNonQueryAsync());
        }
    }

    /// <summary>Those of which all rows are left; fails if only some are.</summary>
    private async Task<string[]> LeftAsync()
    {
        var left = new List<string>();
        foreach (var id in (string[])["wh_1", "wh_2", "wh_3"])
        {
            var counts = new List<long>();
            foreach (var table in Tables)
            {
                await using var command = _database.Source.CreateCommand($"select count(*) from {table} where id = '{id}'");
                counts.Add((long)(await command.ExecuteScalarAsync())!);
            }

            if (counts.Exists(static c => c > 0)) left.Add(id);
            Assert.All(counts, c => Assert.Equal(counts[0], c));
            Assert.Contains(counts[0], new long[] { 0, Rows });
        }

        return [.. left];
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = _database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}

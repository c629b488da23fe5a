using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>
/// A server that waits for a synchronous standby, and the standby is away. PostgreSQL answers a commit whose wait is cancelled with
/// success; nobody may be told of that as an acknowledgement.
/// </summary>
public sealed class PostgresStandbyTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    private readonly ChannelId _channel = new("t", "room:1");

    [Fact]
    public async Task An_append_that_the_standby_does_not_confirm_in_time_is_not_acknowledged()
    {
        // Short, for each wait that no standby ends; and longer than what is answered takes on a loaded machine.
        var connectionString = await fixture.Server.CreateDatabaseAsync() + ";Command Timeout=4";
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        var head = (await log.AppendAsync(Request((await log.GetHeadAsync(_channel)).Position, "a"))).Head;
        Assert.True(await database.IsUsableAsync(CancellationToken.None));
        using var deadline = TestDeadline.In(90);
        try
        {
            await RequireStandbyAsync(connectionString, deadline);
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.AppendAsync(Request(head, "b")));

            // Nor is it by its key: the message is stored here, as readers see, and the standby lacks it.
            Assert.Equal(2, (await log.GetHeadAsync(_channel)).Head);
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.FindKeysAsync(_channel, ["b"]));
            Assert.Equal(0, Assert.Single(await log.FindKeysAsync(_channel, ["none"])));
            await using (var other = Postgres.Log(database))
                await Assert.ThrowsAsync<LogUnavailableException>(async () => await other.AppendAsync(Request(head with { Offset = 2 }, "b")));

            // The server answers, and says of itself that it takes writes; none comes to its end.
            Assert.False(await database.IsUsableAsync(CancellationToken.None));
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.AppendAsync(Request(head, "c")));
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.PurgeAsync(new ChannelId("t", "room:2")));

            // The wait is cancelled when its time is over; where the server is slow to say so, the connection is given up instead.
            var refused = await Assert.ThrowsAnyAsync<Exception>(async () => await database.TryWriteAsync(CancellationToken.None));
            Assert.True(refused is StandbyException or NpgsqlException { InnerException: TimeoutException }, refused.ToString());
            Assert.False(await database.IsUsableAsync(CancellationToken.None));
        }
        finally
        {
            await RequireNoStandbyAsync();
        }

        await deadline.UntilAsync(async () => await database.IsUsableAsync(deadline.Token), () => "the database to be usable again");
        head = (await log.GetHeadAsync(_channel)).Position;
        Assert.Equal(AppendStatus.Appended, (await log.AppendAsync(Request(head, "d"))).Status);
        Assert.Equal(2, Assert.Single(await log.FindKeysAsync(_channel, ["b"])));
    }

    [Fact]
    public async Task A_wait_that_an_administrator_cancels_is_no_success_either()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync() + ";Command Timeout=60";
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        var head = (await log.AppendAsync(Request((await log.GetHeadAsync(_channel)).Position, "a"))).Head;
        using var deadline = TestDeadline.In(90);
        try
        {
            await RequireStandbyAsync(connectionString, deadline);
            var append = log.AppendAsync(Request(head, "b")).AsTask();
            await deadline.UntilAsync(
                async () => await fixture.Server.ExecuteAsync(
                    "select bool_or(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep' and query like '%append_and_mark%'") is true,
                () => "the append to wait for the standby");
            await Assert.ThrowsAsync<LogUnavailableException>(() => append);
        }
        finally
        {
            await RequireNoStandbyAsync();
        }
    }

    /// <summary>What Orleans writes is not looked through for warnings: a command that took too long ends with its connection.</summary>
    [Fact]
    public async Task Grain_storage_is_not_told_of_a_success_either()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync() + ";Command Timeout=1";
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var storage = NpgsqlDataSource.Create(PostgresConnectionString.ForStorage(connectionString));
        using var deadline = TestDeadline.In(90);
        try
        {
            await RequireStandbyAsync(connectionString, deadline);
            await using var command = storage.CreateCommand("insert into store (name, value) values ('a', 'b')");
            await Assert.ThrowsAnyAsync<NpgsqlException>(() => command.ExecuteNonQueryAsync());
        }
        finally
        {
            await RequireNoStandbyAsync();
        }
    }

    /// <summary>The server takes the setting up a moment after it was told: when a write of another database's log waits, it has.</summary>
    private async Task RequireStandbyAsync(string connectionString, TestDeadline deadline)
    {
        await fixture.Server.ExecuteAsync("alter system set synchronous_standby_names = 'nobody'");
        await fixture.Server.ExecuteAsync("select pg_reload_conf()");
        var cluster = new GridClusterOptions
        {
            Postgres = new NpgsqlConnectionStringBuilder(connectionString) { CommandTimeout = 1 }.ConnectionString,
        };
        await using var other = new PostgresDatabase(cluster, NullLoggerFactory.Instance);
        await deadline.UntilAsync(
            async () => await Record.ExceptionAsync(async () => await other.TryWriteAsync(deadline.Token)) is StandbyException,
            () => "a write that waits for the standby");
    }

    private async Task RequireNoStandbyAsync()
    {
        await fixture.Server.ExecuteAsync("alter system reset synchronous_standby_names");
        await fixture.Server.ExecuteAsync("select pg_reload_conf()");
    }

    private AppendRequest Request(Position head, string text) => new()
    {
        Channel = _channel,
        ExpectedHead = head,
        Messages = [new Message { Offset = head.Offset + 1, At = 1, Key = text, Payload = Payload.Json(Encoding.UTF8.GetBytes($"\"{text}\"")) }],
        KeyWindow = TimeSpan.FromHours(1),
    };
}

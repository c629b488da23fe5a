using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Postgres;
using Grid.Testing;
using Grid.Testing.Webhooks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>The schema makes and migrates itself, whoever comes first, and says what keeps it from that.</summary>
public sealed class PostgresSchemaTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    [Fact]
    public async Task Silos_that_start_at_once_make_it_together()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var databases = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => Task.Run(() => Postgres.OpenAsync(connectionString))));
        var applied = await CountAsync(databases[0], "select count(*) from schema_version");
        Assert.Equal(SchemaScript.Embedded().Count, applied);

        // All have one epoch and one set of secrets.
        var secrets = databases.Select(d => Convert.ToHexString(new PostgresSecrets(d).GetOrCreate(SecretNames.Resume))).ToArray();
        Assert.Single(secrets.Distinct());
        Assert.Equal(64, secrets[0].Length);
        Assert.NotEqual(secrets[0], Convert.ToHexString(new PostgresSecrets(databases[1]).GetOrCreate(SecretNames.ApiKeys)));
        await databases[0].OpenAsync(CancellationToken.None);
        foreach (var database in databases) await database.DisposeAsync();
    }

    [Fact]
    public async Task Secrets_made_at_once_are_one()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        var secrets = new PostgresSecrets(database);
        var made = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => Convert.ToHexString(secrets.GetOrCreate("new")))));
        Assert.Single(made.Distinct());
    }

    [Fact]
    public async Task A_database_of_an_older_version_goes_on_with_all_that_it_holds()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        await using (var source = NpgsqlDataSource.Create(PostgresConnectionString.ForLog(connectionString)))
        {
            var old = new PostgresSchema(source, "the database", NullLogger<PostgresSchema>.Instance)
            {
                Scripts = [.. SchemaScript.Embedded().Where(s => s.Version <= 2)],
            };
            await old.MigrateAsync(CancellationToken.None);
        }

        var (channel, none) = (new ChannelId("t", "room:1"), new ChannelId("t", "room:2"));
        await using var before = new PostgresDatabase(new GridClusterOptions { Postgres = connectionString }, NullLoggerFactory.Instance);
        await using var oldLog = Postgres.Log(before);
        var epoch = (await oldLog.ReadAsync(channel, 0, 1)).Head.Epoch;
        Assert.True(await AppendAsOldAsync(before, Request(channel, new Position(epoch, 0), at: 1000, count: 3)));
        var head = new Position(epoch, 3);

        await using var after = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(after);
        Assert.Equal(new ChannelEnd(new ChannelHead(epoch, 1, 3), 1002), await log.GetEndAsync(channel));
        Assert.Equal(new ChannelEnd(new ChannelHead(epoch, 1, 0), 0), await log.GetEndAsync(none));
        head = (await log.AppendAsync(Request(channel, head, at: 2000, count: 2))).Head;
        Assert.Equal(2001, (await log.GetEndAsync(channel)).LastAt);

        // A silo that still runs the older program appends on, is refused where the head is elsewhere, and marks webhooks, too.
        var webhooks = new PostgresWebhookStore(after);
        var webhook = new WebhookId("t", "wh_1");
        Assert.True(await webhooks.CreateAsync(
            new StoredWebhook { Id = webhook, Channels = ["room:*"], Version = 1, Definition = new byte[] { 1 }, Secrets = new byte[] { 1 } }, 1));
        Assert.True(await AppendAsOldAsync(before, Request(channel, head, at: 3000, count: 1)));
        Assert.False(await AppendAsOldAsync(before, Request(channel, head, at: 3000, count: 1)));
        Assert.Equal([new WebhookMark("room:1", head)], await webhooks.GetMarksAsync(webhook));
        Assert.Equal(new ChannelEnd(new ChannelHead(epoch, 1, 6), 3000), await log.GetEndAsync(channel));
        Assert.Equal(6, (await log.ReadAsync(channel, 0, 10)).Messages.Count);
    }

    [Fact]
    public async Task A_database_belongs_to_the_cluster_that_came_first()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => Task.Run(() => OpenAsync(connectionString, i % 2 == 0 ? "one" : "two"))));
        var refused = outcomes.OfType<GridStartupException>().ToArray();
        Assert.Equal(3, refused.Length);
        Assert.Equal(3, outcomes.Count(o => o is null));
        var (owner, other) = await OpenAsync(connectionString, "one") is null ? ("one", "two") : ("two", "one");
        Assert.All(refused, r => Assert.Contains($"belongs to the cluster '{owner}', and Grid__ClusterId is '{other}'", r.Message, StringComparison.Ordinal));

        // One from before that was noted is whose who comes first.
        await fixture.Server.ExecuteAsync("delete from grid.store where name = 'cluster'", new NpgsqlConnectionStringBuilder(connectionString).Database!);
        Assert.Null(await OpenAsync(connectionString, other));
        Assert.IsType<GridStartupException>(await OpenAsync(connectionString, owner));

        static async Task<Exception?> OpenAsync(string connectionString, string cluster)
        {
            await using var database = new PostgresDatabase(
                new GridClusterOptions { Postgres = connectionString, ClusterId = cluster }, NullLoggerFactory.Instance);
            return await Record.ExceptionAsync(() => database.OpenAsync(CancellationToken.None));
        }
    }

    [Theory]
    [InlineData("Maximum Pool Size=5", "Make it 6 or more")]
    [InlineData("MaxPoolSize=1", "Make it 6 or more")]
    [InlineData("Maximum Pool Size=8;Minimum Pool Size=9", "Minimum Pool Size=9")]
    public void A_pool_that_is_too_small_is_refused(string setting, string reason)
    {
        var refused = Assert.Throws<GridStartupException>(() => PostgresConnectionString.ForLog($"Host=db;Password=Hidden-Word;{setting}"));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Hidden-Word", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Maximum Pool Size=6", 6)]
    [InlineData("Minimum Pool Size=30", 30)]
    [InlineData("Pooling=false", 20)]
    public void A_pool_that_suffices_is_taken(string setting, int size) =>
        Assert.Equal(size, new NpgsqlConnectionStringBuilder(PostgresConnectionString.ForLog($"Host=db;{setting}")).MaxPoolSize);

    [Fact]
    public async Task A_newer_schema_is_used_only_when_it_says_so()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        await using var database = await Postgres.OpenAsync(connectionString);
        var own = SchemaScript.Embedded()[^1].Version;
        await ExecuteAsync(database, $"insert into schema_version (version, compatible, name) values ({own + 1}, {own}, 'newer')");
        await database.OpenAsync(CancellationToken.None);

        await ExecuteAsync(database, $"insert into schema_version (version, compatible, name) values ({own + 2}, {own + 1}, 'newest')");
        var refused = await Assert.ThrowsAsync<GridStartupException>(() => database.OpenAsync(CancellationToken.None));
        Assert.Contains("newer Grid", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_script_that_fails_leaves_nothing_behind()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        await using var source = NpgsqlDataSource.Create(PostgresConnectionString.ForLog(connectionString));
        var schema = new PostgresSchema(source, "the database", NullLogger<PostgresSchema>.Instance)
        {
            Scripts = [new(1, 1, "0001_good.sql", "create table good (n int)"), new(2, 1, "0002_bad.sql", "create table half (n int); select 1 / 0")],
        };
        await Assert.ThrowsAsync<GridStartupException>(() => schema.MigrateAsync(CancellationToken.None));
        await using var command = source.CreateCommand("select to_regclass('good') is not null, to_regclass('half') is null, max(version) from schema_version");
        await using var rows = await command.ExecuteReaderAsync();
        Assert.True(await rows.ReadAsync());
        Assert.True(rows.GetBoolean(0) && rows.GetBoolean(1));
        Assert.Equal(1, rows.GetInt32(2));
    }

    [Fact]
    public async Task A_server_that_stays_away_is_named_without_its_password()
    {
        var port = FreePort.Next();
        var given = $"Host=127.0.0.1;Port={port};Username=grid;Password=Hidden-Word;Database=shop";
        await using var source = NpgsqlDataSource.Create(PostgresConnectionString.ForLog(given));
        var schema = new PostgresSchema(source, PostgresConnectionString.Describe(given), NullLogger<PostgresSchema>.Instance)
        {
            Patience = TimeSpan.FromSeconds(1),
        };
        var refused = await Assert.ThrowsAsync<GridStartupException>(() => schema.MigrateAsync(CancellationToken.None));
        Assert.Contains($"PostgreSQL shop at 127.0.0.1:{port}", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("Hidden-Word", refused.ToString(), StringComparison.Ordinal);
        Assert.True(refused.MayPass);
    }

    [Fact]
    public async Task What_waiting_does_not_mend_is_said_at_once()
    {
        await using var database = new PostgresDatabase(
            new GridClusterOptions { Postgres = fixture.Server.ConnectionString("missing") }, NullLoggerFactory.Instance);
        using var deadline = TestDeadline.In(30);
        var refused = await Assert.ThrowsAsync<GridStartupException>(() => database.OpenAsync(deadline.Token));
        Assert.Contains("no such database", refused.Message, StringComparison.Ordinal);
        Assert.False(refused.MayPass);

        var unreadable = Assert.Throws<GridStartupException>(() => PostgresConnectionString.ForLog("Host=x;Pasword=Hidden-Word"));
        Assert.DoesNotContain("Hidden-Word", unreadable.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_is_late_is_waited_for()
    {
        await using var server = await Grid.Testing.Servers.PostgresServer.StartNewAsync(fsync: false);
        await server.StopAsync();
        await using var database = new PostgresDatabase(
            new GridClusterOptions { Postgres = server.ConnectionString() }, NullLoggerFactory.Instance);
        var opening = database.OpenAsync(CancellationToken.None);
        await server.StartAsync();
        await opening;
        Assert.True(await database.IsUsableAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Commits_are_synced_whatever_the_default_is()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var name = new NpgsqlConnectionStringBuilder(connectionString).Database!;
        await fixture.Server.ExecuteAsync($"alter database {name} set synchronous_commit = off");
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var command = database.Source.CreateCommand("show synchronous_commit");
        Assert.Equal("on", await command.ExecuteScalarAsync());
    }

    [Fact]
    public async Task What_the_operator_gave_stands()
    {
        var own = new NpgsqlConnectionStringBuilder(PostgresConnectionString.ForLog(
            "Host=db;Search Path=other;Command Timeout=9;Maximum Pool Size=7;Application Name=shop;Options=-c work_mem=8MB"));
        Assert.Equal((9, 7, "shop", "grid"), (own.CommandTimeout, own.MaxPoolSize, own.ApplicationName, own.SearchPath));
        Assert.Equal("-c work_mem=8MB -c synchronous_commit=on -c client_min_messages=warning", own.Options);
        var plain = new NpgsqlConnectionStringBuilder(PostgresConnectionString.ForLog("Host=db"));
        Assert.Equal((4, 20), (plain.CommandTimeout, plain.MaxPoolSize));
        await Task.CompletedTask;
    }

    [Fact]
    public async Task The_registered_parts_make_one_store()
    {
        var cluster = new GridClusterOptions { Postgres = await fixture.Server.CreateDatabaseAsync() };
        var services = new ServiceCollection().AddLogging().AddOptions().AddGridPostgresStore(cluster);
        await using var provider = services.BuildServiceProvider();
        var store = provider.GetRequiredService<IGridStore>();
        await store.OpenAsync(CancellationToken.None);
        Assert.True(await store.Checks["postgres"](CancellationToken.None));
        Assert.Contains(fixture.Server.Port.ToString(System.Globalization.CultureInfo.InvariantCulture), store.Description, StringComparison.Ordinal);
        Assert.IsType<PostgresMessageLog>(provider.GetRequiredService<Grid.Server.Log.MessageLogs>().Durable);
        Assert.NotNull(provider.GetRequiredService<Grid.Server.Log.RetentionSweeper>());
    }

    /// <summary>Appends by the statement of a program from before webhooks: any row of its answer is a refusal.</summary>
    private static async Task<bool> AppendAsOldAsync(PostgresDatabase database, AppendRequest request)
    {
        var body = new byte[MessageRun.HeaderBytes + request.Messages.Sum(MessageRun.Size)];
        var rest = MessageRun.Begin(body);
        foreach (var message in request.Messages) rest = MessageRun.Add(rest, message);
        var (last, bytes) = (request.Messages[^1], (long)request.Messages.Sum(m => m.Payload.Bytes.Length));
        await using var command = database.Source.CreateCommand(
            "select * from append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)");
        foreach (var value in (object[])[
            new[] { request.Channel.ToString() }, new[] { request.ExpectedHead.Epoch }, new[] { request.ExpectedHead.Offset },
            new[] { request.Messages.Count }, new[] { bytes }, new[] { request.Messages[0].At }, new[] { 0 }, request.ExpectedHead.Offset == 0,
            new[] { 1 }, new[] { last.Offset }, new[] { request.Messages.Count }, new[] { bytes }, new[] { last.At }, new[] { body },
            Array.Empty<int>(), Array.Empty<long>(), Array.Empty<byte[]>(), new[] { 0 }, new[] { 0L }, 0L])
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        await using var rows = await command.ExecuteReaderAsync();
        return !await rows.ReadAsync();
    }

    private static AppendRequest Request(ChannelId channel, Position head, long at, int count) => new()
    {
        Channel = channel,
        ExpectedHead = head,
        Messages = [.. Enumerable.Range(0, count).Select(i => new Message { Offset = head.Offset + 1 + i, At = at + i, Payload = Payload.Json("1"u8.ToArray()) })],
        KeyWindow = TimeSpan.Zero,
    };

    private static async Task<long> CountAsync(PostgresDatabase database, string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private static async Task ExecuteAsync(PostgresDatabase database, string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}

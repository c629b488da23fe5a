using System.Collections.Concurrent;
using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Testing;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>The database dies, hangs, restarts or refuses writes: callers learn it soon, nothing acknowledged is lost, and all heals.</summary>
public sealed class PostgresOutageTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    [Theory]
    [InlineData("kill")]
    [InlineData("immediate")]
    [InlineData("stop")]
    public async Task What_was_acknowledged_survives_a_crash_under_load(string end)
    {
        var server = fixture.Server;
        await using var database = await Postgres.OpenAsync(await server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var acknowledged = new ConcurrentDictionary<ChannelId, ConcurrentDictionary<long, string>>();
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 20)
            .Select(i => Task.Run(() => WriteAsync(log, new ChannelId("t", $"room:{i}"), acknowledged, stop.Token))).ToArray();
        for (var round = 0; round < 2; round++)
        {
            using var deadline = TestDeadline.In(90);
            var before = Count();
            await deadline.UntilAsync(() => Count() > before + 500, () => $"500 more appends than {before}; there are {Count()}");
            await (end switch
            {
                "kill" => server.KillAsync(),
                "immediate" => server.StopImmediatelyAsync(),
                _ => server.StopAsync(),
            });
            await server.StartAsync();
        }

        using (var deadline = TestDeadline.In(60))
        {
            var before = Count();
            await deadline.UntilAsync(() => Count() > before + 200, () => "appends after the last restart");
        }

        await stop.CancelAsync();
        await Task.WhenAll(writers);
        foreach (var (channel, texts) in acknowledged)
        {
            var stored = new Dictionary<long, string>();
            for (var after = 0L; ;)
            {
                var page = await log.ReadAsync(channel, after, 1000);
                if (page.Messages.Count == 0) break;
                foreach (var message in page.Messages) stored[message.Offset] = Encoding.UTF8.GetString(message.Payload.Bytes.Span);
                Assert.Equal(after + 1, page.Messages[0].Offset);
                after = page.Messages[^1].Offset;
            }

            foreach (var (offset, text) in texts) Assert.Equal(text, stored[offset]);
            Assert.Equal(stored.Count, stored.Values.Distinct().Count());
        }

        int Count() => acknowledged.Values.Sum(c => c.Count);
    }

    [Fact]
    public async Task A_database_that_hangs_is_away_within_seconds_and_back_when_it_goes_on()
    {
        var server = fixture.Server;
        await using var database = await Postgres.OpenAsync(await server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var channel = new ChannelId("t", "room:1");
        var head = await AppendAsync(log, channel, (await log.GetHeadAsync(channel)).Position);
        server.Freeze();
        try
        {
            // Far above the four seconds that are meant; without a limit of its own, a call would never end.
            using var deadline = TestDeadline.In(30);
            var append = log.AppendAsync(Request(channel, head, "b")).AsTask();
            var read = log.ReadAsync(channel, 0, 10).AsTask();
            await Assert.ThrowsAsync<LogUnavailableException>(() => append.WaitAsync(deadline.Token));
            await Assert.ThrowsAsync<LogUnavailableException>(() => read.WaitAsync(deadline.Token));

            // Once that is known, others do not wait for it.
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.AppendAsync(Request(channel, head, "c")));
        }
        finally
        {
            server.Thaw();
        }

        using var healed = TestDeadline.In(60);
        await UntilAppendedAsync(log, channel, healed);
    }

    [Fact]
    public async Task A_restart_costs_no_failure_per_pooled_connection()
    {
        var server = fixture.Server;
        await using var database = await Postgres.OpenAsync(await server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var channel = new ChannelId("t", "room:1");
        var head = await AppendAsync(log, channel, (await log.GetHeadAsync(channel)).Position);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => log.ReadAsync(channel, 0, 10).AsTask()));
        await server.RestartAsync(immediately: true);

        // Reads are made again on a new connection, unseen.
        var pages = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => log.ReadAsync(channel, 0, 10).AsTask()));
        Assert.All(pages, p => Assert.Single(p.Messages));

        // An append on a dead connection would not be: its outcome would be unknown. The lane has heard of the restart by the reads.
        await AppendAsync(log, channel, head);
    }

    [Fact]
    public async Task A_database_that_takes_no_writes_is_away()
    {
        var server = fixture.Server;
        var connectionString = await server.CreateDatabaseAsync();
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        var channel = new ChannelId("t", "room:1");
        var head = await AppendAsync(log, channel, (await log.GetHeadAsync(channel)).Position);
        await server.ExecuteAsync("alter system set default_transaction_read_only = on");
        await server.ExecuteAsync("select pg_reload_conf()");
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(async () => !await database.IsUsableAsync(deadline.Token), () => "the readiness check to fail");
        await deadline.UntilAsync(
            async () => await Record.ExceptionAsync(async () => head = await AppendAsync(log, channel, head)) is LogUnavailableException,
            () => "appends to fail");
        Assert.NotEmpty((await log.ReadAsync(channel, 0, 10)).Messages);
        await server.ExecuteAsync("alter system reset default_transaction_read_only");
        await server.ExecuteAsync("select pg_reload_conf()");
        await UntilAppendedAsync(log, channel, deadline);
    }

    /// <summary>Like a disk that is full: the server answers questions, and what it has room for, but no append.</summary>
    [Fact]
    public async Task While_appends_find_no_room_the_database_is_away_although_it_answers()
    {
        var server = fixture.Server;
        var connectionString = await server.CreateDatabaseAsync();
        var name = new NpgsqlConnectionStringBuilder(connectionString).Database!;
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        var channel = new ChannelId("t", "room:1");
        var head = await AppendAsync(log, channel, (await log.GetHeadAsync(channel)).Position);
        await server.ExecuteAsync(
            """
            create function grid.full_for_rows() returns trigger language plpgsql as
                $$ begin raise exception 'No space left on device' using errcode = '53100'; end $$;
            create function grid.full_for_tables() returns event_trigger language plpgsql as
                $$ begin raise exception 'No space left on device' using errcode = '53100'; end $$;
            create trigger full_for_rows before insert on grid.messages for each row execute function grid.full_for_rows();
            create event trigger full_for_tables on ddl_command_start when tag in ('CREATE TABLE') execute function grid.full_for_tables();
            """,
            name);

        // Nobody has seen it yet.
        Assert.True(await database.IsUsableAsync(CancellationToken.None));
        var failed = await Assert.ThrowsAsync<LogUnavailableException>(async () => await AppendAsync(log, channel, head));
        Assert.Contains("No space left on device", failed.Message, StringComparison.Ordinal);

        // From here on it is known, for as long as writes fail, and however often it is tried. Reading goes on.
        using var deadline = TestDeadline.In(60);
        for (var i = 0; i < 3; i++)
        {
            Assert.False(await database.IsUsableAsync(deadline.Token));
            var tried = await Assert.ThrowsAsync<PostgresException>(async () => await database.TryWriteAsync(deadline.Token));
            Assert.Equal("53100", tried.SqlState);
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await AppendAsync(log, channel, head));
        }

        Assert.Single((await log.ReadAsync(channel, 0, 10)).Messages);
        await server.ExecuteAsync("drop trigger full_for_rows on grid.messages; drop event trigger full_for_tables", name);
        await deadline.UntilAsync(async () => await database.IsUsableAsync(deadline.Token), () => "the database to be usable again");
        await UntilAppendedAsync(log, channel, deadline);
        Assert.Equal(0L, await server.ExecuteAsync("select count(*) from pg_class where relname like 'write_probe%'", name));
    }

    [Fact]
    public async Task Appends_that_are_refused_give_their_buffers_back()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        await log.DisposeAsync();
        var request = new AppendRequest
        {
            Channel = new ChannelId("t", "room:1"),
            ExpectedHead = new Position("e", 0),
            Messages = [new Message { Offset = 1, At = 1, Payload = Payload.Binary(new byte[128 * 1024]) }],
            KeyWindow = TimeSpan.Zero,
        };
        Refused();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 200; i++) Refused();
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 200, 0, 64 * 1024);

        // Refused before there is anything to wait for, on this thread.
        void Refused() => Assert.IsType<LogUnavailableException>(Record.Exception(() => { _ = log.AppendAsync(request).AsTask(); }));
    }

    [Fact]
    public async Task Waits_that_are_cancelled_end_and_a_full_queue_lets_callers_wait()
    {
        var server = fixture.Server;
        await using var database = await Postgres.OpenAsync(await server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database, lanes: 1);
        var channel = new ChannelId("t", "room:1");
        var head = (await log.GetHeadAsync(channel)).Position;

        // 40 appends of one megabyte: more than the queue takes at once.
        var payload = new byte[1024 * 1024];
        var appends = Enumerable.Range(0, 40)
            .Select(i => log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = head with { Offset = i },
                Messages = [new Message { Offset = i + 1, At = 1, Payload = Payload.Binary(payload) }],
                KeyWindow = TimeSpan.Zero,
            }).AsTask()).ToArray();
        using var cancel = new CancellationTokenSource();
        var last = log.AppendAsync(Request(channel, head with { Offset = 40 }, "x"), cancel.Token).AsTask();
        await cancel.CancelAsync();
        var ended = await Record.ExceptionAsync(() => last);
        Assert.True(ended is null or OperationCanceledException);
        Assert.All(await Task.WhenAll(appends), r => Assert.Equal(AppendStatus.Appended, r.Status));

        using var gone = new CancellationTokenSource();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await log.ReadAsync(channel, 0, 1, cancellationToken: gone.Token));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await log.GetHeadAsync(channel, gone.Token));
    }

    private static async Task WriteAsync(
        PostgresMessageLog log, ChannelId channel, ConcurrentDictionary<ChannelId, ConcurrentDictionary<long, string>> acknowledged, CancellationToken stop)
    {
        var own = acknowledged.GetOrAdd(channel, _ => new());
        Position? head = null;
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            try
            {
                head ??= (await log.GetHeadAsync(channel, CancellationToken.None)).Position;
                var text = $"\"{channel.Name}/{i}\"";
                var result = await log.AppendAsync(Request(channel, head.Value, text, raw: true), CancellationToken.None);

                // After an unknown outcome the head may be one further than it was when it was asked for: a commit that was on its way.
                if (result.Status == AppendStatus.Appended) own[result.Head.Offset] = text;
                head = result.Head;
            }
            catch (LogUnavailableException)
            {
                head = null;

                // So many that ask again at once would take the processors from the server that starts, and from other tests.
                await Task.Delay(10, CancellationToken.None);
            }
        }
    }

    private static async Task UntilAppendedAsync(PostgresMessageLog log, ChannelId channel, TestDeadline deadline) =>
        await deadline.UntilAsync(
            async () =>
            {
                try
                {
                    var head = (await log.GetHeadAsync(channel)).Position;
                    return (await log.AppendAsync(Request(channel, head, "healed"))).Status == AppendStatus.Appended;
                }
                catch (LogUnavailableException)
                {
                    return false;
                }
            },
            () => "an append");

    private static async Task<Position> AppendAsync(PostgresMessageLog log, ChannelId channel, Position head)
    {
        var result = await log.AppendAsync(Request(channel, head, "a"));
        Assert.Equal(AppendStatus.Appended, result.Status);
        return result.Head;
    }

    private static AppendRequest Request(ChannelId channel, Position head, string text, bool raw = false) => new()
    {
        Channel = channel,
        ExpectedHead = head,
        Messages = [new Message { Offset = head.Offset + 1, At = 1, Payload = Payload.Json(Encoding.UTF8.GetBytes(raw ? text : $"\"{text}\"")) }],
        KeyWindow = TimeSpan.FromHours(1),
    };
}

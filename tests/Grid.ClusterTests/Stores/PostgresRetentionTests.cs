using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.ClusterTests.Stores;

/// <summary>What the namespaces' limits take, and what goes from the disk with it.</summary>
public sealed class PostgresRetentionTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>, IAsyncLifetime
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private PostgresDatabase _database = null!;
    private PostgresMessageLog _log = null!;
    private PostgresRetention _retention = null!;

    public async Task InitializeAsync()
    {
        _database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        Configure(Defaults);
    }

    public async Task DisposeAsync()
    {
        await _log.DisposeAsync();
        await _database.DisposeAsync();
    }

    [Fact]
    public async Task Number_bytes_and_age_each_take_the_oldest()
    {
        var counted = await FillAsync("count:1", appends: 30, perAppend: 10);
        var weighed = await FillAsync("bytes:1", appends: 40, perAppend: 1, size: 100);
        var aged = await FillAsync("age:1", appends: 3, perAppend: 10);
        _time.Advance(TimeSpan.FromMinutes(50));
        aged = await FillAsync("age:1", appends: 1, perAppend: 5, from: aged);
        var free = await FillAsync("free:1", appends: 30, perAppend: 10);
        _time.Advance(TimeSpan.FromMinutes(20));

        var result = await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(3, result.Channels);
        Assert.Equal(new ChannelHead(counted.Epoch, 201, 300), await HeadAsync("count:1"));
        Assert.Equal(new ChannelHead(weighed.Epoch, 31, 40), await HeadAsync("bytes:1"));
        Assert.Equal(new ChannelHead(aged.Epoch, 31, 35), await HeadAsync("age:1"));
        Assert.Equal(new ChannelHead(free.Epoch, 1, 300), await HeadAsync("free:1"));
        foreach (var (name, first) in new[] { ("count:1", 201), ("bytes:1", 31), ("age:1", 31), ("free:1", 1) })
        {
            var page = await _log.ReadAsync(new ChannelId("t", name), 0, 1000);
            Assert.Equal(first, page.Messages[0].Offset);
            Assert.Equal(page.Head.Head, page.Messages[^1].Offset);
        }

        // A second sweep finds nothing; appends go on, and age takes all that is left.
        Assert.Equal(default, await _retention.SweepAsync(CancellationToken.None));
        _time.Advance(TimeSpan.FromHours(2));
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(new ChannelHead(aged.Epoch, 36, 35), await HeadAsync("age:1"));
        aged = await FillAsync("age:1", appends: 1, perAppend: 2, from: aged);
        Assert.Equal(new ChannelHead(aged.Epoch, 36, 37), await HeadAsync("age:1"));
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(36, (await HeadAsync("age:1")).Oldest);
    }

    [Fact]
    public async Task Where_to_cut_is_found_far_from_the_oldest_too()
    {
        await FillAsync("bytes:1", appends: 300, perAppend: 1, size: 100);
        var aged = (await _log.GetHeadAsync(new ChannelId("t", "age:1"))).Position;
        for (var minute = 0; minute < 300; minute++)
        {
            aged = await FillAsync("age:1", appends: 1, perAppend: 1 + (minute % 3), from: aged);
            _time.Advance(TimeSpan.FromMinutes(1));
        }

        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(291, (await HeadAsync("bytes:1")).Oldest);

        // Three minutes have six messages, and the last hour is kept.
        Assert.Equal((240 * 2) + 1, (await HeadAsync("age:1")).Oldest);
        Assert.Equal(120, (await _log.ReadAsync(new ChannelId("t", "age:1"), 0, 1000)).Messages.Count);

        // Nothing of a channel is young enough.
        _time.Advance(TimeSpan.FromHours(2));
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(601, (await HeadAsync("age:1")).Oldest);
    }

    [Fact]
    public async Task The_first_run_is_the_one_that_a_walk_finds()
    {
        var head = (await _log.GetHeadAsync(new ChannelId("t", "free:1"))).Position;
        for (var i = 0; i < 200; i++)
        {
            head = await FillAsync("free:1", appends: 1, perAppend: 1 + (i % 7), from: head);
            if (i % 3 == 0) _time.Advance(TimeSpan.FromMilliseconds(10));
        }

        // Each time and total that there is, and those beside them, from the start and from within.
        await using var command = _database.Source.CreateCommand(
            """
            select count(*), count(*) filter (where f.o_last is distinct from w.last or f.o_count is distinct from w.count)
            from (
                select distinct m.channel, m.at + n.d as at, 0::bigint as total from messages m, unnest(array[-1, 0, 1]) n(d)
                union all
                select m.channel, 0, m.total + n.d from messages m, unnest(array[-1, 0, 1]) n(d)) q
            cross join unnest(array[1, 2, 50, 333, 797, 798, 10000]) s(start)
            left join lateral first_run(q.channel, s.start, q.at, q.total) f on true
            left join lateral (
                select m.last, m.count from messages m
                where m.channel = q.channel and m.last >= s.start and m.at >= q.at and m.total >= q.total
                order by m.last limit 1) w on true
            """);
        await using var rows = await command.ExecuteReaderAsync();
        Assert.True(await rows.ReadAsync());
        Assert.True(rows.GetInt64(0) > 4_000);
        Assert.Equal(0, rows.GetInt64(1));
    }

    [Fact]
    public async Task A_message_larger_than_the_limit_stays_while_it_is_the_newest()
    {
        await FillAsync("bytes:1", appends: 3, perAppend: 1, size: 5_000);
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(3, (await HeadAsync("bytes:1")).Oldest);
        Assert.Single((await _log.ReadAsync(new ChannelId("t", "bytes:1"), 0, 10)).Messages);
    }

    [Fact]
    public async Task Rows_of_what_was_trimmed_are_deleted_and_the_rest_is_whole()
    {
        await FillAsync("count:1", appends: 60, perAppend: 10);
        await FillAsync("count:2", appends: 10, perAppend: 10);
        Assert.Equal(70, await RowsAsync("messages"));
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(20, await RowsAsync("messages"));
        Assert.Equal(100, (await _log.ReadAsync(new ChannelId("t", "count:1"), 0, 1000)).Messages.Count);

        // Within a row: only what lies before it is deleted.
        await _log.TrimAsync(new ChannelId("t", "count:1"), 555);
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(15, await RowsAsync("messages"));
        Assert.Equal(556, (await _log.ReadAsync(new ChannelId("t", "count:1"), 0, 1000)).Messages[0].Offset);
        await _log.TrimAsync(new ChannelId("t", "count:1"), 560);
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal(14, await RowsAsync("messages"));
    }

    [Fact]
    public async Task What_a_purge_left_is_removed_and_its_successor_is_not_touched()
    {
        await FillAsync("free:1", appends: 20, perAppend: 1, keys: true);
        await _log.PurgeAsync(new ChannelId("t", "free:1"));
        await FillAsync("free:1", appends: 3, perAppend: 1, keys: true);
        Assert.Equal((23, 23), (await RowsAsync("messages"), await RowsAsync("keys")));
        await _retention.SweepAsync(CancellationToken.None);
        Assert.Equal((3, 3), (await RowsAsync("messages"), await RowsAsync("keys")));
        Assert.Equal(0, await RowsAsync("purged"));
        Assert.Equal(3, (await _log.ReadAsync(new ChannelId("t", "free:1"), 0, 10)).Messages.Count);
    }

    [Fact]
    public async Task A_purge_that_is_made_again_changes_nothing()
    {
        var channel = new ChannelId("t", "free:1");
        await FillAsync("free:1", appends: 2, perAppend: 1, keys: true);
        var purged = await _log.PurgeAsync(channel);
        await FillAsync("free:1", appends: 3, perAppend: 1, keys: true);
        await using var again = _database.Source.CreateCommand($"select purge_channel('{channel}', '{purged.Epoch}')");
        await again.ExecuteNonQueryAsync();
        Assert.Equal(new ChannelHead(purged.Epoch, 1, 3), await HeadAsync("free:1"));
        Assert.Equal(1, await RowsAsync("purged"));

        // With another epoch it is another purge.
        Assert.NotEqual(purged.Epoch, (await _log.PurgeAsync(channel)).Epoch);
        Assert.Equal(0, (await HeadAsync("free:1")).Head);
    }

    [Fact]
    public async Task Partitions_come_before_they_are_needed_and_go_when_all_in_them_is_past()
    {
        await _retention.SweepAsync(CancellationToken.None);
        var first = await PartitionsAsync();
        Assert.Contains(first, p => p.StartsWith("messages_4", StringComparison.Ordinal));
        Assert.Contains(first, p => p.StartsWith("keys_4", StringComparison.Ordinal));

        await FillAsync("age:1", appends: 5, perAppend: 1, keys: true);
        Assert.Equal(first, await PartitionsAsync());
        _time.Advance(TimeSpan.FromDays(3));
        await _retention.SweepAsync(CancellationToken.None);
        var later = await PartitionsAsync();

        // What never goes by age stays, and what is needed now has come.
        Assert.Contains("messages_0", later);
        Assert.Equal(["messages_0"], later.Intersect(first).Where(p => !IsLongLived(p)));
        Assert.Equal((0, 0), (await RowsAsync("messages"), await RowsAsync("keys")));
        Assert.Equal(6, (await HeadAsync("age:1")).Oldest);

        // Hours with nothing in between change nothing, and the number of partitions does not grow.
        for (var hour = 0; hour < 48; hour++)
        {
            await FillAsync("age:1", appends: 1, perAppend: 1, keys: true);
            _time.Advance(TimeSpan.FromHours(1));
            await _retention.SweepAsync(CancellationToken.None);
            Assert.InRange((await PartitionsAsync()).Length, 5, 40);
        }

        bool IsLongLived(string name) => long.Parse(name[(name.IndexOf('_', StringComparison.Ordinal) + 1)..]) * 3_600_000 > _time.GetUtcNow().ToUnixTimeMilliseconds();
    }

    [Fact]
    public async Task A_partition_that_goes_although_the_settings_were_lengthened_leaves_a_gap_and_no_hole()
    {
        await FillAsync("age:1", appends: 5, perAppend: 3);
        Configure(o => o.Namespaces["age"] = new NamespacePolicy { MaxAge = TimeSpan.FromDays(30) });
        var head = await FillAsync("age:1", appends: 2, perAppend: 3);
        _time.Advance(TimeSpan.FromHours(5));
        await _retention.SweepAsync(CancellationToken.None);
        var page = await _log.ReadAsync(new ChannelId("t", "age:1"), 0, 100);
        Assert.Equal(new ChannelHead(head.Epoch, 16, 21), page.Head);
        Assert.Equal(16, page.Messages[0].Offset);
        Assert.Equal(6, page.Messages.Count);
    }

    [Fact]
    public async Task Many_silos_sweep_at_once_while_appends_and_reads_go_on()
    {
        using var stop = new CancellationTokenSource();
        var others = Enumerable.Range(0, 3).Select(_ => new PostgresRetention(_log, NullLogger<PostgresRetention>.Instance)).ToArray();
        var sweeps = others.Select(retention => Task.Run(async () =>
        {
            var done = 0;
            while (!stop.IsCancellationRequested)
            {
                await retention.SweepAsync(CancellationToken.None);
                done++;
            }

            return done;
        })).ToArray();
        var channels = Enumerable.Range(0, 8).Select(i => i % 2 == 0 ? $"count:{i}" : $"age:{i}").ToArray();
        await Task.WhenAll(channels.Select(name => Task.Run(async () =>
        {
            Position? head = null;
            for (var i = 0; i < 60; i++)
            {
                head = await FillAsync(name, appends: 1, perAppend: 7, from: head, keys: true);
                _time.Advance(TimeSpan.FromMinutes(1));
                var page = await _log.ReadAsync(new ChannelId("t", name), 0, 1000);
                if (page.Messages.Count == 0) continue;
                Assert.Equal(page.Head.Oldest, page.Messages[0].Offset);
                for (var n = 1; n < page.Messages.Count; n++) Assert.Equal(page.Messages[n - 1].Offset + 1, page.Messages[n].Offset);
            }
        })));
        await stop.CancelAsync();
        await Task.WhenAll(sweeps);
        await _retention.SweepAsync(CancellationToken.None);
        foreach (var name in channels.Where(c => c.StartsWith("count", StringComparison.Ordinal)))
            Assert.Equal(100, (await _log.ReadAsync(new ChannelId("t", name), 0, 1000)).Messages.Count);
    }

    [Fact]
    public void Buckets_are_few_and_never_too_early()
    {
        var now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (var hours in new[] { 0.01, 1, 5, 8, 9, 30, 48, 100, 168, 192, 500, 10_000 })
        {
            var policy = new NamespacePolicy { MaxAge = TimeSpan.FromHours(hours) };
            var buckets = new HashSet<int>();
            for (var minute = 0; minute < hours * 60; minute += 10)
            {
                var then = now + (minute * 60_000L);
                var bucket = PostgresBuckets.OfMessages(then, policy);
                Assert.True(bucket * 3_600_000L >= then + policy.MaxAge!.Value.TotalMilliseconds);
                Assert.True(PostgresBuckets.OfKeys(then, policy.MaxAge.Value) * 3_600_000L >= then + policy.MaxAge.Value.TotalMilliseconds);

                // When its age takes it, its partition is among those that are not worth deleting from.
                Assert.True(bucket <= PostgresBuckets.GoesSoon(then + (long)policy.MaxAge.Value.TotalMilliseconds, policy));
                buckets.Add(bucket);
            }

            Assert.InRange(buckets.Count, 0, 10);
        }

        Assert.Equal(PostgresBuckets.Never, PostgresBuckets.OfMessages(now, new NamespacePolicy { MaxAge = null }));
        Assert.Equal(PostgresBuckets.Never, PostgresBuckets.OfMessages(now, new NamespacePolicy { MaxAge = TimeSpan.MaxValue }));
        Assert.True(PostgresBuckets.OfKeys(now, TimeSpan.MaxValue) > 0);
    }

    private static void Defaults(GridOptions options)
    {
        options.Namespaces["count"] = new NamespacePolicy { MaxMessages = 100, MaxAge = TimeSpan.FromDays(7) };
        options.Namespaces["bytes"] = new NamespacePolicy { MaxBytes = 1_000, MaxAge = null };
        options.Namespaces["age"] = new NamespacePolicy { MaxAge = TimeSpan.FromHours(1), IdempotencyWindow = TimeSpan.FromHours(1) };
        options.Namespaces["free"] = new NamespacePolicy { MaxAge = null };
    }

    private void Configure(Action<GridOptions> configure)
    {
        _log = Postgres.Log(_database, _time, configure: configure);
        _retention = new PostgresRetention(_log, NullLogger<PostgresRetention>.Instance);
    }

    private async Task<Position> FillAsync(
        string name, int appends, int perAppend, int size = 10, Position? from = null, bool keys = false)
    {
        var channel = new ChannelId("t", name);
        var head = from ?? (await _log.GetHeadAsync(channel)).Position;
        var payload = Encoding.UTF8.GetBytes($"\"{new string('x', size - 2)}\"");
        for (var i = 0; i < appends; i++)
        {
            var first = head.Offset + 1;
            var result = await _log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = head,
                KeyWindow = _log.Policies.For(name).KeyWindow,
                Messages = [.. Enumerable.Range(0, perAppend).Select(n => new Message
                {
                    Offset = first + n,
                    At = _time.GetUtcNow().ToUnixTimeMilliseconds(),
                    Payload = Payload.Json(payload),
                    Key = keys ? $"key-{head.Epoch}-{first + n}" : null,
                })],
            });
            Assert.Equal(AppendStatus.Appended, result.Status);
            head = result.Head;
        }

        return head;
    }

    private async Task<ChannelHead> HeadAsync(string name) => await _log.GetHeadAsync(new ChannelId("t", name));

    private async Task<long> RowsAsync(string table)
    {
        await using var command = _database.Source.CreateCommand($"select count(*) from {table}");
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private async Task<string[]> PartitionsAsync()
    {
        await using var command = _database.Source.CreateCommand(
            "select array_agg(relname::text order by relname) from pg_class where relkind = 'r' and relname ~ '^(messages|keys)_[0-9]+$'");
        return (string[])(await command.ExecuteScalarAsync())!;
    }
}

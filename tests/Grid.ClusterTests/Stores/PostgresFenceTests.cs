using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;

namespace Grid.ClusterTests.Stores;

/// <summary>Several silos append to the same channels: the database decides, and everything adds up afterwards.</summary>
public sealed class PostgresFenceTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    private const int Silos = 3;
    private const int Channels = 6;

    /// <summary>
    /// Each silo has writers for each channel that believe the head to be where they last saw it. What was answered as appended must be
    /// stored there and nowhere else, by exactly one of them; keys must be stored once; nobody may fail.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Of_rivals_at_one_head_exactly_one_wins(int seed)
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var silos = new List<(PostgresDatabase Database, PostgresMessageLog Log)>();
        for (var i = 0; i < Silos; i++)
        {
            var database = await Postgres.OpenAsync(connectionString);
            silos.Add((database, Postgres.Log(database, lanes: 2)));
        }

        var writers = new List<Task<List<(ChannelId Channel, long Offset, string Text)>>>();
        for (var silo = 0; silo < Silos; silo++)
        {
            for (var c = 0; c < Channels; c++)
            {
                var (log, channel, random) = (silos[silo].Log, new ChannelId("t", $"room:{c}"), new Random((seed * 1000) + (silo * 100) + c));
                var name = $"{silo}";
                writers.Add(Task.Run(() => WriteAsync(log, channel, name, random)));
            }
        }

        var appended = (await Task.WhenAll(writers)).SelectMany(w => w).ToLookup(a => a.Channel);
        for (var c = 0; c < Channels; c++)
        {
            var channel = new ChannelId("t", $"room:{c}");
            var stored = new List<Message>();
            while (true)
            {
                var page = await silos[c % Silos].Log.ReadAsync(channel, stored.Count, 100);
                if (page.Messages.Count == 0) break;
                stored.AddRange(page.Messages);
            }

            Assert.Equal(Enumerable.Range(1, stored.Count).Select(i => (long)i), stored.Select(m => m.Offset));
            Assert.Equal(
                appended[channel].OrderBy(a => a.Offset).Select(a => (a.Offset, a.Text)),
                stored.Select(m => (m.Offset, Encoding.UTF8.GetString(m.Payload.Bytes.Span))));
            var keys = stored.Where(m => m.Key is not null).Select(m => m.Key!).ToArray();
            Assert.Equal(keys.Length, keys.Distinct().Count());
            Assert.Equal(
                stored.Where(m => m.Key is not null).Select(m => m.Offset), await silos[0].Log.FindKeysAsync(channel, keys));
        }

        foreach (var (database, log) in silos)
        {
            await log.DisposeAsync();
            await database.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_purge_in_between_fences_off_who_was_there_before()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var other = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        await using var rival = Postgres.Log(other);
        var channel = new ChannelId("t", "room:1");
        for (var round = 0; round < 30; round++)
        {
            var head = (await log.GetHeadAsync(channel)).Position;
            var append = log.AppendAsync(Request(channel, head, [Text(head.Offset + 1, "a")])).AsTask();
            var purge = rival.PurgeAsync(channel).AsTask();
            var result = await append;
            var purged = await purge;
            Assert.True(result.Status is AppendStatus.Appended or AppendStatus.HeadMoved);
            Assert.Equal(purged, await log.GetHeadAsync(channel));
            Assert.Empty((await log.ReadAsync(channel, 0, 10)).Messages);
            Assert.NotEqual(head.Epoch, purged.Epoch);
        }
    }

    [Fact]
    public async Task What_the_database_cannot_store_fails_alone()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database, lanes: 1);
        var good = Enumerable.Range(0, 20).Select(i => new ChannelId("t", $"room:{i}")).ToArray();
        var heads = await log.GetHeadsAsync(good);
        var bad = new ChannelId("t", "no\0name");
        var appends = good.Select((c, i) => log.AppendAsync(Request(c, heads[i].Position, [Text(1, "a")])).AsTask()).ToList();
        var refused = log.AppendAsync(Request(bad, heads[0].Position, [Text(1, "a")])).AsTask();
        appends.AddRange(good.Select((c, i) => log.AppendAsync(Request(c, heads[i].Position with { Offset = 1 }, [Text(2, "b")])).AsTask()));
        await Assert.ThrowsAsync<ArgumentException>(() => refused);
        Assert.All(await Task.WhenAll(appends), r => Assert.Equal(AppendStatus.Appended, r.Status));
    }

    [Fact]
    public async Task Questions_for_heads_that_wait_go_in_one_statement()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var channels = Enumerable.Range(0, 500).Select(i => new ChannelId("t", $"room:{i}")).ToArray();
        foreach (var (channel, i) in channels.Select((c, i) => (c, i)).Where(c => c.i % 7 == 0))
            await log.AppendAsync(Request(channel, (await log.GetHeadAsync(channel)).Position, [.. Enumerable.Range(1, i + 1).Select(o => Text(o, "a"))]));
        var before = log.HeadStatements;
        await using var blocker = await database.Source.OpenConnectionAsync();
        await using var transaction = await blocker.BeginTransactionAsync();
        await using (var block = new Npgsql.NpgsqlCommand("lock table channels in access exclusive mode", blocker))
            await block.ExecuteNonQueryAsync();

        // The first fill the statements that may be on their way; the others wait for those, and then go together.
        var asked = channels.Select(c => log.GetEndAsync(c).AsTask()).ToArray();
        var many = log.GetHeadsAsync([channels[7], channels[1], channels[14]]).AsTask();
        using var gone = new CancellationTokenSource();
        var cancelled = log.GetHeadAsync(channels[0], gone.Token).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await transaction.CommitAsync();
        var ends = await Task.WhenAll(asked);
        for (var i = 0; i < ends.Length; i++) Assert.Equal(i % 7 == 0 ? (i + 1, 1L) : (0, 0L), (ends[i].Head.Head, ends[i].LastAt));
        Assert.Equal([8L, 0, 15], (await many).Select(h => h.Head));
        Assert.InRange(log.HeadStatements - before, 1, 3);
    }

    private static async Task<List<(ChannelId Channel, long Offset, string Text)>> WriteAsync(
        PostgresMessageLog log, ChannelId channel, string name, Random random)
    {
        var appended = new List<(ChannelId, long, string)>();
        var head = (await log.GetHeadAsync(channel)).Position;
        for (var round = 0; round < 60; round++)
        {
            var count = random.Next(1, 5);
            var messages = new Message[count];
            for (var i = 0; i < count; i++)
            {
                // Few keys, so that rivals bring the same.
                var key = random.Next(3) == 0 && i == 0 ? $"key-{random.Next(40)}" : null;
                messages[i] = Text(head.Offset + 1 + i, $"{name}/{round}/{i}", key);
            }

            var result = await log.AppendAsync(Request(channel, head, messages));
            if (result.Status == AppendStatus.Appended)
                appended.AddRange(messages.Select(m => (channel, m.Offset, Encoding.UTF8.GetString(m.Payload.Bytes.Span))));
            if (result.Status == AppendStatus.HeadMoved) Assert.True(result.Head.Offset > head.Offset);
            if (result.Status == AppendStatus.KeysSeen) Assert.All(result.Seen, s => Assert.True(s.Index == 0 && s.Offset <= head.Offset));
            head = result.Head;
        }

        return appended;
    }

    private static AppendRequest Request(ChannelId channel, Position head, Message[] messages) =>
        new() { Channel = channel, ExpectedHead = head, Messages = messages, KeyWindow = TimeSpan.FromHours(1) };

    private static Message Text(long offset, string text, string? key = null) =>
        new() { Offset = offset, At = 1, Payload = Payload.Json(Encoding.UTF8.GetBytes(text)), Key = key };
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.ClusterTests.Stores;

/// <summary>A database that no longer has what a channel was seen to have: no offset may come to mean two messages.</summary>
public sealed class PostgresRenewalTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    private readonly ChannelId _channel = new("t", "room:1");

    [Fact]
    public async Task A_channel_that_reaches_less_far_than_it_was_seen_to_goes_on_under_a_new_epoch()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var first = (await log.GetHeadAsync(_channel)).Position;
        var head = (await log.AppendAsync(Request(first, "a", "b", "c"))).Head;

        // As far as it reaches, or less far: nothing was lost. In another epoch: nothing to compare.
        foreach (var reached in (Position[])[head, head with { Offset = 1 }, new Position("other", 9)])
            Assert.Equal(new ChannelHead(head.Epoch, 1, 3), await log.RenewAsync(_channel, reached));

        var renewed = await log.RenewAsync(_channel, head with { Offset = 4 });
        Assert.NotEqual(head.Epoch, renewed.Epoch);
        Assert.Equal((1, 3), (renewed.Oldest, renewed.Head));
        Assert.Equal(renewed, await log.RenewAsync(_channel, head with { Offset = 5 }));

        // What is left is there, its keys too; whoever numbers by the old epoch is refused.
        Assert.Equal(3, (await log.ReadAsync(_channel, 0, 10)).Messages.Count);
        Assert.Equal(2, Assert.Single(await log.FindKeysAsync(_channel, ["b"])));
        var late = await log.AppendAsync(Request(head, "d"));
        Assert.Equal((AppendStatus.HeadMoved, renewed.Position), (late.Status, late.Head));
        Assert.Equal(AppendStatus.Appended, (await log.AppendAsync(Request(renewed.Position, "d"))).Status);
    }

    [Fact]
    public async Task A_channel_of_which_nothing_is_left_goes_on_under_a_new_epoch_and_others_stay()
    {
        await using var database = await Postgres.OpenAsync(await fixture.Server.CreateDatabaseAsync());
        await using var log = Postgres.Log(database);
        var (never, other) = (await log.GetHeadAsync(_channel), new ChannelId("t", "room:2"));
        Assert.Equal(never, await log.RenewAsync(_channel, never.Position));
        var renewed = await log.RenewAsync(_channel, never.Position with { Offset = 7 });
        Assert.NotEqual(never.Epoch, renewed.Epoch);
        Assert.Equal(0, renewed.Head);
        Assert.Equal(never, await log.GetHeadAsync(other));
        Assert.Equal(AppendStatus.Appended, (await log.AppendAsync(Request(renewed.Position, "a"))).Status);
    }

    [Fact]
    public async Task An_operator_can_renew_all_channels_of_a_restored_database()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        await using var database = await Postgres.OpenAsync(connectionString);
        await using var log = Postgres.Log(database);
        var before = (await log.AppendAsync(Request((await log.GetHeadAsync(_channel)).Position, "a"))).Head;
        var name = new Npgsql.NpgsqlConnectionStringBuilder(connectionString).Database!;
        await fixture.Server.ExecuteAsync(
            "select grid.renew_all_channels(substr(md5(random()::text), 1, 16))", name);
        foreach (var channel in (ChannelId[])[_channel, new("t", "room:2")])
        {
            var head = await log.GetHeadAsync(channel);
            Assert.NotEqual(before.Epoch, head.Epoch);
            Assert.Equal(AppendStatus.Appended, (await log.AppendAsync(new AppendRequest
            {
                Channel = channel, ExpectedHead = head.Position, Messages = [Message(head.Head + 1, "z")], KeyWindow = TimeSpan.FromDays(1),
            })).Status);
        }
    }

    private AppendRequest Request(Position head, params string[] keys) => new()
    {
        Channel = _channel,
        ExpectedHead = head,
        Messages = [.. keys.Select((key, i) => Message(head.Offset + 1 + i, key))],
        KeyWindow = TimeSpan.FromDays(1),
    };

    private static Message Message(long offset, string key) =>
        new() { Offset = offset, At = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds(), Payload = Payload.Json("1"u8.ToArray()), Key = key };
}

using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Log;

public sealed class RetentionTests : IAsyncLifetime, IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private NamespacePolicies _policies = Logs.Policies(
        new NamespacePolicy { MaxAge = null, MaxMessages = null, MaxBytes = null },
        ("aged", new NamespacePolicy { MaxAge = TimeSpan.FromHours(1), MaxMessages = null, MaxBytes = null }),
        ("older", new NamespacePolicy { MaxAge = TimeSpan.FromHours(5), MaxMessages = null, MaxBytes = null }),
        ("counted", new NamespacePolicy { MaxAge = null, MaxMessages = 10, MaxBytes = null }),
        ("weighed", new NamespacePolicy { MaxAge = null, MaxMessages = null, MaxBytes = 1000 }),
        ("all", new NamespacePolicy { MaxAge = TimeSpan.FromHours(1), MaxMessages = 10, MaxBytes = 1000 }));
    private RocksDbMessageLog _log = null!;
    private RocksDbRetention _retention = null!;

    public Task InitializeAsync()
    {
        Open();
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _log.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Age_removes_what_is_too_old()
    {
        var channels = Enumerable.Range(0, 600).Select(i => new ChannelId("default", $"aged:{i}")).ToArray();
        var other = new ChannelId("default", "older:1");
        var free = new ChannelId("default", "free:1");
        foreach (var channel in channels.Append(other).Append(free)) await AppendAsync(channel, 3);
        _time.Advance(TimeSpan.FromMinutes(40));
        foreach (var channel in channels.Append(other).Append(free)) await AppendAsync(channel, 2);

        Assert.Equal(0, (await SweepAsync()).Messages);
        _time.Advance(TimeSpan.FromMinutes(30));
        Assert.Equal(new SweepResult(600, 1800, 0), await SweepAsync());
        foreach (var channel in channels) Assert.Equal(4, (await _log.GetHeadAsync(channel)).Oldest);
        Assert.Equal(1, (await _log.GetHeadAsync(other)).Oldest);

        // The rest goes too, in its time; the head stays, and the next message is found by age again.
        _time.Advance(TimeSpan.FromMinutes(40));
        Assert.Equal(1200, (await SweepAsync()).Messages);
        Assert.Equal(6, (await _log.GetHeadAsync(channels[5])).Oldest);
        Assert.Equal(6, (await AppendAsync(channels[5], 1)).Offset);
        _time.Advance(TimeSpan.FromHours(4));
        Assert.Equal(new SweepResult(2, 6, 0), await SweepAsync());
        Assert.Equal(default, await SweepAsync());
        Assert.Equal(1, (await _log.GetHeadAsync(free)).Oldest);
    }

    [Fact]
    public async Task Number_keeps_the_newest()
    {
        var channel = new ChannelId("default", "counted:1");
        await SweepAsync();
        await AppendAsync(channel, 10);
        Assert.Equal(default, await SweepAsync());
        await AppendAsync(channel, 7);
        Assert.Equal(new SweepResult(1, 7, 0), await SweepAsync());
        Assert.Equal(8, (await _log.GetHeadAsync(channel)).Oldest);
        Assert.Equal(default, await SweepAsync());
    }

    [Fact]
    public async Task Bytes_keep_what_fits()
    {
        var channel = new ChannelId("default", "weighed:1");
        await SweepAsync();
        await AppendAsync(channel, 10, payloadBytes: 100);
        Assert.Equal(default, await SweepAsync());
        await AppendAsync(channel, 1, payloadBytes: 1);
        Assert.Equal(1, (await SweepAsync()).Messages);
        await AppendAsync(channel, 3, payloadBytes: 150);
        await SweepAsync();
        var page = await _log.ReadAsync(channel, 0, 1000);
        Assert.Equal(1000 - 49, page.Messages.Sum(m => m.Payload.Bytes.Length));

        // One that is larger than all that may be kept stays until the next.
        await AppendAsync(channel, 1, payloadBytes: 5000);
        await SweepAsync();
        Assert.Single((await _log.ReadAsync(channel, 0, 1000)).Messages);
        await AppendAsync(channel, 1, payloadBytes: 10);
        await SweepAsync();
        Assert.Equal(10, Assert.Single((await _log.ReadAsync(channel, 0, 1000)).Messages).Payload.Bytes.Length);
    }

    [Fact]
    public async Task The_strictest_limit_wins()
    {
        var channel = new ChannelId("default", "all:1");
        await AppendAsync(channel, 4, payloadBytes: 10);
        _time.Advance(TimeSpan.FromHours(2));
        await AppendAsync(channel, 4, payloadBytes: 10);
        await SweepAsync();
        Assert.Equal(5, (await _log.GetHeadAsync(channel)).Oldest);
        await AppendAsync(channel, 9, payloadBytes: 10);
        await SweepAsync();
        Assert.Equal(8, (await _log.GetHeadAsync(channel)).Oldest);
        await AppendAsync(channel, 2, payloadBytes: 490);
        await SweepAsync();
        Assert.Equal(16, (await _log.GetHeadAsync(channel)).Oldest);
    }

    [Fact]
    public async Task Limits_are_applied_after_a_restart_and_when_they_were_changed()
    {
        var channels = Enumerable.Range(0, 300).Select(i => new ChannelId("default", $"free:{i}")).ToArray();
        foreach (var channel in channels) await AppendAsync(channel, 20);
        await SweepAsync();
        await _log.DisposeAsync();
        _policies = Logs.Policies(new NamespacePolicy { MaxMessages = 5 });
        Open();
        Assert.Equal(new SweepResult(300, 4500, 0), await SweepAsync());
        Assert.Equal(default, await SweepAsync());
        Assert.Equal(16, (await _log.GetHeadAsync(channels[7])).Oldest);
    }

    [Fact]
    public async Task Expired_keys_leave_nothing_behind()
    {
        var channel = new ChannelId("default", "room:1");
        await AppendAsync(channel, 700, key: i => $"first-{i}", window: TimeSpan.FromHours(1));
        await AppendAsync(channel, 5, key: i => $"second-{i}", window: TimeSpan.FromHours(3));
        Assert.Equal(0, (await SweepAsync()).Keys);

        _time.Advance(TimeSpan.FromHours(2));

        // One of them is used again before the sweep: it is a new key now, and the sweep must leave it.
        await AppendAsync(channel, 1, key: _ => "first-3", window: TimeSpan.FromHours(3));
        Assert.Equal(699, (await SweepAsync()).Keys);
        Assert.Equal((long[])[0, 706, 701], await _log.FindKeysAsync(channel, ["first-4", "first-3", "second-0"]));
        _time.Advance(TimeSpan.FromHours(4));
        Assert.Equal(6, (await SweepAsync()).Keys);
        using var lease = _log.Store.Lease();
        foreach (var family in new[] { lease.Database.Keys, lease.Database.Expiry })
        {
            using var rows = lease.Database.Db.NewIterator(family.Handle);
            Assert.False(rows.SeekToFirst().Valid());
        }
    }

    [Fact]
    public async Task A_key_that_is_used_again_while_it_is_swept_is_kept()
    {
        var channel = new ChannelId("default", "room:1");
        for (var round = 0; round < 20; round++)
        {
            await AppendAsync(channel, 50, key: i => $"key-{i}", window: TimeSpan.FromHours(1));
            _time.Advance(TimeSpan.FromHours(2));
            var sweep = SweepAsync();
            var head = await AppendAsync(channel, 1, key: _ => "key-7", window: TimeSpan.FromHours(1));
            await sweep;
            Assert.Equal((long[])[head.Offset, 0], await _log.FindKeysAsync(channel, ["key-7", "key-8"]));
            _time.Advance(TimeSpan.FromHours(2));
        }
    }

    [Fact]
    public async Task The_sweeper_sweeps_by_its_clock()
    {
        var memory = new MemoryMessageLog(_policies, _time);
        using var sweeper = new RetentionSweeper(new RocksDbRetention(_log), memory, _time, NullLogger<RetentionSweeper>.Instance);
        var channel = new ChannelId("default", "counted:1");
        await sweeper.StartAsync(CancellationToken.None);
        await AppendAsync(channel, 30);
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while ((await _log.GetHeadAsync(channel)).Oldest == 1)
        {
            patience.Token.ThrowIfCancellationRequested();

            // The sweeper's timer is on this clock; whenever it is waiting, this makes it go on.
            _time.Advance(sweeper.Interval);
            await Task.Yield();
        }

        Assert.Equal(21, (await _log.GetHeadAsync(channel)).Oldest);
        await sweeper.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Trimmed_messages_give_their_space_back()
    {
        var channel = new ChannelId("default", "counted:big");
        var random = new Random(1);
        for (var i = 0; i < 40; i++) await AppendAsync(channel, 50, payloadBytes: 20_000, random: random);
        await SweepAsync();
        using (var lease = _log.Store.Lease())
        {
            var database = lease.Database;
            var full = Size();
            Assert.InRange(full, 0, 100_000_000);
            database.Db.CompactRange((byte[]?)null, null, database.Messages.Handle);
            Assert.InRange(Size(), 0, 1_000_000);

            long Size() => long.Parse(database.Db.GetProperty("rocksdb.total-sst-files-size", database.Messages.Handle));
        }

        Assert.Equal(10, (await _log.ReadAsync(channel, 0, 1000, int.MaxValue)).Messages.Count);
    }

    private void Open()
    {
        _log = Logs.Open(_folder.Path, _time, policies: _policies);
        _retention = new RocksDbRetention(_log);
    }

    private Task<SweepResult> SweepAsync() => _retention.SweepAsync(CancellationToken.None);

    private async Task<Position> AppendAsync(
        ChannelId channel, int count, int payloadBytes = 5, Func<int, string>? key = null, TimeSpan? window = null, Random? random = null)
    {
        var head = (await _log.GetHeadAsync(channel)).Position;
        var payload = Encoding.ASCII.GetBytes(new string('1', payloadBytes));
        random?.NextBytes(payload);
        var result = await _log.AppendAsync(new AppendRequest
        {
            Channel = channel,
            ExpectedHead = head,
            Messages = [.. Enumerable.Range(0, count).Select(i => new Message
            {
                Offset = head.Offset + 1 + i,
                At = _time.GetUtcNow().ToUnixTimeMilliseconds(),
                Payload = Payload.Binary(payload),
                Key = key?.Invoke(i),
            })],
            KeyWindow = window ?? TimeSpan.FromDays(1),
        });
        Assert.Equal(AppendStatus.Appended, result.Status);
        return result.Head;
    }
}

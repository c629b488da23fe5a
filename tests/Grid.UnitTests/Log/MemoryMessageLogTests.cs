using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Log;

/// <summary>What is particular to the memory log: its bounds and its epochs.</summary>
public sealed class MemoryMessageLogTests
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
    private readonly ChannelId _channel = new("default", "pointer:1");

    [Fact]
    public async Task A_channel_keeps_its_last_messages()
    {
        var log = Create(new NamespacePolicy());
        for (var i = 0; i < 30; i++) await AppendAsync(log, _channel, 100);
        Assert.Equal(2001, (await log.GetHeadAsync(_channel)).Oldest);
        Assert.Equal(1000, (await log.ReadAsync(_channel, 0, 5000)).Messages.Count);

        var few = Create(new NamespacePolicy { MaxMessages = 7 });
        await AppendAsync(few, _channel, 30);
        Assert.Equal(24, (await few.GetHeadAsync(_channel)).Oldest);
    }

    [Fact]
    public async Task A_channel_keeps_its_bytes_within_bounds()
    {
        var log = Create(new NamespacePolicy());
        for (var i = 0; i < 50; i++) await AppendAsync(log, _channel, 1, payloadBytes: 100_000);
        Assert.Equal(10, (await log.ReadAsync(_channel, 0, 5000, int.MaxValue)).Messages.Count);
        await AppendAsync(log, _channel, 1, payloadBytes: 3_000_000);
        Assert.Single((await log.ReadAsync(_channel, 0, 5000, int.MaxValue)).Messages);
    }

    [Fact]
    public async Task An_idle_channel_is_forgotten_and_comes_back_under_another_epoch()
    {
        var log = Create(new NamespacePolicy());
        var busy = new ChannelId("default", "busy:1");
        var epochs = new HashSet<string>();
        for (var round = 0; round < 5; round++)
        {
            var head = await AppendAsync(log, _channel, 2);
            Assert.Equal(2, head.Offset);
            Assert.True(epochs.Add(head.Epoch));
            Assert.Equal((round * 3) + 1, (await AppendAsync(log, busy, 1)).Offset);
            _time.Advance(TimeSpan.FromMinutes(9));
            log.Sweep();
            Assert.Equal(2, (await log.GetHeadAsync(_channel)).Head);
            await AppendAsync(log, busy, 2);
            _time.Advance(TimeSpan.FromMinutes(2));
            log.Sweep();
            var gone = await log.GetHeadAsync(_channel);
            Assert.Equal(0, gone.Head);
            Assert.DoesNotContain(gone.Epoch, epochs);
        }
    }

    [Fact]
    public async Task Old_messages_go()
    {
        var log = Create(new NamespacePolicy { MaxAge = TimeSpan.FromMinutes(4) });
        var epoch = (await AppendAsync(log, _channel, 3)).Epoch;
        _time.Advance(TimeSpan.FromMinutes(3));
        await AppendAsync(log, _channel, 2);
        _time.Advance(TimeSpan.FromMinutes(3));
        log.Sweep();
        Assert.Equal(new ChannelHead(epoch, 4, 5), await log.GetHeadAsync(_channel));
        _time.Advance(TimeSpan.FromMinutes(3));
        log.Sweep();
        Assert.Equal(0, log.ChannelCount);
        Assert.Equal(0, log.TotalBytes);
    }

    [Fact]
    public async Task Keys_are_bounded_in_number()
    {
        var log = Create(new NamespacePolicy { MaxMessages = 1 });
        for (var i = 0; i < 30; i++) await AppendAsync(log, _channel, 100, keyed: true);
        var known = await log.FindKeysAsync(_channel, [.. Enumerable.Range(1, 3000).Select(i => $"k{i}")]);
        Assert.Equal(1000, known.Count(o => o > 0));
        Assert.Equal(3000, known[^1]);
        Assert.InRange(log.TotalBytes, 1, 400_000);
        await log.PurgeAsync(_channel);
        Assert.Equal(0, log.TotalBytes);
    }

    [Fact]
    public async Task All_channels_together_are_bounded()
    {
        var log = new MemoryMessageLog(Logs.Policies(new NamespacePolicy()), _time) { MaxTotalBytes = 1_000_000 };
        for (var i = 0; i < 100; i++)
        {
            await AppendAsync(log, new ChannelId("default", $"c:{i}"), 10, payloadBytes: 5000);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.InRange(log.TotalBytes, 500_000, 1_000_000);
        Assert.Equal(10, (await log.GetHeadAsync(new ChannelId("default", "c:99"))).Head);
        Assert.Equal(0, (await log.GetHeadAsync(new ChannelId("default", "c:1"))).Head);
    }

    [Fact]
    public async Task Appends_sweeps_and_purges_at_once_never_mix_epochs()
    {
        var log = Create(new NamespacePolicy());
        var byEpoch = new Dictionary<string, long>();
        using var end = new CancellationTokenSource();
        var disturbance = Task.Run(async () =>
        {
            var purges = 0;
            while (!end.IsCancellationRequested)
            {
                await log.PurgeAsync(_channel);
                purges++;
                log.Sweep();
                await Task.Yield();
            }

            return purges;
        });
        for (var i = 0; i < 20_000; i++)
        {
            var head = (await log.GetHeadAsync(_channel)).Position;
            var result = await log.AppendAsync(Request(_channel, head, 1, 1, false));
            if (result.Status != AppendStatus.Appended) continue;

            // Within an epoch offsets rise by one; an epoch that was left never comes back.
            Assert.Equal(byEpoch.GetValueOrDefault(result.Head.Epoch) + 1, result.Head.Offset);
            byEpoch[result.Head.Epoch] = result.Head.Offset;
        }

        await end.CancelAsync();
        await disturbance;
    }

    private MemoryMessageLog Create(NamespacePolicy policy) => new(Logs.Policies(policy), _time);

    private async Task<Position> AppendAsync(MemoryMessageLog log, ChannelId channel, int count, int payloadBytes = 10, bool keyed = false)
    {
        var head = (await log.GetHeadAsync(channel)).Position;
        var result = await log.AppendAsync(Request(channel, head, count, payloadBytes, keyed));
        Assert.Equal(AppendStatus.Appended, result.Status);
        return result.Head;
    }

    private AppendRequest Request(ChannelId channel, Position head, int count, int payloadBytes, bool keyed) => new()
    {
        Channel = channel,
        ExpectedHead = head,
        Messages = [.. Enumerable.Range(1, count).Select(i => new Message
        {
            Offset = head.Offset + i,
            At = _time.GetUtcNow().ToUnixTimeMilliseconds(),
            Payload = Payload.Binary(new byte[payloadBytes]),
            Key = keyed ? $"k{head.Offset + i}" : null,
        })],
        KeyWindow = TimeSpan.FromDays(1),
    };
}

using System.Diagnostics.Metrics;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Telemetry;

/// <summary>What the relay of a silo counts, and that counting costs the deliveries nothing.</summary>
public sealed class DeliveryMetricsTests : IDisposable
{
    private const string Epoch = "epoch";
    private const long Start = 1_795_452_674_000;
    private static readonly ChannelId Id = new("default", "room:1");

    private readonly Recorded _recorded = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.FromUnixTimeMilliseconds(Start));

    public void Dispose() => _recorded.Dispose();

    [Fact]
    public async Task Deliveries_bytes_lag_and_subscriptions_are_counted()
    {
        var channel = Channel(new Pages());
        var (ana, bob) = (new Consumer(), new Consumer());
        await JoinAsync(channel, ana);
        var leaving = await JoinAsync(channel, bob);
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await channel.PostAsync(Batch(1, 3));
        Assert.Equal(6, _recorded.Sum("grid.messages.delivered"));
        Assert.Equal(ana.Bytes + bob.Bytes, _recorded.Sum("grid.messages.delivered.size"));
        Assert.Equal([0.25], _recorded["grid.relay.lag"]);
        Assert.Equal(2, _recorded.Sum("grid.subscriptions"));
        channel.Leave(leaving);
        channel.Leave(leaving);
        Assert.Equal(1, _recorded.Sum("grid.subscriptions"));
        Assert.Equal(0, channel.Behind);
    }

    [Fact]
    public async Task A_clock_behind_the_senders_shows_no_lag()
    {
        var channel = Channel(new Pages());
        await JoinAsync(channel, new Consumer());
        await channel.PostAsync(Batch(1, 1, at: Start + 5_000));
        Assert.Equal([0.0], _recorded["grid.relay.lag"]);
    }

    [Fact]
    public async Task A_repair_is_counted_and_what_it_waits_for_is_behind()
    {
        var pages = new Pages();
        var channel = Channel(pages);
        var consumer = new Consumer();
        await JoinAsync(channel, consumer);

        // The batch starts at 3: 1 and 2 were lost on the way, and the log does not answer yet.
        var posted = channel.PostAsync(Batch(3, 4));
        await pages.Asked.Task;
        Assert.Equal(4, channel.Behind);
        pages.Answer.SetResult(new ChannelPage(new ChannelHead(Epoch, 1, 4), Messages(1, 2)));
        await posted;
        Assert.Equal(0, channel.Behind);
        Assert.Equal(1, _recorded.Sum("grid.relay.repairs"));
        Assert.Equal(4, _recorded.Sum("grid.messages.delivered"));
        Assert.Equal(0, _recorded.Sum("grid.gaps reason=retention"));
    }

    [Fact]
    public async Task A_subscription_without_room_is_behind_until_it_has_read_on()
    {
        var channel = Channel(new Pages());
        var consumer = new Consumer { HasRoom = false };
        var subscription = await JoinAsync(channel, consumer);
        await channel.PostAsync(Batch(1, 2));
        Assert.Equal((1, 1), (_recorded.Sum("grid.subscriptions.fell_behind"), _recorded.Sum("grid.subscriptions.behind")));
        Assert.Equal(0, _recorded.Sum("grid.messages.delivered"));
        consumer.HasRoom = true;
        Assert.False(await channel.CatchUpAsync(subscription));
        Assert.Equal(0, _recorded.Sum("grid.subscriptions.behind"));
        Assert.Equal(1, _recorded.Sum("grid.subscriptions.reads source=ring"));
        Assert.Equal(2, _recorded.Sum("grid.messages.delivered"));

        // One that leaves while it is behind is behind no more.
        consumer.HasRoom = false;
        await channel.PostAsync(Batch(3, 3));
        Assert.Equal(1, _recorded.Sum("grid.subscriptions.behind"));
        channel.Leave(subscription);
        Assert.Equal(0, _recorded.Sum("grid.subscriptions.behind"));
    }

    [Fact]
    public async Task Gaps_are_counted_for_each_consumer()
    {
        var pages = new Pages();
        var channel = Channel(pages);
        await JoinAsync(channel, new Consumer());
        await JoinAsync(channel, new Consumer());
        pages.Answer.SetResult(new ChannelPage(new ChannelHead(Epoch, 3, 4), Messages(3, 4)));
        await channel.PostAsync(Batch(4, 4));
        Assert.Equal(2, _recorded.Sum("grid.gaps reason=retention"));
        Assert.Equal(4, _recorded.Sum("grid.messages.delivered"));
    }

    /// <summary>The same deliveries, once with nobody listening and once with a listener: the bytes allocated must be the same.</summary>
    [Fact]
    public async Task A_listener_costs_a_delivery_no_memory()
    {
        using var quiet = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var heard = new Recorded(keeps: false);
        var without = await AllocatedByDeliveriesAsync(quiet.GetRequiredService<IMeterFactory>());
        var with = await AllocatedByDeliveriesAsync(heard.Meters);
        Assert.InRange(with - without, -16, 16);
    }

    /// <summary>Bytes per batch of two messages to a hundred consumers, on this thread.</summary>
    private static async Task<long> AllocatedByDeliveriesAsync(IMeterFactory meters)
    {
        const int Rounds = 500;
        var channel = Channel(new Pages(), new RelayMetrics(meters, TimeProvider.System));
        for (var i = 0; i < 100; i++) await JoinAsync(channel, new Consumer());
        var batches = Enumerable.Range(0, 2 * Rounds).Select(i => Batch((2 * i) + 1, (2 * i) + 2)).ToArray();
        Deliver(0);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Deliver(Rounds);
        return (GC.GetAllocatedBytesForCurrentThread() - before) / Rounds;

        // The queue runs a batch on the thread that posts it, so the task has ended when it is returned.
        void Deliver(int from)
        {
            for (var i = from; i < from + Rounds; i++) Assert.True(channel.PostAsync(batches[i]).IsCompletedSuccessfully);
        }
    }

    private static LocalChannel Channel(Pages pages, RelayMetrics metrics) => new(
        Id,
        new NamespacePolicy(),
        pages,
        _ => Task.FromResult(new ChannelHead(Epoch, 1, 0)),
        metrics,
        new WorkQueue(static item => item.Execute()));

    private LocalChannel Channel(Pages pages) => Channel(pages, new RelayMetrics(_recorded.Meters, _time));

    private static async Task<Subscription> JoinAsync(LocalChannel channel, Consumer consumer)
    {
        var subscription = await channel.JoinAsync(consumer, new Position(Epoch, 0), new ChannelHead(Epoch, 1, 0));
        channel.Start(subscription!);
        return subscription!;
    }

    private static Message[] Messages(long first, long last, long at = Start) =>
        [.. Enumerable.Range((int)first, (int)(last - first) + 1).Select(o => new Message { Offset = o, At = at, Payload = Payload.Json("1"u8.ToArray()) })];

    private static DeliverBatch Batch(long first, long last, long at = Start) => new()
    {
        Channel = Id, Head = new ChannelHead(Epoch, 1, last), Messages = Messages(first, last, at),
    };

    private sealed class Consumer : IConsumer
    {
        private static readonly WebSocketEncoder Json = new(JsonWireCodec.Instance);

        public bool HasRoom { get; set; } = true;

        public long Bytes { get; private set; }

        public IDeliveryEncoder Encoder => Json;

        public bool IsEnding => false;

        public int Room => HasRoom ? int.MaxValue : 0;

        public bool TryDeliver(ReadOnlyMemory<byte> bytes)
        {
            if (!HasRoom) return false;
            Bytes += bytes.Length;
            return true;
        }

        public void OnBehind(Subscription subscription)
        {
        }

        public void OnTooSlow(Subscription subscription)
        {
        }
    }

    /// <summary>A log that answers a read when it is told to.</summary>
    private sealed class Pages : IChannelReader
    {
        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource<ChannelPage> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask<ChannelPage> ReadAsync(
            ChannelId channel, long after, int maxMessages, int maxBytes, CancellationToken cancellationToken)
        {
            Asked.TrySetResult();
            return await Answer.Task;
        }

        public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nobody asks.");

        public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nobody asks.");

        public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nobody asks.");
    }
}

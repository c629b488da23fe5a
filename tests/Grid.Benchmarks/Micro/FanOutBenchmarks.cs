using System.Diagnostics.Metrics;
using BenchmarkDotNet.Attributes;
using Grid.Abstractions;
using Grid.Benchmarks.Net;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.Benchmarks.Micro;

/// <summary>
/// One channel of one silo to its local consumers, down to the bytes for the socket but without sockets. The figures are for one
/// delivery of one message.
/// </summary>
public class FanOutBenchmarks
{
    private const int Deliveries = 64_000;

    private static readonly ChannelId Channel = new("default", "fan:1");
    private LocalChannel _channel = null!;
    private FakeConsumer[] _consumers = [];
    private Message[][] _batches = [];
    private long _offset;

    /// <summary>Consumers on the silo.</summary>
    [Params(10, 1000)]
    public int Consumers { get; set; }

    /// <summary>Messages of one batch from the channel's grain.</summary>
    [Params(1, 64)]
    public int Batch { get; set; }

    [GlobalSetup]
    public async Task Setup()
    {
        var meters = new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>();
        var head = new ChannelHead("epoch", 1, 0);
        _channel = new LocalChannel(
            Channel,
            new NamespacePolicy(),
            new NoReader(),
            _ => Task.FromResult(head),
            new RelayMetrics(meters, TimeProvider.System),
            new WorkQueue(static item => item.Execute()));
        var encoder = new WebSocketEncoder(JsonWireCodec.Instance);
        _consumers = [.. Enumerable.Range(0, Consumers).Select(_ => new FakeConsumer(encoder))];
        foreach (var consumer in _consumers)
        {
            var subscription = await _channel.JoinAsync(consumer, head.Position, head);
            _channel.Start(subscription!);
        }
    }

    /// <summary>Offsets rise without end, so messages are made before each iteration and not counted.</summary>
    [IterationSetup]
    public void MakeBatches()
    {
        var payload = Payload.Json(Stamp.Payload(128, 1));
        _batches = new Message[Deliveries / (Consumers * Batch)][];
        for (var b = 0; b < _batches.Length; b++)
        {
            _batches[b] = [.. Enumerable.Range(0, Batch).Select(
                _ => new Message { Offset = ++_offset, At = 1_795_452_674_123, Payload = payload })];
        }
    }

    [Benchmark(OperationsPerInvoke = Deliveries)]
    public async Task<long> Deliver()
    {
        foreach (var batch in _batches)
        {
            await _channel.PostAsync(new DeliverBatch
            {
                Channel = Channel,
                Head = new ChannelHead("epoch", 1, batch[^1].Offset),
                Messages = batch,
            });
        }

        return _consumers[0].Bytes;
    }

    /// <summary>Always has room, and counts.</summary>
    private sealed class FakeConsumer(IDeliveryEncoder encoder) : IConsumer
    {
        public long Bytes { get; private set; }

        public IDeliveryEncoder Encoder => encoder;

        public bool IsEnding => false;

        public int Room => int.MaxValue;

        public bool TryDeliver(ReadOnlyMemory<byte> bytes)
        {
            Bytes += bytes.Length;
            return true;
        }

        public void OnBehind(Subscription subscription) => throw new InvalidOperationException("It always has room.");

        public void OnTooSlow(Subscription subscription) => throw new InvalidOperationException("It always has room.");
    }

    /// <summary>Nothing is ever missing.</summary>
    private sealed class NoReader : IChannelReader
    {
        public ValueTask<ChannelPage> ReadAsync(
            ChannelId channel, long after, int maxMessages, int maxBytes, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nothing is missing.");

        public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nothing is missing.");

        public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nothing is missing.");

        public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("Nothing is missing.");
    }
}

using System.Buffers;
using System.Diagnostics.Metrics;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.UnitTests.Channels;

/// <summary>However many sockets a silo has, a message is encoded once for each form of frames that they speak.</summary>
public class SharedEncodingTests
{
    private const int Messages = 20;
    private static readonly ChannelId Channel = new("default", "room:1");

    [Fact]
    public async Task A_message_is_encoded_once_for_each_codec()
    {
        var head = new ChannelHead("epoch", 1, 0);
        var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var channel = new LocalChannel(
            Channel,
            new NamespacePolicy(),
            new NoReader(),
            _ => Task.FromResult(head),
            new RelayMetrics(services.GetRequiredService<IMeterFactory>(), TimeProvider.System),
            new WorkQueue(static item => item.Execute()));
        var (json, proto) = (new CountingEncoder(JsonWireCodec.Instance), new CountingEncoder(ProtoWireCodec.Instance));
        var consumers = Enumerable.Range(0, 30).Select(i => new Consumer(i % 3 == 0 ? proto : json)).ToList();
        foreach (var consumer in consumers) channel.Start((await channel.JoinAsync(consumer, head.Position, head))!);

        for (var offset = 1; offset <= Messages; offset++)
        {
            await channel.PostAsync(new DeliverBatch
            {
                Channel = Channel,
                Head = new ChannelHead("epoch", 1, offset),
                Messages = [new Message { Offset = offset, At = 1, Payload = Payload.Json("[1]"u8.ToArray()) }],
            });
        }

        Assert.Equal((Messages, Messages), (json.Count, proto.Count));
        foreach (var consumer in consumers)
        {
            Assert.Equal(Messages, consumer.Frames.Count);
            var first = consumer.Frames[0].AsMemory(2);
            var codec = consumer.Encoder == proto ? (IWireCodec)ProtoWireCodec.Instance : JsonWireCodec.Instance;
            Assert.Equal(consumer.Encoder == proto ? 0x82 : 0x81, consumer.Frames[0][0]);
            Assert.Equal(1, Assert.IsType<MessageFrame>(codec.DecodeServer(first).Frame).Message.Offset);
        }
    }

    /// <summary>Counts what is asked of it.</summary>
    private sealed class CountingEncoder(IWireCodec codec) : IDeliveryEncoder
    {
        private readonly WebSocketEncoder _inner = new(codec);

        public int Count { get; private set; }

        public void EncodeMessage(ChannelId channel, string epoch, Message message, IBufferWriter<byte> output)
        {
            Count++;
            _inner.EncodeMessage(channel, epoch, message, output);
        }

        public void EncodeGap(GapFrame gap, IBufferWriter<byte> output) => _inner.EncodeGap(gap, output);
    }

    private sealed class Consumer(IDeliveryEncoder encoder) : IConsumer
    {
        public List<byte[]> Frames { get; } = [];

        public IDeliveryEncoder Encoder => encoder;

        public bool IsEnding => false;

        public int Room => int.MaxValue;

        public bool TryDeliver(ReadOnlyMemory<byte> bytes)
        {
            Frames.Add(bytes.ToArray());
            return true;
        }

        public void OnBehind(Subscription subscription) => throw new InvalidOperationException("It always has room.");

        public void OnTooSlow(Subscription subscription) => throw new InvalidOperationException("It always has room.");
    }

    private sealed class NoReader : IChannelReader
    {
        public ValueTask<ChannelPage> ReadAsync(
            ChannelId channel, long after, int maxMessages, int maxBytes, CancellationToken cancellationToken) => throw Nothing();

        public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken) => throw Nothing();

        public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken) => throw Nothing();

        public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken) => throw Nothing();

        private static InvalidOperationException Nothing() => new("Nothing is missing.");
    }
}

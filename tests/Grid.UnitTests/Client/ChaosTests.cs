using System.Collections.Concurrent;
using Grid.Client;
using Grid.Protocol;

namespace Grid.UnitTests.Client;

/// <summary>
/// Whole clients against a server model that keeps the contract but cuts connections at random: between storing and answering, in
/// the middle of a resume, with repeats afterwards.
/// </summary>
public class ChaosTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(10)]
    public async Task Every_message_lands_once_and_reaches_every_consumer_once_and_in_order(int seed)
    {
        const int PerPublisher = 150;
        string[] channels = ["room:1", "room:2"];
        var server = new ContractServer(seed, cutEvery: 40);
        // Small queues, so that back-pressure and leaving a channel have their part too.
        await using var publisher = NewClient(server);
        await using var handler = NewClient(server, maxQueued: 4);
        await using var reader = NewClient(server, maxQueued: 16);
        await Task.WhenAll(publisher.ConnectAsync(), handler.ConnectAsync(), reader.ConnectAsync()).WaitAsync(Harness.Patience);

        var total = PerPublisher * channels.Length;
        var handled = new ConcurrentQueue<GridMessage>();
        var handledAll = new TaskCompletionSource();
        foreach (var channel in channels)
        {
            await handler.SubscribeAsync(channel, StartPoint.Start, async (message, ct) =>
            {
                await Task.Yield();
                handled.Enqueue(message);
                if (handled.Count == total) handledAll.TrySetResult();
            }).WaitAsync(Harness.Patience);
        }

        var reading = channels.Select(channel => ReadAsync(reader, channel, PerPublisher)).ToList();
        var publishes = Enumerable.Range(0, PerPublisher)
            .SelectMany(i => channels.Select(channel => publisher.PublishAsync(channel, i)))
            .ToList();
        var receipts = await Task.WhenAll(publishes).WaitAsync(Harness.Patience);
        await handledAll.Task.WaitAsync(Harness.Patience);
        var read = await Task.WhenAll(reading).WaitAsync(Harness.Patience);

        Assert.True(server.Cuts > 3, $"Only {server.Cuts} cuts.");
        for (var c = 0; c < channels.Length; c++)
        {
            var numbers = Enumerable.Range(0, PerPublisher).ToList();
            Assert.Equal(numbers, server.Stored(channels[c]));
            Assert.Equal(numbers.Select(n => n + 1L), receipts.Where((_, i) => i % channels.Length == c).Select(r => r.Offset));
            var mine = handled.Where(m => m.Channel == channels[c]).ToList();
            Assert.Equal(numbers, mine.Select(m => m.Json<int>()));
            Assert.Equal(numbers.Select(n => n + 1L), mine.Select(m => m.Offset));
            Assert.Equal(numbers, read[c]);
        }
    }

    private static GridClient NewClient(ContractServer server, int maxQueued = 256) => new(new GridClientOptions
    {
        Uri = new Uri("ws://localhost:1"),
        Random = new ZeroRandom(),
        Transport = server,
        MaxQueuedMessages = maxQueued,
    });

    private static async Task<List<int>> ReadAsync(GridClient client, string channel, int count)
    {
        var numbers = new List<int>();
        await foreach (var message in client.ReadAsync(channel, StartPoint.Start))
        {
            numbers.Add(message.Json<int>());
            if (numbers.Count == count) break;
        }

        return numbers;
    }
}

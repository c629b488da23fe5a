using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Load;
using Grid.Testing.Wire;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Slow;

[Collection(AloneTests.Name)]
public class JsonSlowConsumerTests(ITestOutputHelper output) : SlowConsumerTests(output, Subprotocols.Json);

[Collection(AloneTests.Name)]
public class ProtoSlowConsumerTests(ITestOutputHelper output) : SlowConsumerTests(output, Subprotocols.Proto);

/// <summary>Consumers that stop reading cost the others nothing, and the host no memory.</summary>
public abstract class SlowConsumerTests(ITestOutputHelper output, string subprotocol)
{
    private const int PayloadBytes = 16 * 1024;
    private const int Messages = 6_400; // 100 MiB
    private const long AllowedGrowth = 96L << 20;
    private static readonly string[] Reasons = ["dropped", "retention"];

    [Fact]
    public async Task A_consumer_that_stops_reading_costs_no_memory_and_catches_up_whole()
    {
        await using var host = await RunHostAsync();
        using var deadline = TestDeadline.In(180);
        using var http = host.Http();
        var history = new HistoryRecorder();
        const string Warm = "catchup:warm", Main = "catchup:main";
        var (slow, live) = (await ConsumerAsync(host, history, "slow", Main, small: true), new List<LoadConsumer>());
        for (var i = 0; i < 3; i++) live.Add(await ConsumerAsync(host, history, $"live-{i}", Main));
        try
        {
            // The store's buffers, the heap and the pools reach the size they have under this load; then the slow one's own cost shows.
            await PublishAsync(host, history, "warmer", Warm, Messages / 2, deadline);
            var before = host.ResidentBytes();
            slow.Client!.StopReading();
            await PublishAsync(host, history, "publisher", Main, Messages, deadline);
            foreach (var consumer in live)
            {
                await deadline.UntilAsync(() => consumer.HasReached(Main, Messages), () => $"{consumer.Name} has all, at {consumer.Records[Main].Position}");
            }

            var stopped = host.ResidentBytes();
            output.WriteLine($"resident before {before >> 20} MiB, after {stopped >> 20} MiB; the slow one had {slow.Records[Main].Received} messages");
            Assert.True(slow.Records[Main].Received < Messages / 10, "the slow consumer was not slow");
            Assert.True(stopped - before < AllowedGrowth, $"resident memory grew from {before >> 20} to {stopped >> 20} MiB");
            Assert.False(slow.Client!.Closed.IsCompleted, "the slow consumer was disconnected");

            // It reads on, on the same socket, and gets everything.
            slow.Client!.ReadOn();
            await deadline.UntilAsync(() => slow.HasReached(Main, Messages), () => $"the slow one catches up; it is at {slow.Records[Main].Position}\n{host.Output.Tail(20)}");
            output.WriteLine($"resident after the catch-up {host.ResidentBytes() >> 20} MiB");
            Assert.Empty(slow.Oddities);
            await JudgeAsync(http, history, [slow, .. live], Warm, Main);
            Assert.DoesNotContain(slow.Records[Main].Events, e => e.Kind is ConsumerEventKind.Resumed or ConsumerEventKind.Gap);
            Assert.Empty(host.Output.Errors);
        }
        finally
        {
            foreach (var consumer in live.Append(slow)) await consumer.DisposeAsync();
        }
    }

    [Fact]
    public async Task Where_the_policy_drops_the_slow_one_gets_gaps_and_the_newest()
    {
        await using var host = await RunHostAsync();
        using var deadline = TestDeadline.In(120);
        using var http = host.Http();
        var history = new HistoryRecorder();
        const string Channel = "dropping:main";
        var slow = await ConsumerAsync(host, history, "slow", Channel, small: true, mayDrop: true);
        var live = await ConsumerAsync(host, history, "live", Channel, mayDrop: true);
        try
        {
            slow.Client!.StopReading();
            await PublishAsync(host, history, "publisher", Channel, Messages / 4, deadline);
            await deadline.UntilAsync(() => live.HasReached(Channel, Messages / 4), () => "the live one has all");
            slow.Client!.ReadOn();

            // A drop is told at the latest when the next message comes.
            await PublishAsync(host, history, "later", Channel, 1, deadline);
            await deadline.UntilAsync(() => slow.HasReached(Channel, (Messages / 4) + 1), () => $"the slow one is at the head; it is at {slow.Records[Channel].Position}");
            await deadline.UntilAsync(() => live.HasReached(Channel, (Messages / 4) + 1), () => "the live one is at the head");
            await JudgeAsync(http, history, [slow, live], Channel);
            Assert.Contains(slow.Records[Channel].Events, e => e is { Kind: ConsumerEventKind.Gap, Text: "dropped" });
            Assert.True(slow.Records[Channel].Received < Messages / 4, "nothing was dropped");
            Assert.Empty(slow.Oddities);
        }
        finally
        {
            await slow.DisposeAsync();
            await live.DisposeAsync();
        }
    }

    [Fact]
    public async Task Where_the_policy_conflates_the_newest_of_each_key_arrives()
    {
        await using var host = await RunHostAsync();
        using var http = host.Http();
        const string Channel = "conflating:main";
        var token = await http.TokenAsync("ana");
        await using var publisher = await RawClient.OpenAsync(host.Address, new() { Token = token, KeptFrames = 100, Subprotocol = subprotocol });
        await using var slow = await RawClient.OpenAsync(host.Address, Small(token) with { Timeout = TimeSpan.FromSeconds(60) });
        await slow.SubscribeAsync(Channel);
        slow.StopReading();
        var filler = new string('x', PayloadBytes);
        const int Keys = 10, Rounds = 100;
        for (var round = 1; round <= Rounds; round++)
        {
            var answers = await Task.WhenAll(Enumerable.Range(0, Keys).Select(k => publisher.PublishAsync(Channel, $"[{round},\"{filler}\"]", $"key-{k}")));
            Assert.All(answers, a => Assert.True(a.Type == "published" && !a.Json.GetProperty("duplicate").GetBoolean(), a.ToString()));
        }

        slow.ReadOn();
        await slow.WaitAsync(f => f.Type == "message" && f.Offset == Keys * Rounds, "the newest message");
        var cursor = 0L;
        var newest = new Dictionary<string, string>();
        foreach (var frame in slow.Frames.Where(f => f.Channel == Channel))
        {
            if (frame.Type == "gap")
            {
                // An ephemeral channel keeps little: what it no longer has is gone by retention, the rest by conflation.
                Assert.Equal(cursor + 1, frame.Number("from"));
                Assert.Contains(frame.String("reason"), Reasons);
                cursor = frame.Number("to");
            }
            else if (frame.Type == "message")
            {
                Assert.Equal(++cursor, frame.Offset);
                newest[frame.String("key")!] = frame.Json.GetProperty("data")[0].GetRawText();
            }
        }

        Assert.Equal(Keys, newest.Count);
        Assert.All(newest.Values, round => Assert.Equal($"{Rounds}", round));
        Assert.True(slow.Messages(Channel).Count < Keys * Rounds, "nothing was conflated");
    }

    [Fact]
    public async Task Where_the_policy_disconnects_the_slow_one_is_told_4002_and_resumes_whole()
    {
        await using var host = await RunHostAsync();
        using var deadline = TestDeadline.In(120);
        using var http = host.Http();
        var history = new HistoryRecorder();
        const string Channel = "leaving:main";
        const int Count = Messages / 4;
        var live = await ConsumerAsync(host, history, "live", Channel);
        try
        {
            var token = await http.TokenAsync("ana");
            await using var slow = await RawClient.OpenAsync(host.Address, Small(token));
            await slow.SubscribeAsync(Channel);
            slow.StopReading();
            await PublishAsync(host, history, "publisher", Channel, Count, deadline);
            await deadline.UntilAsync(() => live.HasReached(Channel, Count), () => "the live one has all");
            slow.ReadOn();
            Assert.Equal(4002, (await slow.ClosedAsync()).Code);
            var seen = slow.Messages(Channel);
            Assert.Equal(Enumerable.Range(1, seen.Count).Select(i => (long)i), seen.Select(m => m.Offset));
            Assert.True(seen.Count < Count, "it was not disconnected early");

            var cursors = new Dictionary<string, RawPosition> { [Channel] = new(live.Records[Channel].Position!.Value.Epoch, seen.Count) };
            await using var again = await RawClient.OpenAsync(
                host.Address, Small(token) with { ReceiveBufferBytes = null, Timeout = TimeSpan.FromSeconds(60) }, new RawResume(slow.Welcome!.Session, slow.Welcome.ResumeToken, cursors));
            Assert.Equal("resumed", again.Welcome!.State);
            await again.MessageAsync(Channel, Count);
            Assert.Equal(Enumerable.Range(seen.Count + 1, Count - seen.Count).Select(i => (long)i), again.Messages(Channel).Select(m => m.Offset));
            await JudgeAsync(http, history, [live], Channel);
        }
        finally
        {
            await live.DisposeAsync();
        }
    }

    private static Task<HostProcess> RunHostAsync() => HostProcess.RunAsync(new Dictionary<string, string?>
    {
        // A stopped reader answers no pings either; here it is to be slow, not dead.
        ["Grid__Heartbeat"] = "00:10:00",
        ["Grid__Namespaces__catchup__SlowConsumer"] = "CatchUp",
        ["Grid__Namespaces__dropping__SlowConsumer"] = "Drop",
        ["Grid__Namespaces__conflating__SlowConsumer"] = "Conflate",
        ["Grid__Namespaces__conflating__Durability"] = "Ephemeral",
        ["Grid__Namespaces__conflating__IdempotencyWindow"] = "00:00:00",
        ["Grid__Namespaces__leaving__SlowConsumer"] = "Disconnect",
    });

    private RawClientOptions Small(string token) => new() { Token = token, ReceiveBufferBytes = 4096, Subprotocol = subprotocol };

    private async Task<LoadConsumer> ConsumerAsync(
        HostProcess host, HistoryRecorder history, string name, string channel, bool small = false, bool mayDrop = false)
    {
        using var http = host.Http();
        var consumer = new LoadConsumer(host.Address, name, await http.TokenAsync(name), history, [channel], CursorOwner.Client, mayDrop)
        {
            From = ClientFrames.Now, ReceiveBufferBytes = small ? 4096 : null, Subprotocol = subprotocol,
        };
        consumer.Start();
        await consumer.Ready.WaitAsync(TimeSpan.FromSeconds(30));
        return consumer;
    }

    private async Task PublishAsync(HostProcess host, HistoryRecorder history, string name, string channel, int count, TestDeadline deadline)
    {
        using var http = host.Http();
        var filler = new string('x', PayloadBytes - 64);
        using var publisher = new LoadPublisher(host.Address, name, await http.TokenAsync(name), history, [channel], new Random(1))
        {
            Subprotocol = subprotocol, Payload = (who, n) => $$"""{"by":"{{who}}","n":{{n}},"filler":"{{filler}}"}""",
        };
        await publisher.RunAsync(count, deadline.Token);
        Assert.Empty(publisher.Oddities);
    }

    private static async Task JudgeAsync(GridHttp http, HistoryRecorder history, IEnumerable<LoadConsumer> consumers, params string[] channels)
    {
        foreach (var channel in channels) history.Stored(await http.HistoryAsync(channel, pageSize: 200));
        foreach (var consumer in consumers) consumer.Finish();
        HistoryChecker.Check(history).ThrowIfBroken();
    }
}

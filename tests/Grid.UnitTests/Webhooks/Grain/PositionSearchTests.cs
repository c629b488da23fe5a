using FsCheck.Xunit;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Store;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class PositionSearchTests
{
    private static readonly ChannelId Channel = new("t", "c");

    [Property]
    public bool It_is_the_place_before_the_first_message_that_is_not_older(byte[] steps, byte trim, ushort at)
    {
        var store = new FakeWebhookStore();
        long time = 1_000;
        var times = steps.Select(s => time += s % 4).ToArray();
        for (var i = 0; i < times.Length; i++)
        {
            var message = new Message { Offset = i + 1, At = times[i], Payload = Payload.Json("1"u8.ToArray()) };
            store.AppendAsync(new AppendRequest { Channel = Channel, ExpectedHead = new Position("e1", i), Messages = [message], KeyWindow = default }).AsTask().Wait();
        }

        var trimmed = Math.Min(trim % 8, times.Length);
        store.TrimAsync(Channel, trimmed).AsTask().Wait();
        var since = 995 + (at % 200);
        var expected = Math.Max(trimmed, times.Count(t => t < since));
        var found = PositionSearch.BeforeAsync(store, Channel, DateTimeOffset.FromUnixTimeMilliseconds(since)).AsTask().Result;
        return found == new Position("e1", expected);
    }

    [Fact]
    public async Task A_part_of_a_millisecond_counts()
    {
        var store = new FakeWebhookStore();
        var message = new Message { Offset = 1, At = 1_000, Payload = Payload.Json("1"u8.ToArray()) };
        await store.AppendAsync(new AppendRequest { Channel = Channel, ExpectedHead = new Position("e1", 0), Messages = [message], KeyWindow = default });
        var at = DateTimeOffset.FromUnixTimeMilliseconds(1_000);
        Assert.Equal(0, (await PositionSearch.BeforeAsync(store, Channel, at)).Offset);
        Assert.Equal(1, (await PositionSearch.BeforeAsync(store, Channel, at.AddTicks(1))).Offset);
    }

    [Fact]
    public void Silos_divide_the_shards()
    {
        var silos = Enumerable.Range(1, 5).Select(i => SiloAddress.New(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 11110 + i), i)).ToArray();
        Assert.Equal(Enumerable.Range(0, WebhookId.Shards), silos.SelectMany(s => WebhookSweep.ShardsOf(silos, s)).Order());
        Assert.Equal(WebhookId.Shards, WebhookSweep.ShardsOf([], silos[0]).Count);
    }
}

using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Telemetry;

/// <summary>
/// What the real host, built for release, allocates for a publish and for a delivery, from socket to socket: a guard against decay, since
/// counts hardly depend on machine and load where times do. The bounds lie a quarter to a half above what was measured; who lowers the
/// figures lowers them.
/// </summary>
[Collection(AloneTests.Name)]
public class AllocationTests(ITestOutputHelper output)
{
    private const string Room = "room:1";
    private const int Subscribers = 20;

    [Fact]
    public async Task A_publish_and_a_delivery_allocate_no_more_than_they_did()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        await using var publisher = await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync("ana") });

        // What comes first pays for what is made once: compiled code, pools, the channel.
        await InBurstsAsync(publisher, 3_200);
        var burst = await MeasureAsync(http, 6_400, () => InBurstsAsync(publisher, 6_400));
        await OneByOneAsync(publisher, 1_000);
        var alone = await MeasureAsync(http, 1_000, () => OneByOneAsync(publisher, 1_000));

        var token = await http.TokenAsync("bob");
        var subscribers = await Task.WhenAll(Enumerable.Range(0, Subscribers).Select(_ => RawClient.OpenAsync(host.Address, new() { Token = token })));
        foreach (var subscriber in subscribers) await subscriber.SubscribeAsync(Room);
        var head = await OneByOneAsync(publisher, 100, subscribers);
        var delivered = await MeasureAsync(http, 1_000, async () => head = await OneByOneAsync(publisher, 1_000, subscribers));
        var each = (delivered - alone) / Subscribers;
        foreach (var subscriber in subscribers) await subscriber.DisposeAsync();

        output.WriteLine($"bytes for a publish alone {alone:0}, in a burst of 64 {burst:0}; for a delivery {each:0}");
        Assert.InRange(alone, 0, 9_500);
        Assert.InRange(burst, 0, 1_700);
        Assert.True(each < 100, $"{each:0}");
    }

    private static async Task<long> OneByOneAsync(RawClient publisher, int count, params RawClient[] subscribers)
    {
        var offset = 0L;
        for (var i = 0; i < count; i++) offset = (await publisher.PublishAsync(Room, "{\"n\":1}")).Offset;
        await Task.WhenAll(subscribers.Select(s => s.MessageAsync(Room, offset)));
        return offset;
    }

    private static async Task InBurstsAsync(RawClient publisher, int count)
    {
        for (var done = 0; done < count; done += 64)
            await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => publisher.PublishAsync(Room, "{\"n\":1}")));
    }

    /// <summary>Bytes that the host allocated for each of so many things, beyond what it allocates for looking.</summary>
    private static async Task<double> MeasureAsync(GridHttp http, int count, Func<Task> act)
    {
        var first = await AllocatedAsync(http, 0);
        var second = await AllocatedAsync(http, first);
        var before = await AllocatedAsync(http, second);
        await act();
        return (await AllocatedAsync(http, before) - before - (before - second)) / count;
    }

    /// <summary>All bytes that the host allocated so far. The page is remembered for a moment: asked for until it is another one.</summary>
    private static async Task<double> AllocatedAsync(GridHttp http, double last)
    {
        var now = last;
        using var deadline = TestDeadline.In(30);
        await deadline.UntilAsync(
            async () => (now = (await Scrape.OfAsync(http))["dotnet_gc_heap_total_allocated_bytes_total"] ?? last) > last,
            () => "The page does not say what was allocated.");
        return now;
    }
}

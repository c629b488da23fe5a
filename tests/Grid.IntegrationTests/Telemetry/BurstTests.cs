using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Telemetry;

/// <summary>What a socket sends in one piece, and what becomes of it.</summary>
[Collection(AloneTests.Name)]
public class BurstTests
{
    [Fact]
    public async Task A_burst_is_one_call_for_each_channel_whatever_stands_between()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        using var socket = await OpenAsync(host, http);
        await socket.SendBytesAsync(Frames(
            [.. Enumerable.Range(1, 6).Select(i => ClientFrames.Publish(i, i % 2 == 0 ? "room:1" : "room:2", "1")),
            """{"type":"ping"}""", ClientFrames.Publish(7, "room:2", "1"), ClientFrames.Publish(8, "room:1", "1")]));
        for (var answered = 0; answered < 8; answered++) Assert.NotNull(await socket.ReadUntilAsync("published"));
        await Scrape.UntilAsync(
            http,
            ("grid_log_append_messages_sum", 8),
            ("""grid_publish_duration_seconds_count{outcome="answered"}""", 2));
    }

    [Fact]
    public async Task What_was_published_right_before_the_end_is_stored()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        using (var socket = await OpenAsync(host, http))
        {
            byte[] close = RawSocket.Encode(8, new byte[] { 0x03, 0xE8 });
            await socket.SendBytesAsync((byte[])[.. Frames([ClientFrames.Publish(1, "room:1", "1"), ClientFrames.Publish(2, "room:1", "2")]), .. close]);
            Assert.Equal(1000, await socket.ReadToCloseAsync());
        }

        await Scrape.UntilAsync(http, ("grid_log_append_messages_sum", 2));
    }

    [Fact]
    public async Task A_frame_that_waits_for_its_answer_does_not_hold_up_what_was_published_before_it()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        using var socket = await OpenAsync(host, http);
        await socket.SendBytesAsync(Frames([ClientFrames.Publish(1, "room:1", "1"), ClientFrames.Subscribe(2, "room:1"), ClientFrames.Publish(3, "room:1", "2")]));
        Assert.NotNull(await socket.ReadUntilAsync(f => f.Text.Contains("\"subscribed\"", StringComparison.Ordinal)));
        Assert.NotNull(await socket.ReadUntilAsync(f => f.Text.Contains("\"offset\":2", StringComparison.Ordinal)));

        // Two calls: the first did not wait for what came behind the other frame.
        await Scrape.UntilAsync(
            http,
            ("grid_log_append_messages_sum", 2),
            ("""grid_publish_duration_seconds_count{outcome="answered"}""", 2));
    }

    private static async Task<RawSocket> OpenAsync(HostProcess host, GridHttp http)
    {
        var socket = await RawSocket.UpgradeAsync(host.Address, await http.TokenAsync("ana"));
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
        return socket;
    }

    private static byte[] Frames(string[] frames) => [.. frames.SelectMany(f => RawSocket.Encode(1, RawSocket.BytesOf(Subprotocols.Json, f)))];
}

using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

[Collection(AloneTests.Name)]
public class HeartbeatTests
{
    [Fact]
    public async Task A_half_open_socket_is_found_and_live_ones_are_kept()
    {
        await using var host = await HostProcess.RunAsync([new("Grid__Heartbeat", "00:00:02")]);
        using var http = host.Http();
        var token = await http.TokenAsync("ana");
        var live = new List<RawClient>();
        try
        {
            // They say nothing but answer pings, as a WebSocket library does by itself while it reads.
            for (var i = 0; i < 20; i++)
                live.Add(await RawClient.OpenAsync(host.Address, new() { Token = token, Name = $"live-{i}", Subprotocol = SubprotocolOf(i) }));
            Assert.Equal(2_000, live[0].Welcome!.Frame.Number("heartbeatMs"));
            for (var round = 0; round < 2; round++)
            {
                // Its TCP connection stands, but nobody answers. Each takes the host two heartbeats to find.
                using var silent = await RawSocket.UpgradeAsync(host.Address, token, SubprotocolOf(round));
                await silent.SendAsync(ClientFrames.Hello());
                Assert.Equal(4001, await silent.ReadToCloseAsync());
            }

            foreach (var client in live)
            {
                Assert.False(client.Closed.IsCompleted, $"a live connection was closed\n{client.Transcript()}");
                await client.PingAsync();
            }
        }
        finally
        {
            foreach (var client in live) await client.DisposeAsync();
        }
    }

    /// <summary>Half of them speak each.</summary>
    private static string SubprotocolOf(int index) => index % 2 == 0 ? Subprotocols.Json : Subprotocols.Proto;
}

using System.Diagnostics;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Net;

namespace Grid.ClusterTests.Cluster;

/// <summary>What the chaos test relies on: a cut swallows what it should, one way or both, and nothing else.</summary>
public class TestNetworkTests
{
    [Fact]
    public async Task A_cut_swallows_what_one_place_sends_to_another_until_it_is_healed()
    {
        await using var network = await TestNetwork.CreateAsync();
        var (a, b) = (await network.AddPlaceAsync(), await network.AddPlaceAsync());
        var port = FreePort.Next();
        using var server = await InAsync(
            b, "redis-server", "--port", $"{port}", "--bind", $"{b.Address}", "--protected-mode", "no", "--save", "", "--appendonly", "no");
        try
        {
            await AnsweredAsync(a, b, port);
            await TestNetwork.CutAsync(a, b);
            Assert.False(await AnswersAsync(a, b, port));
            await TestNetwork.HealAsync(a, b);
            await AnsweredAsync(a, b, port);

            // The way back.
            await TestNetwork.CutAsync(b, a);
            Assert.False(await AnswersAsync(a, b, port));
            await TestNetwork.HealAsync(b, a);
            await AnsweredAsync(a, b, port);
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync();
        }
    }

    /// <summary>Asks until there is an answer: on a loaded machine one may take longer than it takes for a swallowed one.</summary>
    private static async Task AnsweredAsync(HostPlace from, HostPlace to, int port)
    {
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(() => AnswersAsync(from, to, port), () => "the server answers over the network");
    }

    private static async Task<bool> AnswersAsync(HostPlace from, HostPlace to, int port)
    {
        // A connection that is swallowed waits for minutes; after two seconds it counts as that.
        using var client = await InAsync(from, "timeout", "2", "redis-cli", "-h", $"{to.Address}", "-p", $"{port}", "PING");
        var answer = await client.StandardOutput.ReadToEndAsync();
        await client.WaitForExitAsync();
        return answer.Trim() == "PONG";
    }

    private static Task<Process> InAsync(HostPlace place, params string[] command) => ProcessStarter.StartAsync(
        new ProcessStartInfo("ip", ["netns", "exec", place.Namespace!, .. command]) { RedirectStandardOutput = true });
}

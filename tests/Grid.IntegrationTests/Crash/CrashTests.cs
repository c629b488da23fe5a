using System.Globalization;
using Grid.Testing;
using Grid.Testing.Hosting;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Crash;

/// <summary>
/// The real host under pipelined load, killed at random moments and started again on its data. Then the whole history is judged.
/// <c>GRID_SEED</c> repeats a run's random choices (not the machine's timing); <c>GRID_CRASH_ROUNDS</c> makes it longer.
/// </summary>
[Collection(AloneTests.Name)]
public class CrashTests(ITestOutputHelper output)
{
    private const int Publishers = 20;
    private const int Channels = 20;
    private const int Consumers = 40;
    private const int ChannelsPerConsumer = 3;
    private const int MessagesPerPublisherAndRound = 400;

    [Fact]
    public async Task Nothing_acknowledged_is_lost_and_every_consumer_is_whole_through_kills()
    {
        var seed = FromEnvironment("GRID_SEED") ?? Random.Shared.Next();
        var rounds = FromEnvironment("GRID_CRASH_ROUNDS") ?? 4;
        var random = new Random(seed);
        output.WriteLine($"GRID_SEED={seed} GRID_CRASH_ROUNDS={rounds}");
        await using var host = await HostProcess.RunAsync([new("Grid__CheckpointInterval", "00:00:01")]);
        var load = new CrashLoad(host, seed);
        try
        {
            await RunAsync(host, load, random, rounds);
        }
        catch (Exception e)
        {
            throw new TestFailedException($"GRID_SEED={seed}: {e.Message}\n{load.Describe()}\n{host.Output.Tail()}", e);
        }
        finally
        {
            await load.DisposeAsync();
        }
    }

    private async Task RunAsync(HostProcess host, CrashLoad load, Random random, int rounds)
    {
        using var deadline = TestDeadline.In(120 + (30 * rounds));
        var perRound = Publishers * MessagesPerPublisherAndRound;
        await load.StartAsync(Publishers, Channels, Consumers, ChannelsPerConsumer, MessagesPerPublisherAndRound * rounds, deadline);
        for (var round = 1; round < rounds; round++)
        {
            // The moment is a number of acknowledgements, not a time: every kill finds publishes in flight, however fast the machine is.
            var at = ((round - 1) * perRound) + random.Next(perRound / 8, perRound);
            await load.AcknowledgedAsync(at, deadline);
            await host.KillAsync();
            output.WriteLine($"round {round}: killed after {load.Acknowledged} acknowledgements");
            await host.StartAsync();

            // Some sockets are cut besides, at once after the start.
            load.CutSome(random);
        }

        await load.PublishedAsync(deadline);
        await load.CaughtUpAsync(deadline);
        var report = await load.JudgeAsync();
        output.WriteLine(report.Summary);
        report.ThrowIfBroken($"GRID_SEED={load.Seed}");
        Assert.True(load.Oddities.Count == 0, $"GRID_SEED={load.Seed}: {string.Join('\n', load.Oddities.Take(20))}\n{host.Output.Tail(30)}");
        Assert.True(host.Output.Errors.Count == 0, string.Join('\n', host.Output.Errors.Take(10)));
    }

    private static int? FromEnvironment(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}

using System.Globalization;
using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Xunit.Abstractions;

namespace Grid.ClusterTests.Chaos;

/// <summary>
/// Three silos under load from clients of every kind, while silos are killed, stopped, drained, cut off, added and taken away and
/// their stores restarted and emptied. Then the whole history is judged. <c>GRID_SEED</c> repeats a run's random choices (not the
/// machine's timing); <c>GRID_CHAOS_MINUTES</c> makes it long (<c>tests/chaos.sh</c>); <c>GRID_CHAOS_FAULTS</c>, kinds separated by
/// commas, does only these, in that order, in a short run; <c>GRID_CHAOS_LONGEST</c> is the longest that a silo stands still or is cut
/// off, in seconds.
/// </summary>
[Collection(AloneTests.Name)]
public class ChaosTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    [Fact]
    public async Task Everything_acknowledged_reaches_everybody_once_and_in_order_through_all_faults()
    {
        var seed = FromEnvironment("GRID_SEED") ?? Random.Shared.Next();
        var minutes = FromEnvironment("GRID_CHAOS_MINUTES") ?? 0;
        using var log = new ChaosLog(seed);
        log.Add($"GRID_SEED={seed} GRID_CHAOS_MINUTES={minutes}");
        try
        {
            await RunAsync(seed, minutes, log);
        }
        catch (Exception e)
        {
            log.Add($"FAILED: {e.Message}");
            throw new TestFailedException($"GRID_SEED={seed}: {e.Message}\nTime line:\n{log}", e);
        }
        finally
        {
            output.WriteLine(log.ToString());
        }
    }

    private static async Task RunAsync(int seed, int minutes, ChaosLog log)
    {
        var span = TimeSpan.FromMinutes(minutes);
        using var deadline = new TestDeadline(span + TimeSpan.FromMinutes(8));
        KeyValuePair<string, string?>[] settings =
        [
            new("Grid__CheckpointInterval", "00:00:01"), new("Grid__Heartbeat", "00:00:05"), new("Grid__DrainSpan", "00:00:02"),
            new("Grid__Webhooks__AllowPrivateNetworks", "true"),
            new("Logging__Console__FormatterOptions__TimestampFormat", "HH:mm:ss.fff "),
        ];
        await using var cluster = await TestCluster.StartAsync(silos: 3, settings, cuttable: true);
        log.Add($"three silos form a cluster, at {TimeProvider.System.GetUtcNow():HH:mm:ss.fff}");
        var faults = new Faults(cluster, log, longest: TimeSpan.FromSeconds(FromEnvironment("GRID_CHAOS_LONGEST") ?? (minutes > 0 ? 30 : 8)));
        var load = new ChaosLoad(cluster, seed, new LoadSize());
        try
        {
            await load.StartAsync(deadline);
            log.Add("everybody is connected, publishing begins");
            await load.MoreAsync(200, deadline);
            var random = new Random(seed);
            if (span > TimeSpan.Zero) await RunForAsync(faults, load, random, log, span, deadline);
            else await RunEachOnceAsync(faults, load, random, deadline);
            await ComeRightAsync(cluster, load, faults, log, seed);
        }
        catch (Exception e)
        {
            log.Keep(cluster);
            throw new TestFailedException(
                $"{e.Message}\n{load.Describe()}\n{ChaosReport.Of(cluster, load, faults, null, log.Elapsed)}\n{cluster.Tails()}", e);
        }
        finally
        {
            await load.DisposeAsync();
        }
    }

    /// <summary>Every kind once, in random order; now and then two at once.</summary>
    private static async Task RunEachOnceAsync(Faults faults, ChaosLoad load, Random random, TestDeadline deadline)
    {
        var given = Environment.GetEnvironmentVariable("GRID_CHAOS_FAULTS") is { Length: > 0 } names ? names : null;
        var kinds = given?.Split(',').Select(Enum.Parse<FaultKind>).ToArray() ?? Enum.GetValues<FaultKind>();
        if (given is null) random.Shuffle(kinds);
        for (var i = 0; i < kinds.Length; i++)
        {
            var together = given is null && i + 1 < kinds.Length && Faults.MayOverlap(kinds[i], kinds[i + 1]) && random.Next(3) == 0;
            var first = faults.RunAsync(kinds[i], random);
            if (together) await Task.WhenAll(first, faults.RunAsync(kinds[++i], random));
            else await first;
            await load.MoreAsync(50, deadline);
        }
    }

    /// <summary>Random kinds for a span; every third together with another.</summary>
    private static async Task RunForAsync(Faults faults, ChaosLoad load, Random random, ChaosLog log, TimeSpan span, TestDeadline deadline)
    {
        var kinds = Enum.GetValues<FaultKind>();
        while (log.Elapsed < span)
        {
            var kind = kinds[random.Next(kinds.Length)];
            var second = kinds[random.Next(kinds.Length)];
            var together = random.Next(3) == 0 && Faults.MayOverlap(kind, second);
            var first = faults.RunAsync(kind, random);
            if (together) await Task.WhenAll(first, faults.RunAsync(second, random));
            else await first;
            await load.MoreAsync(random.Next(20, 400), deadline);
        }
    }

    /// <summary>Nobody helps: all that was hurt must come right by itself.</summary>
    private static async Task ComeRightAsync(TestCluster cluster, ChaosLoad load, Faults faults, ChaosLog log, int seed)
    {
        log.Add("no more faults");
        using var patience = new TestDeadline(Patience);
        await cluster.TogetherAsync(Patience);
        log.Add("all silos are ready and form one cluster");
        await load.MoreAsync(100, patience);
        await load.FinishAsync(patience);
        log.Add("every publish is answered");
        var report = await load.JudgeAsync(patience);
        log.Add($"everybody is at every head\n{ChaosReport.Of(cluster, load, faults, report, log.Elapsed)}");
        report.ThrowIfBroken($"GRID_SEED={seed}");
        string[] odd = [.. load.Oddities, .. faults.Oddities];
        if (odd.Length > 0) throw new TestFailedException($"Nobody expected:\n{string.Join('\n', odd.Take(30))}");
        var unforeseen = cluster.Silos.SelectMany(s => LoggedErrors.UnforeseenOf(s.Host.Output).Select(e => $"{s}, {e.Category}: {e.Text}")).ToList();
        if (unforeseen.Count > 0) throw new TestFailedException($"{unforeseen.Count} errors in logs that nobody foresaw:\n{string.Join('\n', unforeseen.Take(20))}");
    }

    private static int? FromEnvironment(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}

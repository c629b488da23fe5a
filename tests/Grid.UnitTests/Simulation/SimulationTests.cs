using System.Diagnostics;
using System.Globalization;
using Xunit.Abstractions;

namespace Grid.UnitTests.Simulation;

/// <summary>
/// Runs schedules of the simulated grid. In the ordinary test run a few thousand; for a long run set <c>GRID_SIM_SCHEDULES</c>, and
/// <c>GRID_SIM_FIRST</c> for other seeds than the usual ones:
/// <code>GRID_SIM_SCHEDULES=100000 dotnet test tests/Grid.UnitTests -c Release --filter FullyQualifiedName~Simulation</code>
/// A schedule that breaks a promise is told with its seed and its last steps; <c>GRID_SIM_SEED=n</c> replays exactly that one, and
/// leaves the whole trace in the file it names.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int Usual = 2_000;
    private const int LinesShown = 200;

    [Fact]
    public void Every_schedule_keeps_the_promises()
    {
        if (Setting("GRID_SIM_SEED") is { } one)
        {
            Replay(one);
            return;
        }

        var (first, count) = (Setting("GRID_SIM_FIRST") ?? 1, Setting("GRID_SIM_SCHEDULES") ?? Usual);
        var clock = Stopwatch.StartNew();
        var (failed, steps, messages) = (int.MaxValue, 0L, 0L);
        var gate = new Lock();
        var failures = new SortedDictionary<int, string>();
        var running = new System.Collections.Concurrent.ConcurrentDictionary<int, (SimWorld World, long Since)>();
        using var watch = new Timer(_ => File.WriteAllLines("/tmp/sim-running", running.Select(r => $"{r.Key} {r.Value.World.Scheduler.Steps} {clock.ElapsedMilliseconds - r.Value.Since}")), null, 5000, 5000);
        Parallel.For(first, first + count, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, (seed, loop) =>
        {
            var world = new SimWorld(seed, tracing: false);
            running[seed] = (world, clock.ElapsedMilliseconds);
            string? failure = null;
            try
            {
                world.Run();
            }
            catch (Exception e)
            {
                failure = e.Message;
                lock (gate) failures[seed] = failure;
                if (failures.Count >= 12) loop.Break();
            }

            running.TryRemove(seed, out _);
            lock (gate)
            {
                steps += world.Scheduler.Steps;
                messages += world.Store.Channels.Values.Sum(c => c.Epochs.Values.Sum(e => (long)e.Messages.Count));
                if (failure is not null && seed < failed) failed = seed;
            }
        });
        output.WriteLine($"{count} schedules from seed {first} on, {steps:N0} steps, {messages:N0} durable messages, {clock.Elapsed}");
        foreach (var (seed, failure) in failures) output.WriteLine($"seed {seed}: {failure}");
        if (failed != int.MaxValue) Replay(failed);
    }

    [Fact]
    public void A_seed_replays_exactly()
    {
        for (var seed = 1; seed <= 20; seed++) Assert.Equal(TraceOf(seed), TraceOf(seed));

        static List<string> TraceOf(int seed)
        {
            var world = new SimWorld(seed, tracing: true);
            world.Run();

            // Names of sessions and of the epochs of ephemeral channels come from the system's randomness, and decide nothing.
            return [.. world.Scheduler.Lines.Select(l => l[..Math.Min(l.Length, 26)])];
        }
    }

    private static int? Setting(string name) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;

    private void Replay(int seed)
    {
        var world = new SimWorld(seed, tracing: true);
        var failure = "It does not fail when replayed.";
        using var watch = new Timer(_ => File.WriteAllLines("/tmp/sim-stuck", world.Scheduler.Lines.ToArray().TakeLast(60)), null, 5000, 500000);
        try
        {
            world.Run();
            if (Setting("GRID_SIM_SEED") is not null) failure = null;
        }
        catch (Exception e)
        {
            failure = e.ToString();
        }

        var lines = world.Scheduler.Lines;
        var file = Path.Combine(Path.GetTempPath(), $"grid-simulation-{seed}.txt");
        File.WriteAllLines(file, lines);
        output.WriteLine($"The whole trace is in {file}; its last lines:");
        foreach (var line in lines.TakeLast(LinesShown)) output.WriteLine(line);
        Assert.True(failure is null, $"GRID_SIM_SEED={seed}: {failure}");
    }
}

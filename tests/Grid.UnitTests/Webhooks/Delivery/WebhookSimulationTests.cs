using System.Diagnostics;
using System.Globalization;
using Xunit.Abstractions;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>
/// Runs schedules of one webhook subscription. In the ordinary test run some thousands; <c>GRID_SIM_SCHEDULES</c> sets how many,
/// <c>GRID_SIM_FIRST</c> the first seed, and <c>GRID_SIM_SEED=n</c> replays exactly one and leaves its trace in the file it names.
/// </summary>
public sealed class WebhookSimulationTests(ITestOutputHelper output)
{
    private const int Usual = 2_000;
    private const int LinesShown = 150;

    [Fact]
    public void Every_schedule_delivers_everything_and_repeats_nothing_that_was_stored()
    {
        if (Setting("GRID_SIM_SEED") is { } one)
        {
            Replay(one);
            return;
        }

        var (first, count) = (Setting("GRID_SIM_FIRST") ?? 1, Setting("GRID_SIM_SCHEDULES") ?? Usual);
        var clock = Stopwatch.StartNew();
        var (failed, steps, sent, crashes) = (int.MaxValue, 0L, 0L, 0L);
        var gate = new Lock();
        var failures = new SortedDictionary<int, string>();
        Parallel.For(first, first + count, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, (seed, loop) =>
        {
            var world = new WebhookWorld(seed, tracing: false);
            string? failure = null;
            try
            {
                world.Run();
            }
            catch (Exception e)
            {
                failure = e.Message;
            }

            lock (gate)
            {
                (steps, sent, crashes) = (steps + world.Steps, sent + world.Sent, crashes + world.Crashes);
                if (failure is null) return;
                failures[seed] = failure;
                failed = Math.Min(failed, seed);
                if (failures.Count >= 12) loop.Break();
            }
        });
        output.WriteLine($"{count} schedules from seed {first} on, {steps:N0} steps, {sent:N0} attempts, {crashes:N0} crashes, {clock.Elapsed}");
        foreach (var (seed, failure) in failures) output.WriteLine($"seed {seed}: {failure}");
        foreach (var seed in failures.Keys.Skip(1).Take(4)) WriteTrace(seed);
        if (failed != int.MaxValue) Replay(failed);
    }

    [Fact]
    public void A_seed_replays_exactly()
    {
        for (var seed = 1; seed <= 20; seed++) Assert.Equal(TraceOf(seed), TraceOf(seed));

        static List<string> TraceOf(int seed)
        {
            var world = new WebhookWorld(seed, tracing: true);
            world.Run();
            return world.Lines;
        }
    }

    private static int? Setting(string name) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;

    private void Replay(int seed)
    {
        var (file, lines, failure) = WriteTrace(seed);
        foreach (var line in lines.TakeLast(LinesShown)) output.WriteLine(line);
        if (failure is not null) Assert.Fail($"Seed {seed} (its trace is in {file}): {failure}");
    }

    private static (string File, List<string> Lines, string? Failure) WriteTrace(int seed)
    {
        var world = new WebhookWorld(seed, tracing: true);
        string? failure = null;
        try
        {
            world.Run();
        }
        catch (Exception e)
        {
            failure = e.ToString();
        }

        var file = Path.Combine(Path.GetTempPath(), $"grid-webhook-simulation-{seed}.txt");
        File.WriteAllLines(file, world.Lines);
        return (file, world.Lines, failure);
    }
}

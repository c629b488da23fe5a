using System.Collections.Concurrent;
using System.Globalization;
using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Grid.Testing.Wire;

namespace Grid.ClusterTests.Chaos;

/// <summary>Does things to a cluster, one kind at a time or several at once, and sees that each silo comes right afterwards.</summary>
/// <param name="cluster">The cluster.</param>
/// <param name="log">The time line.</param>
/// <param name="longest">The longest that a silo stands still or is cut off.</param>
internal sealed class Faults(TestCluster cluster, ChaosLog log, TimeSpan longest)
{
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(120);
    private readonly Lock _gate = new();
    private readonly HashSet<TestSilo> _hurt = [];
    private TestSilo? _spare;

    /// <summary>How often each kind was done.</summary>
    public ConcurrentDictionary<FaultKind, int> Done { get; } = new();

    /// <summary>What a silo did that it should not have.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>Whether two kinds may be done at the same time: a store and a silo; never two stores, and never two silos of three.</summary>
    public static bool MayOverlap(FaultKind a, FaultKind b) => IsOfStore(a) != IsOfStore(b);

    /// <summary>Does one thing to the cluster; ends when what it was done to has come right.</summary>
    public async Task RunAsync(FaultKind kind, Random random)
    {
        // Every choice before the first wait, so that a seed gives the same ones.
        var (part, number, coin) = (random.NextDouble(), random.Next(), random.Next(2) == 0);
        Done.AddOrUpdate(kind, 1, static (_, n) => n + 1);
        switch (kind)
        {
            case FaultKind.Kill:
                await WithSiloAsync(number, silo => KillAsync(silo, TimeSpan.FromSeconds(3 * part)));
                break;
            case FaultKind.Stop:
                await WithSiloAsync(number, silo => StopAsync(silo, Span(part)));
                break;
            case FaultKind.Drain:
                await WithSiloAsync(number, DrainAsync);
                break;
            case FaultKind.Cut or FaultKind.CutIn or FaultKind.CutOut:
                await WithSiloAsync(number, silo => CutAsync(silo, kind, Span(part)));
                break;
            case FaultKind.Grow:
                await GrowAsync(coin, TimeSpan.FromSeconds(1 + (3 * part)));
                break;
            case FaultKind.PostgresFast or FaultKind.PostgresImmediate:
                await PostgresAsync(kind, TimeSpan.FromSeconds(6 * part));
                break;
            case FaultKind.RedisFlush:
                log.Add("Redis forgets everything");
                await cluster.FlushRedisAsync();
                break;
            case FaultKind.RedisRestart or FaultKind.RedisEmpty:
                await RedisAsync(kind == FaultKind.RedisEmpty, TimeSpan.FromSeconds(5 * part));
                break;
        }
    }

    private static bool IsOfStore(FaultKind kind) => kind is FaultKind.PostgresFast or FaultKind.PostgresImmediate
        or FaultKind.RedisFlush or FaultKind.RedisRestart or FaultKind.RedisEmpty;

    private static string Seconds(TimeSpan span) => span.TotalSeconds.ToString("0.0 s", CultureInfo.InvariantCulture);

    private TimeSpan Span(double part) => TimeSpan.FromSeconds(1 + ((longest.TotalSeconds - 1) * part));

    private async Task WithSiloAsync(int number, Func<TestSilo, Task> fault)
    {
        TestSilo silo;
        lock (_gate)
        {
            var whole = cluster.Running.Where(s => !_hurt.Contains(s)).ToList();
            silo = whole[number % whole.Count];
            _hurt.Add(silo);
        }

        try
        {
            await fault(silo);
        }
        finally
        {
            lock (_gate) _hurt.Remove(silo);
        }
    }

    private async Task KillAsync(TestSilo silo, TimeSpan away)
    {
        log.Add($"{silo} is killed");
        await silo.KillAsync();
        await Task.Delay(away);
        log.Add($"{silo} is started");
        await silo.StartAsync();
        log.Add($"{silo} is ready");
    }

    private async Task DrainAsync(TestSilo silo)
    {
        log.Add($"{silo} is asked to leave");
        var code = await silo.DrainAsync();
        log.Add($"{silo} left with {code} and is started");
        if (code != 0) Oddities.Enqueue($"{silo} left with {code}");
        await silo.StartAsync();
        log.Add($"{silo} is ready");
    }

    private async Task StopAsync(TestSilo silo, TimeSpan span)
    {
        var exits = silo.Exits.Count;
        await using var witness = await WitnessAsync(silo);
        log.Add($"{silo} stands still for {Seconds(span)}");
        silo.Pause();
        await WatchedAsync(silo, span);
        silo.Continue();
        log.Add($"{silo} goes on");
        await ComesRightAsync(silo, exits, witness);
    }

    private async Task CutAsync(TestSilo silo, FaultKind kind, TimeSpan span)
    {
        var exits = silo.Exits.Count;
        var others = cluster.Silos.Where(s => s != silo).ToList();
        await using var witness = await WitnessAsync(silo);
        log.Add($"{silo} is cut off from the others ({kind}) for {Seconds(span)}");
        foreach (var other in others)
        {
            if (kind == FaultKind.CutIn) await TestCluster.CutAsync(other, silo, bothWays: false);
            else await TestCluster.CutAsync(silo, other, bothWays: kind == FaultKind.Cut);
        }

        await WatchedAsync(silo, span);
        foreach (var other in others)
        {
            if (kind == FaultKind.CutIn) await TestCluster.HealAsync(other, silo, bothWays: false);
            else await TestCluster.HealAsync(silo, other, bothWays: kind == FaultKind.Cut);
        }

        log.Add($"{silo} is connected again");
        await ComesRightAsync(silo, exits, witness);
    }

    /// <summary>Lets time pass, and notes when the others declare the silo dead.</summary>
    private async Task WatchedAsync(TestSilo silo, TimeSpan span)
    {
        var began = log.Elapsed;
        var member = true;
        while (log.Elapsed - began < span)
        {
            if (member && await cluster.IsMemberAsync(silo) == false)
            {
                member = false;
                log.Add($"{silo} was declared dead after {Seconds(log.Elapsed - began)}");
            }

            await Task.Delay(100);
        }
    }

    /// <summary>
    /// A silo that others may have declared dead either is still a part of the cluster, or ends, with its sockets. Nothing in between:
    /// one that lives on without being a part of it would keep clients that get nothing.
    /// </summary>
    private async Task ComesRightAsync(TestSilo silo, int exitsBefore, RawClient? witness)
    {
        using var deadline = new TestDeadline(Recovery);
        await deadline.UntilAsync(
            async () => await cluster.IsMemberAsync(silo) == true && silo.Ready && silo.Host.IsRunning,
            () => $"{silo} is a part of the cluster again, or a new one in its place is; it ended by itself {silo.Exits.Count - exitsBefore} times");
        var ended = silo.Exits.Skip(exitsBefore).ToList();
        log.Add($"{silo} is a part of the cluster{(ended.Count > 0 ? $"; it had ended by itself with {string.Join(", ", ended)}" : "")}");
        if (ended.Count > 0 && witness is not null) await witness.ClosedAsync();
    }

    /// <summary>A socket on the silo; null if it takes none at this moment.</summary>
    private static async Task<RawClient?> WitnessAsync(TestSilo silo)
    {
        try
        {
            return await silo.OpenAsync("witness");
        }
        catch (Exception e) when (e is System.Net.WebSockets.WebSocketException or TestFailedException)
        {
            return null;
        }
    }

    private async Task GrowAsync(bool drained, TimeSpan span)
    {
        log.Add("a silo joins");
        var silo = _spare;
        if (silo is null) _spare = silo = await cluster.AddAsync();
        else await silo.StartAsync();
        lock (_gate) _hurt.Add(silo);
        log.Add($"{silo} is ready");
        await Task.Delay(span);
        if (drained)
        {
            log.Add($"{silo} left with {await silo.DrainAsync()}");
        }
        else
        {
            await silo.KillAsync();
            log.Add($"{silo} was killed and stays away");
        }

        lock (_gate) _hurt.Remove(silo);
    }

    private async Task PostgresAsync(FaultKind kind, TimeSpan away)
    {
        log.Add($"PostgreSQL is stopped ({kind}) for {Seconds(away)}");
        if (kind == FaultKind.PostgresFast) await cluster.Postgres.StopAsync();
        else await cluster.Postgres.StopImmediatelyAsync();
        await Task.Delay(away);
        await cluster.Postgres.StartAsync();
        log.Add("PostgreSQL is there again");
    }

    private async Task RedisAsync(bool empty, TimeSpan away)
    {
        log.Add($"Redis is killed for {Seconds(away)}{(empty ? " and will be empty" : "")}");
        await cluster.RestartRedisAsync(empty, away);
        log.Add("Redis is there again");
    }
}

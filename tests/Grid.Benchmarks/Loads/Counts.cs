using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>What a cluster's stores had done at a moment.</summary>
/// <param name="Commits">Transactions that PostgreSQL committed.</param>
/// <param name="Commands">Commands that Redis carried out.</param>
internal readonly record struct Counts(long Commits, long Commands)
{
    /// <summary>Asks the stores; zeros without a cluster.</summary>
    public static Counts Of(GridCluster? cluster) => cluster is null ? default
        : new Counts(cluster.CountCommitsAsync().GetAwaiter().GetResult(), cluster.CountRedisCommandsAsync().GetAwaiter().GetResult());

    /// <summary>What they did since, in words.</summary>
    public string Since(GridCluster? cluster)
    {
        var now = Of(cluster);
        return cluster is null ? "" : FormattableString.Invariant(
            $"PostgreSQL: {now.Commits - Commits} commits, {cluster.CountConnectionsAsync().GetAwaiter().GetResult()} connections; Redis: {now.Commands - Commands} commands");
    }
}

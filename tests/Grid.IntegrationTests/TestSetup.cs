using Xunit.Abstractions;

// Most classes wait more than they work: for hosts to start and stop, for windows and intervals to end. More at once than there are
// processors, then, of those; what loads the machine has it for itself, afterwards.
[assembly: CollectionBehavior(MaxParallelThreads = 4)]
[assembly: TestCollectionOrderer("Grid.IntegrationTests.LongestFirst", "Grid.IntegrationTests")]

namespace Grid.IntegrationTests;

/// <summary>Begins with the classes that share a host and with others that are a long row each, so that none of them is left over at the end.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] LongRows =
    [
        nameof(Lifecycle.LifecycleTests), nameof(Playground.HooksTests), nameof(Playground.PlaygroundTests), nameof(Telemetry.PrometheusTests),
        nameof(Telemetry.OtlpTests), nameof(Webhooks.WebhookRefusalTests),
    ];

    /// <inheritdoc/>
    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(static c => c.CollectionDefinition is null)
            .ThenBy(static c => !LongRows.Any(name => c.DisplayName.EndsWith('.' + name, StringComparison.Ordinal)))
            .ThenBy(static c => c.DisplayName, StringComparer.Ordinal);
}

/// <summary>
/// Tests that load the machine, measure a host, or are about missing something in time: one after the other, while no other test runs.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneTests
{
    public const string Name = "alone";
}

using Xunit.Abstractions;

// Most classes wait more than they work: for hosts to start and stop, for windows and intervals to end. More at once than there are
// processors, then, of those; what loads the machine has it for itself, afterwards.
[assembly: CollectionBehavior(MaxParallelThreads = 4)]
[assembly: TestCollectionOrderer("Grid.IntegrationTests.LongestFirst", "Grid.IntegrationTests")]

namespace Grid.IntegrationTests;

/// <summary>Begins with the classes that share a host, each of which is a long row, so that none of them is left over at the end.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    /// <inheritdoc/>
    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(static c => c.CollectionDefinition is null).ThenBy(static c => c.DisplayName, StringComparer.Ordinal);
}

/// <summary>
/// Tests that load the machine, measure a host, or are about missing something in time: one after the other, while no other test runs.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneTests
{
    public const string Name = "alone";
}

// Most classes wait more than they work: for hosts to start and stop, for windows and intervals to end. More at once than there are
// processors, then, of those; what loads the machine has it for itself, afterwards.
[assembly: CollectionBehavior(MaxParallelThreads = 4)]

namespace Grid.IntegrationTests;

/// <summary>
/// Tests that load the machine, measure a host, or are about missing something in time: one after the other, while no other test runs.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneTests
{
    public const string Name = "alone";
}

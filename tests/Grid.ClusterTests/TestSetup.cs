// Most classes wait more than they work: for stores to go and come back, for windows to end. More at once than there are processors, then,
// of those; what loads the machine has it for itself, afterwards.
[assembly: CollectionBehavior(MaxParallelThreads = 4)]

namespace Grid.ClusterTests;

/// <summary>Tests that load the machine, or that a loaded machine would disturb: one after the other, while no other test runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneTests
{
    public const string Name = "alone";
}

namespace Grid.Server.Relay;

/// <summary>Where work that nobody waits for runs: on the thread pool; in a simulation, in its own time.</summary>
internal sealed class WorkQueue(Action<IThreadPoolWorkItem> queue)
{
    /// <summary>The thread pool.</summary>
    public static WorkQueue Pool { get; } = new(static item => ThreadPool.UnsafeQueueUserWorkItem(item, preferLocal: false));

    /// <summary>Runs an item soon, on another thread than the caller's.</summary>
    public void Add(IThreadPoolWorkItem item) => queue(item);
}

using System.Threading.Tasks.Sources;

namespace Grid.Server.Relay;

/// <summary>
/// Waits until everything had its turn that stood in a <see cref="WorkQueue"/> already. Whoever awaits goes on where it was, a grain on
/// its own scheduler. One wait at a time; nothing is allocated for it.
/// </summary>
internal sealed class QueueTurn(WorkQueue queue) : IThreadPoolWorkItem, IValueTaskSource
{
    private ManualResetValueTaskSourceCore<bool> _turn;

    /// <summary>Begins the wait.</summary>
    public ValueTask WaitAsync()
    {
        _turn.Reset();
        queue.Add(this);
        return new ValueTask(this, _turn.Version);
    }

    void IThreadPoolWorkItem.Execute() => _turn.SetResult(true);

    void IValueTaskSource.GetResult(short token) => _turn.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _turn.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _turn.OnCompleted(continuation, state, token, flags);
}

namespace Grid.Client;

/// <summary>
/// An auto-reset event for one waiter at a time. The waiter looks at its state before every wait, so any number of
/// <see cref="Set"/> calls between two waits count as one. Continuations never run inside <see cref="Set"/>.
/// </summary>
internal sealed class AsyncSignal
{
    private readonly Lock _gate = new();
    private TaskCompletionSource? _waiter;
    private bool _isSet;

    /// <summary>Wakes the waiter, or lets the next wait pass at once.</summary>
    public void Set()
    {
        lock (_gate)
        {
            // A waiter that was cancelled may get this: harmless, because whoever waits next looks at its state first.
            if (_waiter is { } waiter)
            {
                _waiter = null;
                waiter.TrySetResult();
            }
            else
            {
                _isSet = true;
            }
        }
    }

    /// <summary>Waits for <see cref="Set"/>.</summary>
    public Task WaitAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            if (_isSet)
            {
                _isSet = false;
                return Task.CompletedTask;
            }

            _waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _waiter.Task.WaitAsync(cancellationToken);
        }
    }
}

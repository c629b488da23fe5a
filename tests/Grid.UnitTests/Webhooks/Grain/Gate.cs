namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>Holds up who comes to it until it is opened, and tells that somebody came.</summary>
internal sealed class Gate
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when somebody has come.</summary>
    public Task Reached => _reached.Task.WaitAsync(TimeSpan.FromSeconds(20));

    /// <summary>Ends when it is open.</summary>
    public Task PassAsync()
    {
        _reached.TrySetResult();
        return _open.Task;
    }

    /// <summary>Lets everybody through.</summary>
    public void Open() => _open.TrySetResult();
}

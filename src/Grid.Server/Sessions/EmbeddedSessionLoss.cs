namespace Grid.Server.Sessions;

/// <summary>On one machine, state was last lost when the process started: what had not been written when the one before it died.</summary>
internal sealed class EmbeddedSessionLoss(TimeProvider time) : ISessionLoss
{
    private readonly long _since = time.GetTimestamp();

    /// <inheritdoc/>
    public ValueTask<bool> MayHaveHappenedAsync(TimeSpan window) => ValueTask.FromResult(time.GetElapsedTime(_since) <= window);
}

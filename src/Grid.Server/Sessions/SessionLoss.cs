namespace Grid.Server.Sessions;

/// <summary>
/// Knows when session state may last have been lost. On one machine that is the start of the process: what had not been written when
/// the one before it died is gone. A session that is unknown longer than its window after that has expired, and is not rebuilt.
/// </summary>
internal sealed class SessionLoss(TimeProvider time)
{
    private readonly long _since = time.GetTimestamp();

    /// <summary>Whether state that is missing may have been lost less than <paramref name="window"/> ago.</summary>
    public bool MayHaveHappened(TimeSpan window) => time.GetElapsedTime(_since) <= window;
}

namespace Grid.Server.Sessions;

/// <summary>
/// Knows when session state may last have been lost. A session that is unknown longer than its window after that has expired, and is
/// not rebuilt.
/// </summary>
internal interface ISessionLoss
{
    /// <summary>
    /// Whether state that is missing now may have been lost less than <paramref name="window"/> ago. The answer is of this moment: a
    /// loss half a second ago is seen.
    /// </summary>
    /// <exception cref="Log.LogUnavailableException">What knows is out of reach.</exception>
    ValueTask<bool> MayHaveHappenedAsync(TimeSpan window);
}

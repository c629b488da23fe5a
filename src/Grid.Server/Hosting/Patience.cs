namespace Grid.Server.Hosting;

/// <summary>
/// Repeats calls that a silo's end cut off, until the cluster has noticed it and the call finds the grain somewhere else. Only for
/// calls that may be repeated. A store that is away is not waited for: its own client has tried already.
/// </summary>
internal static class Patience
{
    /// <summary>How long a client's hello or subscribe is tried for: longer than a crashed silo takes to be noticed.</summary>
    public static readonly TimeSpan ForClient = TimeSpan.FromSeconds(8);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>Calls until there is an answer; the last failure is thrown once <paramref name="limit"/> has passed.</summary>
    public static async Task<T> CallAsync<T>(Func<Task<T>> call, TimeProvider time, TimeSpan limit)
    {
        var started = time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (Exception e) when (Outage.Is(e) && !Outage.IsOfStore(e) && time.GetElapsedTime(started) < limit)
            {
            }

            await Task.Delay(Pause * Math.Min(attempt, 10), time, CancellationToken.None);
        }
    }
}

namespace Grid.Server.Hosting;

/// <summary>
/// Repeats calls that a silo's end cut off, until the cluster has noticed it and the call finds the grain somewhere else. Only for
/// calls that may be repeated. A store that is away is not waited for unless asked: its own client has tried already.
/// </summary>
/// <remarks>
/// When a silo dies, the calls of all its sessions fail at once, and each try that fails costs its silo a hundred times what one that
/// succeeds does. So they wait for the news that the cluster has changed (<see cref="OnClusterChanged"/>) rather than ask again and
/// again. The pauses between tries, which grow from 50 ms to 1 s, are for what no such news follows, and longer the more calls wait:
/// together these make no more than some hundred tries a second.
/// </remarks>
internal sealed class Patience(TimeProvider time)
{
    /// <summary>How long a client's hello or subscribe is tried for: longer than a crashed silo takes to be noticed.</summary>
    public static readonly TimeSpan ForClient = TimeSpan.FromSeconds(8);

    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    /// <summary>What each call that waits adds to the pauses of all.</summary>
    private static readonly TimeSpan PausePerWaiting = TimeSpan.FromMilliseconds(3);

    private static readonly TimeSpan LongestCrowdedPause = TimeSpan.FromSeconds(3);

    private TaskCompletionSource _changed = New();
    private int _waiting;

    /// <summary>A silo has gone: what failed because of it may succeed now.</summary>
    public void OnClusterChanged() => Interlocked.Exchange(ref _changed, New()).SetResult();

    /// <summary>Calls until there is an answer; the last failure is thrown once <paramref name="limit"/> has passed.</summary>
    /// <param name="call">The call, which may be repeated.</param>
    /// <param name="limit">How long to try.</param>
    /// <param name="storeToo">Whether a store that is away is waited for as well: for what has no other occasion.</param>
    public async Task<T> CallAsync<T>(Func<Task<T>> call, TimeSpan limit, bool storeToo = false)
    {
        var started = time.GetTimestamp();
        for (var pause = ShortestPause; ; pause = Longer(pause))
        {
            // Taken before the call: news that comes while it fails counts.
            var changed = Volatile.Read(ref _changed).Task;
            try
            {
                return await call();
            }
            catch (Exception e) when (Outage.Is(e) && (storeToo || !Outage.IsOfStore(e)) && time.GetElapsedTime(started) < limit)
            {
            }
            catch (OperationCanceledException e)
            {
                throw new TimeoutException("The call expired before its grain was found.", e);
            }

            // What fails right after the news (others may not have heard it yet) is tried again as soon as what failed first.
            if (await PauseAsync(pause, changed)) pause = ShortestPause / 2;
        }
    }

    /// <summary>Waits; true: for the news.</summary>
    private async Task<bool> PauseAsync(TimeSpan pause, Task changed)
    {
        var crowded = Interlocked.Increment(ref _waiting) * PausePerWaiting;
        if (crowded > LongestCrowdedPause) crowded = LongestCrowdedPause;
        using var enough = new CancellationTokenSource();
        await Task.WhenAny(Task.Delay(crowded > pause ? crowded : pause, time, enough.Token), changed);
        Interlocked.Decrement(ref _waiting);
        enough.Cancel();
        return changed.IsCompleted;
    }

    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < LongestPause ? pause * 2 : LongestPause;

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

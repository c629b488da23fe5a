namespace Grid.Client;

/// <summary>
/// Full-jitter backoff: the n-th delay is uniform in [0, min(max, min × 2ⁿ)]. Uniform from zero, because clients that lost the
/// same silo must not come back in step. Not thread-safe; no clock: the caller passes the time.
/// </summary>
internal sealed class Backoff(TimeSpan min, TimeSpan max, Random random)
{
    /// <summary>
    /// How long a connection must have lived for the next failure to count as the first: without it, a server that accepts and
    /// closes at once would be hammered at the lowest delay for ever.
    /// </summary>
    public static readonly TimeSpan StableAfter = TimeSpan.FromSeconds(5);

    private int _attempt;
    private TimeSpan? _connectedAt;

    /// <summary>How many delays were given since the last stable connection.</summary>
    public int Attempt => _attempt;

    /// <summary>A connection was welcomed.</summary>
    public void Connected(TimeSpan now) => _connectedAt = now;

    /// <summary>Starts again at the lowest delay.</summary>
    public void Reset() => _attempt = 0;

    /// <summary>The delay before the next attempt.</summary>
    public TimeSpan Next(TimeSpan now)
    {
        if (_connectedAt is { } since && now - since >= StableAfter) _attempt = 0;
        _connectedAt = null;
        var ceiling = Ceiling(_attempt);
        _attempt++;
        return random.NextDouble() * ceiling;
    }

    /// <summary>The longest delay that attempt <paramref name="attempt"/> (0 for the first) can be given.</summary>
    public TimeSpan Ceiling(int attempt)
    {
        // 2^30 × 1 ms is beyond any sensible maximum, and the product stays far from overflow.
        var factor = Math.Pow(2, Math.Min(attempt, 30));
        return min * factor < max ? min * factor : max;
    }
}

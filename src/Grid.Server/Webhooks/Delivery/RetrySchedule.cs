namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// When a message is attempted again: the delay before each attempt, counted from the failure of the one before. A pure function of
/// the attempt and a random number.
/// </summary>
/// <remarks>
/// The default is the one that the Standard Webhooks specification suggests: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h,
/// 14 h, 20 h and 24 h. Each delay is spread by ±20 %, so that what failed together does not come back together.
/// </remarks>
internal sealed class RetrySchedule
{
    /// <summary>The most attempts that a schedule may have.</summary>
    public const int MaxAttempts = 32;

    /// <summary>The longest delay between two attempts.</summary>
    public static readonly TimeSpan MaxDelay = TimeSpan.FromDays(3);

    /// <summary>How far a delay may be from the one that the schedule states, as a part of it.</summary>
    public const double Jitter = 0.2;

    private readonly long[] _delaysMs;

    private RetrySchedule(long[] delaysMs) => _delaysMs = delaysMs;

    /// <summary>The schedule of a subscription that names none: ten attempts over about three days.</summary>
    public static RetrySchedule Default { get; } =
        new([0, 5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000]);

    /// <summary>How many attempts a message gets before it is exhausted.</summary>
    public int Attempts => _delaysMs.Length;

    /// <summary>
    /// Makes a subscription's own schedule. The first attempt is always made at once: a first delay that is not 0 counts as the one
    /// before the second attempt.
    /// </summary>
    /// <param name="seconds">The delays in seconds.</param>
    /// <param name="schedule">The schedule; null when there is an error.</param>
    /// <param name="error">What is wrong; null when nothing is.</param>
    public static bool TryCreate(IReadOnlyList<double> seconds, out RetrySchedule? schedule, out string? error)
    {
        schedule = null;
        var implied = seconds.Count > 0 && seconds[0] > 0 ? 1 : 0;
        error = seconds.Count == 0 ? "A retry schedule needs at least one delay."
            : seconds.Count + implied > MaxAttempts ? $"A retry schedule makes at most {MaxAttempts} attempts."
            : seconds.Any(s => !double.IsFinite(s) || s < 0 || s > MaxDelay.TotalSeconds)
                ? $"A delay of a retry schedule is between 0 and {MaxDelay.TotalSeconds:0} seconds."
                : null;
        if (error is not null) return false;
        var delays = new long[seconds.Count + implied];
        for (var i = 0; i < seconds.Count; i++) delays[i + implied] = (long)(seconds[i] * 1000);
        schedule = new RetrySchedule(delays);
        return true;
    }

    /// <summary>The delay before the next attempt in milliseconds, or null when the message is exhausted.</summary>
    /// <param name="attempts">How many attempts were made.</param>
    /// <param name="random">A random number of at least 0 and less than 1.</param>
    public long? DelayMs(int attempts, double random) =>
        attempts >= _delaysMs.Length ? null : Spread(_delaysMs[Math.Max(0, attempts)], random);

    /// <summary>The last delay, for a message that is attempted for ever.</summary>
    /// <param name="random">A random number of at least 0 and less than 1.</param>
    public long LastDelayMs(double random) => Spread(Math.Max(1_000, _delaysMs[^1]), random);

    /// <summary>Moves a delay by up to ±20 %.</summary>
    internal static long Spread(long delayMs, double random) => (long)(delayMs * (1 - Jitter + (2 * Jitter * random)));
}

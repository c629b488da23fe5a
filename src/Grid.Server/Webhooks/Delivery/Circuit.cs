namespace Grid.Server.Webhooks.Delivery;

/// <summary>When an endpoint counts as dead, and how it is looked after.</summary>
internal sealed record CircuitSettings
{
    /// <summary>The defaults.</summary>
    public static CircuitSettings Default { get; } = new();

    /// <summary>Failures in a row that open the circuit. Default: 10.</summary>
    public int ConsecutiveFailures { get; init; } = 10;

    /// <summary>The part of failures that opens it. Default: 0.7.</summary>
    public double FailureRate { get; init; } = 0.7;

    /// <summary>How many attempts it takes for the part to count. Default: 10.</summary>
    public int MinimumAttempts { get; init; } = 10;

    /// <summary>Over how long the part is counted, in milliseconds. Default: 5 minutes.</summary>
    public long RateWindowMs { get; init; } = 300_000;

    /// <summary>The time to the first probe, in milliseconds; it doubles with each that fails. Default: 30 seconds.</summary>
    public long FirstProbeMs { get; init; } = 30_000;

    /// <summary>The longest time between probes, in milliseconds. Default: 1 hour.</summary>
    public long MaxProbeMs { get; init; } = 3_600_000;

    /// <summary>After how long without success the subscription is disabled, in milliseconds since the circuit opened. Default: 5 days.</summary>
    public long DeadAfterMs { get; init; } = 5L * 24 * 3_600_000;
}

/// <summary>What is stored of a circuit that is open.</summary>
/// <param name="OpenedAt">When it opened, in Unix milliseconds; 0: it is closed.</param>
/// <param name="ProbeAt">When the next probe is due.</param>
/// <param name="BackoffMs">The time between the last probe and the next.</param>
internal readonly record struct CircuitRecord(long OpenedAt, long ProbeAt, long BackoffMs);

/// <summary>
/// Tells a dead endpoint from one that fails now and then. Closed, everything is sent. Open, nothing is, but for one probe at a time,
/// after 30 s, 1 min, 2 min and so on up to 1 h; one success closes it. What is known of the past 5 minutes is ten pairs of counts.
/// </summary>
internal sealed class Circuit(CircuitSettings settings)
{
    private const int Buckets = 10;

    private readonly (long Slot, int Delivered, int Failed)[] _buckets = new (long, int, int)[Buckets];
    private long _openedAt;
    private long _probeAt;
    private long _backoffMs;

    /// <summary>Whether the endpoint is taken for dead.</summary>
    public bool IsOpen => _openedAt > 0;

    /// <summary>When it opened, in Unix milliseconds; 0 while it is closed.</summary>
    public long OpenedAt => _openedAt;

    /// <summary>When the next probe is due, in Unix milliseconds; means something only while it is open.</summary>
    public long ProbeAt => _probeAt;

    /// <summary>Failures since the last success.</summary>
    public int Consecutive { get; private set; }

    /// <summary>What to store.</summary>
    public CircuitRecord Record => new(_openedAt, _probeAt, _backoffMs);

    /// <summary>Takes over what was stored. The counts of the past minutes are not stored: they are worth no write.</summary>
    public void Restore(CircuitRecord record) => (_openedAt, _probeAt, _backoffMs) = record;

    /// <summary>Whether the endpoint has had no success for so long that it should be disabled.</summary>
    public bool IsDead(long nowMs) => IsOpen && nowMs - _openedAt >= settings.DeadAfterMs;

    /// <summary>A request was delivered. True: the circuit was open and is closed by it.</summary>
    public bool OnDelivered(long nowMs)
    {
        var wasOpen = IsOpen;
        if (wasOpen) Close();
        Consecutive = 0;
        BucketAt(nowMs).Delivered++;
        return wasOpen;
    }

    /// <summary>A request failed. True: the circuit was closed and is opened by it.</summary>
    /// <param name="nowMs">The time.</param>
    /// <param name="random">A random number of at least 0 and less than 1, to spread probes.</param>
    public bool OnFailed(long nowMs, double random)
    {
        // What was on its way when the circuit opened tells nothing new: only probes move it, see OnProbeFailed.
        if (IsOpen) return false;
        Consecutive++;
        BucketAt(nowMs).Failed++;
        if (Consecutive < settings.ConsecutiveFailures && !RateIsReached(nowMs)) return false;
        _openedAt = nowMs;
        _backoffMs = settings.FirstProbeMs;
        _probeAt = nowMs + RetrySchedule.Spread(_backoffMs, random);
        return true;
    }

    /// <summary>A probe failed: the next is due after twice the time.</summary>
    public void OnProbeFailed(long nowMs, double random)
    {
        if (!IsOpen) return;
        _backoffMs = Math.Min(_backoffMs * 2, settings.MaxProbeMs);
        _probeAt = nowMs + RetrySchedule.Spread(_backoffMs, random);
    }

    /// <summary>A probe told nothing (the endpoint asked to wait, or it never got there): the next is due after the same time.</summary>
    public void OnProbeUndecided(long nowMs, double random)
    {
        if (IsOpen) _probeAt = nowMs + RetrySchedule.Spread(_backoffMs, random);
    }

    /// <summary>Forgets everything, for a subscription that is enabled again.</summary>
    public void Close()
    {
        (_openedAt, _probeAt, _backoffMs, Consecutive) = (0, 0, 0, 0);
        Array.Clear(_buckets);
    }

    private bool RateIsReached(long nowMs)
    {
        var (delivered, failed, current) = (0, 0, Slot(nowMs));
        foreach (var bucket in _buckets)
        {
            if (bucket.Slot <= current - Buckets || bucket.Slot > current) continue;
            delivered += bucket.Delivered;
            failed += bucket.Failed;
        }

        return delivered + failed >= settings.MinimumAttempts && failed >= settings.FailureRate * (delivered + failed);
    }

    private ref (long Slot, int Delivered, int Failed) BucketAt(long nowMs)
    {
        var slot = Slot(nowMs);
        ref var bucket = ref _buckets[slot % Buckets];
        if (bucket.Slot != slot) bucket = (slot, 0, 0);
        return ref bucket;
    }

    private long Slot(long nowMs) => nowMs / Math.Max(1, settings.RateWindowMs / Buckets);
}

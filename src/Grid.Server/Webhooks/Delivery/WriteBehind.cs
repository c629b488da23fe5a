namespace Grid.Server.Webhooks.Delivery;

/// <summary>A write to make: first the effects in order, then the snapshot. Best in one transaction, where one store has all.</summary>
/// <param name="Effects">What to do.</param>
/// <param name="Snapshot">What to store: the header, and the channels that changed since the last write that was made.</param>
internal sealed record WebhookWrite(IReadOnlyList<WebhookEffect> Effects, WebhookSnapshot Snapshot)
{
    /// <summary>
    /// Whether somebody waits until it can't be lost any more. Of others a power failure may take the last moment's, as long as none of
    /// a later one is kept: that repeats deliveries, and nothing else.
    /// </summary>
    public bool IsAwaited { get; init; }
}

/// <summary>
/// Decides when a subscription is written: after so many acknowledgements, or so long after a change. One write is under way at a
/// time; what changes meanwhile goes with the next. A write that failed is made again, with what came since.
/// </summary>
internal sealed class WriteBehind(DeliveryLimits limits)
{
    private const long FirstRetryMs = 250;
    private const long MaxRetryMs = 10_000;

    private readonly List<WebhookEffect> _effects = [];
    private int _acks;
    private int _acksUnderWay;
    private int _effectsUnderWay;
    private long _due = long.MaxValue;
    private long _notBefore;
    private long _retryMs;

    /// <summary>Whether a write's end is awaited.</summary>
    public bool IsUnderWay { get; private set; }

    /// <summary>Acknowledgements and effects that are not stored.</summary>
    public int Unwritten => _acks + _acksUnderWay + _effects.Count;

    /// <summary>The effects that are not stored.</summary>
    public IReadOnlyList<WebhookEffect> Effects => _effects;

    /// <summary>When the next write is due, in Unix milliseconds; <see cref="long.MaxValue"/> while there is none to make.</summary>
    public long Due => IsUnderWay ? long.MaxValue : _due == long.MaxValue ? _due : Math.Max(_due, _notBefore);

    /// <summary>Notes an acknowledgement.</summary>
    public void Acknowledged(long nowMs)
    {
        _acks++;
        _due = Math.Min(_due, _acks >= limits.WriteAfterAcks ? nowMs : nowMs + limits.WriteAfterMs);
    }

    /// <summary>Notes a change.</summary>
    public void Changed(long nowMs) => _due = Math.Min(_due, nowMs + limits.WriteAfterMs);

    /// <summary>Notes progress over messages that no one wanted.</summary>
    public void PassedOver(long nowMs) => _due = Math.Min(_due, nowMs + limits.WriteSkippedAfterMs);

    /// <summary>Adds an effect.</summary>
    /// <param name="effect">The effect.</param>
    /// <param name="nowMs">The time.</param>
    /// <param name="atOnce">Whether somebody waits for it.</param>
    public void Add(WebhookEffect effect, long nowMs, bool atOnce = false)
    {
        _effects.Add(effect);
        _due = Math.Min(_due, atOnce ? nowMs : nowMs + limits.WriteAfterMs);
    }

    /// <summary>Starts a write; the caller takes the snapshot in the same step.</summary>
    public WebhookEffect[] Begin()
    {
        IsUnderWay = true;
        (_acksUnderWay, _acks) = (_acks, 0);
        _effectsUnderWay = _effects.Count;
        _due = long.MaxValue;
        return [.. _effects];
    }

    /// <summary>Ends a write, and returns the effects that are done.</summary>
    public WebhookEffect[] End(bool written, long nowMs)
    {
        IsUnderWay = false;
        if (!written)
        {
            _acks += _acksUnderWay;
            _acksUnderWay = 0;
            _retryMs = Math.Clamp(_retryMs * 2, FirstRetryMs, MaxRetryMs);
            _due = _notBefore = nowMs + _retryMs;
            return [];
        }

        (_acksUnderWay, _retryMs, _notBefore) = (0, 0, 0);
        WebhookEffect[] done = [.. _effects.Take(_effectsUnderWay)];
        _effects.RemoveRange(0, _effectsUnderWay);
        return done;
    }
}

namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// How many requests may be on their way to an endpoint at once: found out by additive increase and multiplicative decrease, as TCP
/// does (RFC 5681), since an endpoint's capacity is just as unknown and changes just as much.
/// </summary>
/// <remarks>
/// <para>Grows by <see cref="Growth"/> per window of deliveries, by one per delivery while in slow start, and only when the window was
/// what limited the sender: an idle subscription learns nothing about what its endpoint can take. It also stays when answers take more
/// than twice as long as the endpoint's best, for then more requests only queue up over there.</para>
/// <para>Halves when the endpoint fails under load (no answer, 5xx, 429, 503), once for all requests that were on their way together;
/// an answer that refuses just one message (other 4xx) says nothing about load. After the circuit was open it starts at one.</para>
/// </remarks>
internal sealed class AdaptiveWindow(int initial, int max)
{
    private const double Growth = 4;
    private const double SlowLatencyMs = 20;

    private double _size = initial;
    private double _threshold = initial;
    private long _roundEnd;
    private double _best = double.NaN;
    private double _usual = double.NaN;

    /// <summary>The window: at least 1.</summary>
    public int Size => (int)_size;

    /// <summary>How long an answer usually takes, in milliseconds; 0 when none came yet.</summary>
    public int UsualMs => double.IsNaN(_usual) ? 0 : (int)_usual;

    /// <summary>Takes over the size that an earlier activation had found.</summary>
    public void Restore(int size) => _size = _threshold = Math.Clamp(size, 1, max);

    /// <summary>A request was answered well.</summary>
    /// <param name="wasFull">Whether the window was in use when it was sent.</param>
    /// <param name="tookMs">How long it took.</param>
    public void OnDelivered(bool wasFull, long tookMs)
    {
        Learn(tookMs);
        if (!wasFull) return;
        if (_size < _threshold) _size = Math.Min(_size + 1, _threshold);
        else if (_usual <= (2 * _best) + SlowLatencyMs) _size = Math.Min(_size + (Growth / _size), max);
    }

    /// <summary>A request failed in a way that may come from load.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="next">The number that the next request will have.</param>
    public void OnOverload(long number, long next)
    {
        if (number < _roundEnd) return;
        _roundEnd = next;
        _size = _threshold = Math.Max(1, _size / 2);
    }

    /// <summary>Starts again with one request, to double with every window delivered up to where it was.</summary>
    public void SlowStart()
    {
        _threshold = Math.Max(initial, _threshold);
        _size = 1;
    }

    private void Learn(long tookMs)
    {
        if (double.IsNaN(_usual))
        {
            _best = _usual = tookMs;
            return;
        }

        // The best is forgotten slowly, so that an endpoint that moved further away is not measured against its past for ever.
        _usual += (tookMs - _usual) / 16;
        _best = tookMs < _best ? tookMs : _best + ((tookMs - _best) / 500);
    }
}

namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// Limits a rate: tokens drip in evenly up to a burst, and each request takes one. Holds two numbers and is given the time; a clock
/// that goes back stops the dripping until it has caught up.
/// </summary>
internal sealed class TokenBucket
{
    private readonly double _perMs;
    private readonly double _burst;
    private double _tokens;
    private long _at;

    /// <summary>Makes a full bucket.</summary>
    /// <param name="perSecond">Tokens per second; more than 0.</param>
    /// <param name="nowMs">The time in Unix milliseconds.</param>
    /// <param name="burst">The most tokens that gather. Default: what a second brings, but at least one.</param>
    public TokenBucket(double perSecond, long nowMs, double? burst = null)
    {
        if (!(perSecond > 0) || !double.IsFinite(perSecond)) throw new ArgumentOutOfRangeException(nameof(perSecond));
        _perMs = perSecond / 1000;
        _burst = Math.Max(1, burst ?? perSecond);
        (_tokens, _at) = (_burst, nowMs);
    }

    /// <summary>Whether a token is there.</summary>
    public bool HasToken(long nowMs)
    {
        Fill(nowMs);
        return _tokens >= 1;
    }

    /// <summary>Takes a token, if there is one.</summary>
    public bool TryTake(long nowMs)
    {
        if (!HasToken(nowMs)) return false;
        _tokens -= 1;
        return true;
    }

    /// <summary>When the next token is there, in Unix milliseconds; now if one is.</summary>
    public long NextAt(long nowMs) => HasToken(nowMs) ? nowMs : _at + Math.Max(1, (long)Math.Ceiling((1 - _tokens) / _perMs));

    private void Fill(long nowMs)
    {
        if (nowMs <= _at) return;

        // The small excess makes up for rounding, so that a token is there when NextAt said it would be.
        _tokens = Math.Min(_burst, _tokens + ((nowMs - _at) * _perMs) + 1e-9);
        _at = nowMs;
    }
}

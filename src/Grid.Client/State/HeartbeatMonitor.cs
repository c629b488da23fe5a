namespace Grid.Client;

/// <summary>What a silent connection asks for.</summary>
internal enum HeartbeatAction
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Send a ping, so that a live server says something.</summary>
    Ping,

    /// <summary>The connection is dead: leave it.</summary>
    Dead,
}

/// <summary>
/// Finds half-open connections: after one heartbeat without a frame it asks for a ping, after <c>misses</c> heartbeats it gives the
/// connection up. Not thread-safe; no clock.
/// </summary>
internal sealed class HeartbeatMonitor(TimeSpan heartbeat, int misses, TimeSpan now)
{
    private TimeSpan _lastReceived = now;
    private bool _pinged;

    /// <summary>When to call <see cref="Check"/> next.</summary>
    public TimeSpan NextAt => _lastReceived + (_pinged ? heartbeat * misses : heartbeat);

    /// <summary>A frame of any kind arrived.</summary>
    public void Received(TimeSpan at)
    {
        _lastReceived = at;
        _pinged = false;
    }

    /// <summary>What is due at <paramref name="at"/>.</summary>
    public HeartbeatAction Check(TimeSpan at)
    {
        var silence = at - _lastReceived;
        if (silence >= heartbeat * misses) return HeartbeatAction.Dead;
        if (_pinged || silence < heartbeat) return HeartbeatAction.None;
        _pinged = true;
        return HeartbeatAction.Ping;
    }
}

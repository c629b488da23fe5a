namespace Grid.Client;

/// <summary>Where a client stands.</summary>
public enum ConnectionState
{
    /// <summary><see cref="GridClient.ConnectAsync"/> was not called yet.</summary>
    Idle,

    /// <summary>The first connection is being made.</summary>
    Connecting,

    /// <summary>Connected and welcomed.</summary>
    Connected,

    /// <summary>The connection is lost; another is being made or waited for.</summary>
    Reconnecting,

    /// <summary>Closed by the application or, for good, by the server. Nothing follows.</summary>
    Closed,
}

/// <summary>A change of <see cref="GridClient.State"/>.</summary>
/// <param name="state">The state now.</param>
/// <param name="previous">The state before.</param>
/// <param name="error">Why, when a fault or the server caused it.</param>
public sealed class StateChangedEventArgs(ConnectionState state, ConnectionState previous, GridException? error) : EventArgs
{
    /// <summary>The state now.</summary>
    public ConnectionState State { get; } = state;

    /// <summary>The state before.</summary>
    public ConnectionState Previous { get; } = previous;

    /// <summary>Why, when a fault or the server caused it.</summary>
    public GridException? Error { get; } = error;
}

/// <summary>Messages that will never be delivered.</summary>
/// <param name="gap">Which.</param>
public sealed class GapEventArgs(GridGap gap) : EventArgs
{
    /// <summary>Which.</summary>
    public GridGap Gap { get; } = gap;
}

/// <summary>The server asked the client to reconnect.</summary>
/// <param name="reason">Why, for example <c>drain</c>.</param>
/// <param name="reconnectIn">When the client will reconnect.</param>
public sealed class GoAwayEventArgs(string reason, TimeSpan reconnectIn) : EventArgs
{
    /// <summary>Why, for example <c>drain</c>.</summary>
    public string Reason { get; } = reason;

    /// <summary>When the client will reconnect.</summary>
    public TimeSpan ReconnectIn { get; } = reconnectIn;
}

/// <summary>The session was gone when the client came back, and a new one was made.</summary>
/// <param name="previousSession">The session that is gone.</param>
/// <param name="session">The new one.</param>
public sealed class SessionExpiredEventArgs(string previousSession, string session) : EventArgs
{
    /// <summary>The session that is gone.</summary>
    public string PreviousSession { get; } = previousSession;

    /// <summary>The new one.</summary>
    public string Session { get; } = session;
}

/// <summary>Something failed that no caller waits for.</summary>
/// <param name="error">What.</param>
public sealed class GridErrorEventArgs(GridException error) : EventArgs
{
    /// <summary>What.</summary>
    public GridException Error { get; } = error;
}

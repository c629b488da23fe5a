using System.Collections.Concurrent;

namespace Grid.Server.Gateway;

/// <summary>A connection that needs a look now and then: heartbeats, expiry, checkpoints.</summary>
internal interface IGatewayConnection
{
    /// <summary>Looks at what is due. Must not wait, and is called by one thread at a time.</summary>
    /// <param name="now">By <see cref="Environment.TickCount64"/>.</param>
    void Tick(long now);

    /// <summary>Asks the client to reconnect elsewhere.</summary>
    void GoAway(TimeSpan reconnectIn);

    /// <summary>Reports the session's whole state within <paramref name="delay"/>: what was stored of it may be lost.</summary>
    void ReportWithin(TimeSpan delay);

    /// <summary>Ends the connection because the silo leaves.</summary>
    void CloseForDrain();
}

/// <summary>
/// The open connections of this silo. One timer looks after all of them: nothing is armed, and nothing allocated, per connection.
/// </summary>
internal sealed class ConnectionRegistry
{
    /// <summary>How many sessions are reported again in a second: a store that has just come back has others to serve too.</summary>
    private const int ReportsPerSecond = 2000;

    private readonly ConcurrentDictionary<IGatewayConnection, byte> _connections = new();
    private int _pendingHellos;
    private volatile TaskCompletionSource? _empty;

    /// <summary>Whether the silo is leaving and takes no new connection.</summary>
    public bool IsDraining { get; private set; }

    /// <summary>How many connections are open.</summary>
    public int Count => _connections.Count;

    /// <summary>The open connections.</summary>
    public IEnumerable<IGatewayConnection> All => _connections.Keys;

    /// <summary>Takes a place among the sockets that have not said hello; false when too many have not.</summary>
    public bool TryEnterHello(int max)
    {
        if (Interlocked.Increment(ref _pendingHellos) <= max) return true;
        Interlocked.Decrement(ref _pendingHellos);
        return false;
    }

    /// <summary>Gives the place back.</summary>
    public void LeaveHello() => Interlocked.Decrement(ref _pendingHellos);

    /// <summary>Adds a connection.</summary>
    public void Add(IGatewayConnection connection) => _connections[connection] = 0;

    /// <summary>Removes a connection.</summary>
    public void Remove(IGatewayConnection connection)
    {
        _connections.TryRemove(connection, out _);
        if (_connections.IsEmpty) _empty?.TrySetResult();
    }

    /// <summary>Has all connections report their sessions, one after the other; how many they are.</summary>
    public int ReportAgain()
    {
        var count = 0;
        foreach (var connection in All)
        {
            connection.ReportWithin(TimeSpan.FromSeconds((double)count / ReportsPerSecond));
            count++;
        }

        return count;
    }

    /// <summary>Takes no new connection from now on; the task ends when the last one has gone.</summary>
    public Task DrainAsync()
    {
        _empty = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        IsDraining = true;
        if (_connections.IsEmpty) _empty.TrySetResult();
        return _empty.Task;
    }
}

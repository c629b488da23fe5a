using System.Diagnostics.Metrics;

namespace Grid.Server.Telemetry;

/// <summary>What the gateway counts.</summary>
internal sealed class GatewayMetrics(IMeterFactory meters)
{
    private readonly UpDownCounter<long> _connections = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.connections", "{connection}", "Open client connections.");

    private readonly Counter<long> _welcomes = GridMeter.Of(meters).CreateCounter<long>(
        "grid.sessions.welcomed", "{session}", "Sessions taken up, by state: new, resumed or expired.");

    private readonly Counter<long> _closes = GridMeter.Of(meters).CreateCounter<long>(
        "grid.connections.closed", "{connection}", "Connections closed by the server, by close code.");

    /// <summary>A connection opened.</summary>
    public void Opened() => _connections.Add(1);

    /// <summary>A connection ended.</summary>
    public void Ended() => _connections.Add(-1);

    /// <summary>A session was taken up.</summary>
    public void Welcomed(Protocol.WelcomeState state) =>
        _welcomes.Add(1, new KeyValuePair<string, object?>("state", state.ToString()));

    /// <summary>The server closed a connection.</summary>
    public void Closed(Protocol.CloseCode code) => _closes.Add(1, new KeyValuePair<string, object?>("code", (int)code));
}

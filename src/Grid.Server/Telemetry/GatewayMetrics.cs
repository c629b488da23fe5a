using System.Diagnostics.Metrics;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Telemetry;

/// <summary>Whose cursors a session went on with.</summary>
internal enum CursorSource
{
    /// <summary>It was not resumed.</summary>
    None,

    /// <summary>The client brought them.</summary>
    Client,

    /// <summary>The client brought none: those of the last checkpoint.</summary>
    Server,

    /// <summary>The client brought them, and its signed token was all that was left of the session.</summary>
    Token,
}

/// <summary>What the gateway counts.</summary>
internal sealed class GatewayMetrics(IMeterFactory meters)
{
    private readonly UpDownCounter<long> _connections = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.connections", "{connection}", "Open client sockets.");

    private readonly UpDownCounter<long> _streams = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.event_streams", "{stream}", "Open event streams.");

    private readonly Counter<long> _welcomes = GridMeter.Of(meters).CreateCounter<long>(
        "grid.sessions.welcomed",
        "{session}",
        "Sessions taken up, by state (new, resumed, expired) and by whose cursors they went on with (client, server, token, none).");

    private readonly Counter<long> _closes = GridMeter.Of(meters).CreateCounter<long>(
        "grid.connections.closed",
        "{connection}",
        "Sockets closed by the server, by reason; superseded: fenced off by a newer socket of the same session.");

    private readonly Counter<long> _frames = GridMeter.Of(meters).CreateCounter<long>(
        "grid.frames.received", "{frame}", "Frames read from clients, by outcome: ok or refused.");

    private readonly Counter<long> _checkpoints = GridMeter.Of(meters).CreateCounter<long>(
        "grid.sessions.checkpoints",
        "{checkpoint}",
        "Reports of cursors by sockets to their session, by kind (regular, last) and outcome (ok, fenced, unknown, failed).");

    /// <summary>Makes the counters known with what they have counted so far, nothing: a first event then shows as a rise.</summary>
    public void Announce()
    {
        _connections.Add(0);
        _streams.Add(0);
        foreach (var source in Enum.GetValues<CursorSource>())
        {
            if (source != CursorSource.None) _welcomes.Add(0, Tag.Of("state", WelcomeState.Resumed), Tag.Of("cursors", source));
        }

        _welcomes.Add(0, Tag.Of("state", WelcomeState.New), Tag.Of("cursors", CursorSource.None));
        _welcomes.Add(0, Tag.Of("state", WelcomeState.Expired), Tag.Of("cursors", CursorSource.None));
        foreach (var code in Enum.GetValues<CloseCode>()) _closes.Add(0, Tag.Of("reason", code));
    }

    /// <summary>A socket opened.</summary>
    public void Opened() => _connections.Add(1);

    /// <summary>A socket ended.</summary>
    public void Ended() => _connections.Add(-1);

    /// <summary>An event stream began.</summary>
    public void StreamBegan() => _streams.Add(1);

    /// <summary>An event stream ended.</summary>
    public void StreamEnded() => _streams.Add(-1);

    /// <summary>A session was taken up.</summary>
    public void Welcomed(WelcomeState state, CursorSource cursors) =>
        _welcomes.Add(1, Tag.Of("state", state), Tag.Of("cursors", cursors));

    /// <summary>The server closed a socket.</summary>
    public void Closed(CloseCode code) => _closes.Add(1, Tag.Of("reason", code));

    /// <summary>A frame was read.</summary>
    public void Received(bool ok) => _frames.Add(1, new KeyValuePair<string, object?>("outcome", ok ? "ok" : "refused"));

    /// <summary>A socket reported its cursors; without a status the session could not be reached.</summary>
    public void Checkpointed(bool last, SessionCallStatus? status)
    {
        var kind = new KeyValuePair<string, object?>("kind", last ? "last" : "regular");
        _checkpoints.Add(1, kind, status is { } known ? Tag.Of("outcome", known) : new("outcome", "failed"));
    }
}

using Grid.Protocol;

namespace Grid.Server.Sessions;

/// <summary>What is stored of a session.</summary>
[GenerateSerializer, Alias("grid.SessionState")]
public sealed class SessionState
{
    /// <summary>The session's user; null when nothing is known of the session.</summary>
    [Id(0)] public string? User { get; set; }

    /// <summary>Rises with every socket that takes the session up.</summary>
    [Id(1)] public long Generation { get; set; }

    /// <summary>Per channel, what the client has finished with.</summary>
    [Id(2)] public Dictionary<string, Position> Cursors { get; set; } = new(StringComparer.Ordinal);

    /// <summary>The silo that holds the socket, in parsable form; null without a socket.</summary>
    [Id(3)] public string? Silo { get; set; }

    /// <summary>Since when the session has no socket, in Unix milliseconds; 0 while it has one.</summary>
    [Id(4)] public long DetachedAt { get; set; }

    /// <summary>Whether the session was closed for good; the record then only keeps it from being taken up again.</summary>
    [Id(5)] public bool Closed { get; set; }
}

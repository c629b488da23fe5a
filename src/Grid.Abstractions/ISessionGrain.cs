using Grid.Protocol;

namespace Grid.Abstractions;

/// <summary>
/// One session of one user: its subscriptions, their cursors and its generation. It lives across sockets and, in a cluster, across
/// silos. The key is <c>tenant/session</c>. It is not on the path of messages.
/// </summary>
[Alias("grid.ISessionGrain")]
public interface ISessionGrain : IGrainWithStringKey
{
    /// <summary>
    /// A socket takes the session up. Raises the generation, which fences every older socket off, and tells the older one's silo.
    /// </summary>
    [Alias("attach"), ResponseTimeout(CallLimits.Session)]
    Task<SessionAttached> AttachAsync(SessionAttach request);

    /// <summary>
    /// Adds, moves and removes subscriptions; stored when the task ends. The burst of a client that subscribes to many channels
    /// arrives as few calls.
    /// </summary>
    [Alias("change"), ResponseTimeout(CallLimits.Session)]
    Task<SessionCallStatus> ChangeAsync(SessionChange change);

    /// <summary>
    /// Brings the cursors of what the client has finished with up to date; lower ones than before in the same epoch are ignored.
    /// Also re-attaches a socket whose session's activation, or stored state, was lost.
    /// </summary>
    [Alias("checkpoint"), ResponseTimeout(CallLimits.Session)]
    Task<SessionCallStatus> CheckpointAsync(SessionCheckpoint checkpoint);

    /// <summary>Ends the session for good: its socket is closed with <paramref name="code"/>, and it cannot be resumed.</summary>
    /// <returns>Whether there was such a session.</returns>
    [Alias("close"), ResponseTimeout(CallLimits.Session)]
    Task<bool> CloseAsync(CloseCode code);

    /// <summary>
    /// Ends for good a session of which nothing was known and whose socket a silo had all the same: its state was lost. Whatever the
    /// socket reports yet, and whoever presents its resume token, is refused.
    /// </summary>
    [Alias("closeUnknown"), ResponseTimeout(CallLimits.Session)]
    Task CloseUnknownAsync();

    /// <summary>Tells how the session stands; null when there is none.</summary>
    [Alias("describe"), ResponseTimeout(CallLimits.Session)]
    Task<SessionDescription?> DescribeAsync();

    /// <summary>Called by the sweep when the session may have outlived its window; forgets it if so.</summary>
    [Alias("expire"), ResponseTimeout(CallLimits.Session)]
    Task ExpireIfDueAsync();
}

/// <summary>Whether a call by a socket was accepted.</summary>
public enum SessionCallStatus
{
    /// <summary>Done.</summary>
    Ok,

    /// <summary>A newer socket has the session, or it was closed: this one must end.</summary>
    Fenced,

    /// <summary>The grain knows nothing of the session: report everything by a checkpoint, then call again.</summary>
    Unknown,
}

/// <summary>What a socket changes in its session's subscriptions.</summary>
[GenerateSerializer, Immutable, Alias("grid.SessionChange")]
public sealed record SessionChange
{
    /// <summary>The socket's generation.</summary>
    [Id(0)] public required long Generation { get; init; }

    /// <summary>Channels added or moved, with their cursors.</summary>
    [Id(1)] public required Dictionary<string, Position> Set { get; init; }

    /// <summary>Channels removed.</summary>
    [Id(2)] public required List<string> Removed { get; init; }
}

/// <summary>How a session stands.</summary>
/// <param name="User">Its user.</param>
/// <param name="Connected">Whether a socket holds it.</param>
/// <param name="Silo">The silo of the socket; null without one.</param>
/// <param name="Channels">Its channels.</param>
[GenerateSerializer, Immutable, Alias("grid.SessionDescription")]
public sealed record SessionDescription(
    [property: Id(0)] string User,
    [property: Id(1)] bool Connected,
    [property: Id(2)] SiloAddress? Silo,
    [property: Id(3)] string[] Channels);

/// <summary>A socket that takes a session up.</summary>
[GenerateSerializer, Immutable, Alias("grid.SessionAttach")]
public sealed record SessionAttach
{
    /// <summary>The user of the socket's token.</summary>
    [Id(0)] public required string User { get; init; }

    /// <summary>The silo that holds the socket.</summary>
    [Id(1)] public required SiloAddress Silo { get; init; }

    /// <summary>Whether this is a resume; else a new session is made.</summary>
    [Id(2)] public bool Resume { get; init; }

    /// <summary>The generation in the (verified) resume token.</summary>
    [Id(3)] public long TokenGeneration { get; init; }

    /// <summary>The client's own cursors, if it kept any.</summary>
    [Id(4)] public Dictionary<string, Position> Cursors { get; init; } = [];
}

/// <summary>How a session stands after a socket took it up.</summary>
[GenerateSerializer, Immutable, Alias("grid.SessionAttached")]
public sealed record SessionAttached
{
    /// <summary>New, resumed or expired. Expired: nothing was attached.</summary>
    [Id(0)] public required WelcomeState State { get; init; }

    /// <summary>The generation that fences: every later call of this socket carries it.</summary>
    [Id(1)] public long Generation { get; init; }

    /// <summary>The subscriptions and where each continues.</summary>
    [Id(2)] public Dictionary<string, Position> Subscriptions { get; init; } = [];

    /// <summary>What the server itself knew of the cursors, before the client's were taken.</summary>
    [Id(3)] public Dictionary<string, Position> Known { get; init; } = [];

    /// <summary>Whether nothing was left of the session but its token, and the client's cursors made it anew.</summary>
    [Id(4)] public bool Rebuilt { get; init; }
}

/// <summary>What a socket reports of its session, at most every few seconds and when it closes.</summary>
[GenerateSerializer, Immutable, Alias("grid.SessionCheckpoint")]
public sealed record SessionCheckpoint
{
    /// <summary>The socket's generation.</summary>
    [Id(0)] public required long Generation { get; init; }

    /// <summary>The session's user, for a session whose state was lost.</summary>
    [Id(1)] public required string User { get; init; }

    /// <summary>The silo that holds the socket.</summary>
    [Id(2)] public required SiloAddress Silo { get; init; }

    /// <summary>All subscriptions with what the client has finished with.</summary>
    [Id(3)] public required Dictionary<string, Position> Cursors { get; init; }

    /// <summary>Whether the socket is gone: the session's window starts.</summary>
    [Id(4)] public bool Detached { get; init; }
}

namespace Grid.Protocol;

/// <summary>What a client sends: one WebSocket message.</summary>
public abstract record ClientFrame;

/// <summary>A request that names itself, so that its answer can be told apart.</summary>
public abstract record ClientRequest : ClientFrame
{
    /// <summary>The client's request number; null asks for no answer where the frame allows it.</summary>
    public long? Id { get; init; }
}

/// <summary>The first frame of a connection: who is there, and which session it takes up again.</summary>
public sealed record HelloFrame : ClientFrame
{
    /// <summary>The client token, when neither the header nor the query string carried it.</summary>
    public string? Token { get; init; }

    /// <summary>Name and version of the client's software, for logs; at most 128 characters are kept.</summary>
    public string? Client { get; init; }

    /// <summary>The session to resume, if any.</summary>
    public ResumeRequest? Resume { get; init; }
}

/// <summary>The session that a client takes up again.</summary>
public sealed record ResumeRequest
{
    /// <summary>The session's id, from <c>welcome</c>.</summary>
    public required string Session { get; init; }

    /// <summary>The resume token, from the same <c>welcome</c>.</summary>
    public required string Token { get; init; }

    /// <summary>The client's own cursors by channel; empty when it kept none.</summary>
    public IReadOnlyDictionary<string, Position> Cursors { get; init; } = new Dictionary<string, Position>();
}

/// <summary>Replaces the connection's token in band, before the old one expires.</summary>
public sealed record AuthFrame : ClientRequest
{
    /// <summary>The new token, of the same tenant and user.</summary>
    public required string Token { get; init; }
}

/// <summary>Adds a channel to the session.</summary>
public sealed record SubscribeFrame : ClientRequest
{
    /// <summary>The channel.</summary>
    public required string Channel { get; init; }

    /// <summary>Where to start.</summary>
    public StartPoint From { get; init; }

    /// <summary>Whether the frame named <c>from</c>: without it, a repeated subscribe leaves the cursor where it is.</summary>
    public bool HasFrom { get; init; }
}

/// <summary>Takes a channel from the session.</summary>
public sealed record UnsubscribeFrame : ClientRequest
{
    /// <summary>The channel.</summary>
    public required string Channel { get; init; }
}

/// <summary>Publishes one message.</summary>
public sealed record PublishFrame : ClientRequest
{
    /// <summary>The channel.</summary>
    public required string Channel { get; init; }

    /// <summary>
    /// What to publish. For JSON the memory is a slice of the frame that was decoded: copy it before the frame's buffer is
    /// used again.
    /// </summary>
    public required Payload Payload { get; init; }

    /// <summary>Makes the publish idempotent: the same key within the namespace's window is stored once.</summary>
    public string? Key { get; init; }

    /// <summary>The kind of event, for filters and handlers.</summary>
    public string? Event { get; init; }

    /// <summary>Publishes only if the channel's head is this offset.</summary>
    public long? IfOffset { get; init; }
}

/// <summary>Says what the client has finished with. Cumulative: a lower cursor than before is ignored.</summary>
public sealed record AckFrame : ClientFrame
{
    /// <summary>Offsets by channel.</summary>
    public required IReadOnlyDictionary<string, long> Cursors { get; init; }
}

/// <summary>Asks for a <see cref="PongFrame"/>.</summary>
public sealed record PingFrame : ClientFrame
{
    /// <summary>The one instance.</summary>
    public static PingFrame Instance { get; } = new();
}

namespace Grid.Protocol;

/// <summary>
/// WebSocket close codes of the contract. The range carries the meaning: 40xx invites to reconnect, 45xx says not to.
/// </summary>
public enum CloseCode
{
    /// <summary>RFC 6455: the purpose of the connection is fulfilled. The session lives on until its window ends.</summary>
    Normal = 1000,

    /// <summary>The silo is leaving; reconnect to another.</summary>
    Drain = 4000,

    /// <summary>Nothing was heard from the client for two heartbeats.</summary>
    HeartbeatMissed = 4001,

    /// <summary>The namespace's policy disconnects consumers that cannot keep up.</summary>
    TooSlow = 4002,

    /// <summary>A fault in the server ended the connection.</summary>
    ServerFault = 4003,

    /// <summary>A newer connection of the same session took over.</summary>
    Superseded = 4500,

    /// <summary>No valid credential, or it expired.</summary>
    Unauthorized = 4501,

    /// <summary>The bytes received are no frames of the protocol.</summary>
    ProtocolViolation = 4502,

    /// <summary>An administrator closed the session.</summary>
    Revoked = 4503,

    /// <summary>A frame was larger than <c>maxFrameBytes</c>.</summary>
    FrameTooLarge = 4504,

    /// <summary>The session was closed for good.</summary>
    SessionClosed = 4505,
}

/// <summary>What a close code asks of the client.</summary>
public static class CloseCodes
{
    /// <summary>Whether a client should reconnect after <paramref name="code"/>: yes for all but 4500 to 4599.</summary>
    public static bool MayReconnect(int code) => code is < 4500 or > 4599;
}

namespace Grid.Testing.Wire;

/// <summary>Where a client puts its token.</summary>
public enum TokenPlace
{
    /// <summary><c>Authorization: Bearer</c> on the upgrade.</summary>
    Header,

    /// <summary><c>?token=</c> on the upgrade.</summary>
    Query,

    /// <summary><c>token</c> in <c>hello</c>.</summary>
    Hello,
}

/// <summary>How a <see cref="RawClient"/> connects and what it keeps.</summary>
public sealed record RawClientOptions
{
    /// <summary>The client's token or API key; null for none.</summary>
    public string? Token { get; init; }

    /// <summary>Where the token goes. Default: the header.</summary>
    public TokenPlace TokenPlace { get; init; }

    /// <summary>The client's name in transcripts and in <c>hello</c>.</summary>
    public string Name { get; init; } = "raw/1.0";

    /// <summary>The subprotocol to offer; null for none. Default: <see cref="Subprotocols.Default"/>.</summary>
    public string? Subprotocol { get; init; } = Subprotocols.Default;

    /// <summary>Whether the socket offers to compress (permessage-deflate).</summary>
    public bool Compression { get; init; }

    /// <summary>The socket's receive buffer in bytes (SO_RCVBUF); null for the system's. Small makes a slow consumer be slow early.</summary>
    public int? ReceiveBufferBytes { get; init; }

    /// <summary>How many frames are kept for waits and the transcript. Default: all. Load clients keep few and use <see cref="OnFrame"/>.</summary>
    public int KeptFrames { get; init; } = int.MaxValue;

    /// <summary>Called for every frame, in order, on the reading loop.</summary>
    public Action<RawFrame>? OnFrame { get; init; }

    /// <summary>Called when the connection has ended, before <see cref="RawClient.Closed"/> completes.</summary>
    public Action<RawClose>? OnEnd { get; init; }

    /// <summary>
    /// After how long without a frame the socket is given up, although pings were sent meanwhile, as clients do that must not wait for
    /// a machine that hangs; null, the default: never.
    /// </summary>
    public TimeSpan? Silence { get; init; }

    /// <summary>The longest any single wait takes before it fails with the transcript. Default: 30 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);
}

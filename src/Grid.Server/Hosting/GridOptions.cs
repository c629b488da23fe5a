namespace Grid.Server.Hosting;

/// <summary>Grid's settings; bound from the configuration section <c>Grid</c> (environment: <c>Grid__Name</c>).</summary>
public sealed class GridOptions
{
    /// <summary>The configuration section.</summary>
    public const string Section = "Grid";

    /// <summary>Where the embedded store lives. Default: <c>data</c> below the working folder. One process at a time can use it.</summary>
    public string DataDirectory { get; set; } = "data";

    /// <summary>The largest WebSocket frame read from a client, in bytes. Default: 65,536. A larger one closes the socket with 4504.</summary>
    public int MaxFrameBytes { get; set; } = 64 * 1024;

    /// <summary>How often an idle socket is pinged; after two intervals without a sign of life it is closed. Default: 15 s.</summary>
    public TimeSpan Heartbeat { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a new socket may take to say hello. Default: 10 s.</summary>
    public TimeSpan HelloTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a session outlives its socket. Default: 5 minutes; up to 7 days.</summary>
    public TimeSpan ResumeWindow { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How often a session's cursors are written while they move. Default: 5 s.</summary>
    public TimeSpan CheckpointInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The most subscriptions of a session. Default: 1,000.</summary>
    public int MaxSubscriptionsPerSession { get; set; } = 1000;

    /// <summary>
    /// The most bytes waiting to be sent on a connection, default 256 KiB. Past it the connection's subscriptions fall back to
    /// reading from the log as the socket drains (or to their namespace's policy). More rides out longer pauses at the price of memory.
    /// </summary>
    public int MaxOutboundBytes { get; set; } = 256 * 1024;

    /// <summary>The most payload bytes of publishes that a connection may have unanswered, default 1 MiB; past it its socket is not read.</summary>
    public int MaxInFlightPublishBytes { get; set; } = 1024 * 1024;

    /// <summary>The most sockets that have not yet said hello. Default: 2,000. Further ones are closed with 4003.</summary>
    public int MaxPendingHellos { get; set; } = 2000;

    /// <summary>
    /// How long a stopping server says that it is not ready while it still takes new sockets, so that a balancer that asks
    /// <c>/readyz</c> turns away before they are refused. Default: 0 (nobody asks). With a balancer: its interval times the failures it waits for, and a second.
    /// </summary>
    public TimeSpan DrainNotice { get; set; }

    /// <summary>The span over which a drain spreads its goaways. Default: 5 s.</summary>
    public TimeSpan DrainSpan { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Policies by namespace; <c>default</c> serves every namespace that is not named.</summary>
    public Dictionary<string, NamespacePolicy> Namespaces { get; } = new(StringComparer.Ordinal);

    /// <summary>What the first start makes.</summary>
    public BootstrapOptions Bootstrap { get; } = new();

    /// <summary>The playground page.</summary>
    public PlaygroundOptions Playground { get; } = new();

    /// <summary>The host's metrics for Prometheus.</summary>
    public MetricsOptions Metrics { get; } = new();

    /// <summary>Compression of WebSocket messages.</summary>
    public CompressionOptions Compression { get; } = new();
}

/// <summary>Compression of WebSocket messages (<c>permessage-deflate</c>, RFC 7692). Off unless a tenant is named.</summary>
public sealed class CompressionOptions
{
    /// <summary>Stands for every tenant.</summary>
    public const string Everybody = "*";

    /// <summary>
    /// The tenants whose clients may compress and to whom messages are compressed; <see cref="Everybody"/> for all. Default: none. It saves
    /// bytes of large, repetitive payloads and costs CPU on both sides, and about 40 KiB of memory for each connection whose client
    /// compresses what it sends and keeps its window from message to message, as browsers do.
    /// </summary>
    public IList<string> Tenants { get; } = [];

    /// <summary>Whether a tenant is among them.</summary>
    internal bool Allows(string tenant) => Tenants.Contains(tenant) || Tenants.Contains(Everybody);
}

/// <summary>Who may read <c>/metrics</c>.</summary>
public enum MetricsAccess
{
    /// <summary>Who comes from a loopback or private address, and not through a proxy.</summary>
    Private,

    /// <summary>Anybody.</summary>
    Everybody,

    /// <summary>Nobody: there is no such page.</summary>
    Nobody,
}

/// <summary>The host's metrics for Prometheus.</summary>
public sealed class MetricsOptions
{
    /// <summary>Who may read <c>/metrics</c>. Default: <see cref="MetricsAccess.Private"/>. In an application of one's own there is no such page.</summary>
    public MetricsAccess Access { get; set; }
}

/// <summary>What the first start on an empty store makes.</summary>
public sealed class BootstrapOptions
{
    /// <summary>The API key of the tenant <c>default</c>. Without it one is generated and shown once.</summary>
    public string? ApiKey { get; set; }
}

/// <summary>The playground page's settings.</summary>
public sealed class PlaygroundOptions
{
    /// <summary>
    /// Whether <c>/</c> serves the playground and gives its visitors tokens for the tenant <c>playground</c>. Default: null, which
    /// means yes for visitors from this machine only. True: for everybody. False: not at all.
    /// </summary>
    public bool? Enabled { get; set; }
}

namespace Grid.Server.Hosting;

/// <summary>What makes a process one silo of a cluster.</summary>
public sealed class GridClusterOptions
{
    /// <summary>The connection string of the PostgreSQL database (Npgsql's form): messages, configuration and membership.</summary>
    public string Postgres { get; set; } = string.Empty;

    /// <summary>The connection string of Redis (StackExchange.Redis's form): sessions and their cursors.</summary>
    public string Redis { get; set; } = string.Empty;

    /// <summary>
    /// The cluster's name. Silos of one name on one database form one cluster; the database belongs to the cluster that came first, and
    /// silos of another one are refused. Default: <c>grid</c>.
    /// </summary>
    public string ClusterId { get; set; } = "grid";

    /// <summary>
    /// The IP address at which other silos reach this one. Default: the loopback address when PostgreSQL is reached over it (then
    /// all silos are on this machine), else this machine's first address.
    /// </summary>
    public string? AdvertisedAddress { get; set; }

    /// <summary>The port at which other silos reach this one. Default: 11,111. It must not be reachable from outside of the cluster.</summary>
    public int SiloPort { get; set; } = 11_111;

    /// <summary>The port for Orleans clients outside of the cluster; 0, the default, for none.</summary>
    public int GatewayPort { get; set; }

    /// <summary>
    /// How often silos probe each other, and how long they wait for the answer. A silo that does not answer three times in a row is
    /// declared dead. Default: 1 s. Shorter finds crashes sooner, and takes busy silos for dead.
    /// </summary>
    public TimeSpan ProbeTimeout { get; set; } = TimeSpan.FromSeconds(1);
}

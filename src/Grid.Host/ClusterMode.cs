using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Grid.Server.Hosting;
using Orleans.Configuration;

namespace Grid.Host;

/// <summary>How this process keeps its data and finds others: embedded, it is alone; with both connection strings, one silo of a cluster.</summary>
internal sealed class ClusterMode
{
    private readonly GridClusterOptions? _cluster;
    private readonly int? _siloPort;

    private ClusterMode(GridClusterOptions? cluster, int? siloPort) => (_cluster, _siloPort) = (cluster, siloPort);

    /// <summary>Reads the connection strings.</summary>
    /// <exception cref="GridStartupException">One of the two is set without the other, or a port is no port.</exception>
    public static ClusterMode Read(IConfiguration configuration)
    {
        var postgres = configuration.GetConnectionString("Postgres");
        var redis = configuration.GetConnectionString("Redis");
        var siloPort = Port(configuration, "Grid:SiloPort");
        switch (string.IsNullOrWhiteSpace(postgres), string.IsNullOrWhiteSpace(redis))
        {
            case (true, true):
                return new ClusterMode(null, siloPort);
            case (false, true):
                throw new GridStartupException(
                    "ConnectionStrings__Postgres is set, but ConnectionStrings__Redis is not. A cluster needs both; to run embedded, set neither.");
            case (true, false):
                throw new GridStartupException(
                    "ConnectionStrings__Redis is set, but ConnectionStrings__Postgres is not. A cluster needs both; to run embedded, set neither.");
        }

        var cluster = new GridClusterOptions { Postgres = postgres!, Redis = redis!, AdvertisedAddress = configuration["Grid:AdvertisedAddress"] };
        if (configuration["Grid:ClusterId"] is { Length: > 0 } id) cluster.ClusterId = id;
        if (siloPort is { } port) cluster.SiloPort = port;
        if (Port(configuration, "Grid:GatewayPort", least: 0) is { } gateway) cluster.GatewayPort = gateway;
        if (configuration["Grid:ProbeTimeout"] is { Length: > 0 } probe)
        {
            cluster.ProbeTimeout = TimeSpan.TryParse(probe, CultureInfo.InvariantCulture, out var timeout)
                ? timeout : throw new GridStartupException($"Grid__ProbeTimeout is '{probe}', which is no time (hh:mm:ss).");
        }

        return new ClusterMode(cluster, siloPort);
    }

    /// <summary>Adds Grid, and what it stands on, to the silo.</summary>
    public void AddGrid(ISiloBuilder silo)
    {
        if (_cluster is not null)
        {
            silo.AddGridCluster(_cluster);
            return;
        }

        // Alone: no other silo and no outside client connects, so any free port of the loopback interface does, and no gateway is open.
        silo.UseLocalhostClustering(_siloPort ?? FreePort(), gatewayPort: 0, serviceId: "grid", clusterId: "embedded");
        silo.Configure<EndpointOptions>(o => o.GatewayPort = 0);
        silo.AddGrid();
    }

    private static int? Port(IConfiguration configuration, string key, int least = 1)
    {
        if (configuration[key] is not { Length: > 0 } text) return null;
        return int.TryParse(text, out var port) && port >= least && port <= IPEndPoint.MaxPort
            ? port : throw new GridStartupException($"{key.Replace(":", "__", StringComparison.Ordinal)} is '{text}', which is no port.");
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}

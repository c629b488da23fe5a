using System.Net;
using System.Net.Sockets;
using Grid.Server.Hosting;
using Orleans.Configuration;

namespace Grid.Host;

/// <summary>How this process finds others: embedded, it is alone and keeps everything in its data directory.</summary>
internal sealed class ClusterMode
{
    private readonly int? _siloPort;

    private ClusterMode(int? siloPort) => _siloPort = siloPort;

    /// <summary>Reads the connection strings.</summary>
    /// <exception cref="GridStartupException">One of the two is set without the other, or a port is no port.</exception>
    public static ClusterMode Read(IConfiguration configuration)
    {
        var postgres = configuration.GetConnectionString("Postgres");
        var redis = configuration.GetConnectionString("Redis");
        switch (string.IsNullOrWhiteSpace(postgres), string.IsNullOrWhiteSpace(redis))
        {
            case (true, true):
                return new ClusterMode(Port(configuration, "Grid:SiloPort"));
            case (false, true):
                throw new GridStartupException(
                    "ConnectionStrings__Postgres is set, but ConnectionStrings__Redis is not. A cluster needs both; to run embedded, set neither.");
            case (true, false):
                throw new GridStartupException(
                    "ConnectionStrings__Redis is set, but ConnectionStrings__Postgres is not. A cluster needs both; to run embedded, set neither.");
            default:
                throw new GridStartupException(
                    "ConnectionStrings__Postgres and ConnectionStrings__Redis are set, but this version runs embedded only. Unset both.");
        }
    }

    /// <summary>Configures clustering.</summary>
    public void Configure(ISiloBuilder silo)
    {
        // Alone: no other silo and no outside client connects, so any free port of the loopback interface does, and no gateway is open.
        silo.UseLocalhostClustering(_siloPort ?? FreePort(), gatewayPort: 0, serviceId: "grid", clusterId: "embedded");
        silo.Configure<EndpointOptions>(o => o.GatewayPort = 0);
    }

    private static int? Port(IConfiguration configuration, string key)
    {
        if (configuration[key] is not { Length: > 0 } text) return null;
        return int.TryParse(text, out var port) && port is > 0 and <= IPEndPoint.MaxPort
            ? port : throw new GridStartupException($"{key.Replace(":", "__", StringComparison.Ordinal)} is '{text}', which is no port.");
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}

using System.Net;
using Grid.Server.Log.Postgres;
using Npgsql;
using Orleans.Configuration;

namespace Grid.Server.Hosting;

/// <summary>How silos find each other: membership in PostgreSQL, addresses by the options.</summary>
internal static class GridClustering
{
    /// <summary>The ADO.NET provider that Orleans is told to use.</summary>
    public const string Invariant = "Npgsql";

    /// <summary>Configures membership and endpoints.</summary>
    public static ISiloBuilder UseGridClustering(this ISiloBuilder silo, GridClusterOptions cluster)
    {
        silo.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (cluster.ClusterId, "grid"));
        silo.UseAdoNetClustering(o => (o.Invariant, o.ConnectionString) = (Invariant, PostgresConnectionString.ForOrleans(cluster.Postgres)));
        silo.Configure<EndpointOptions>(o =>
        {
            o.AdvertisedIPAddress = AdvertisedAddress(cluster);
            o.SiloPort = cluster.SiloPort;
            o.GatewayPort = cluster.GatewayPort;
        });
        return silo;
    }

    private static IPAddress AdvertisedAddress(GridClusterOptions cluster)
    {
        if (cluster.AdvertisedAddress is { Length: > 0 } text) return IPAddress.Parse(text);
        var host = new NpgsqlConnectionStringBuilder(cluster.Postgres).Host ?? "localhost";
        var local = host is "localhost" || host.StartsWith('/') || (IPAddress.TryParse(host, out var ip) && IPAddress.IsLoopback(ip));
        return local ? IPAddress.Loopback : Dns.GetHostAddresses(Dns.GetHostName()).First(a => !IPAddress.IsLoopback(a));
    }
}

using System.Net;
using System.Net.Sockets;
using Grid.Server.Log.Postgres;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Orleans.Configuration;
using Orleans.Serialization;

namespace Grid.Server.Hosting;

/// <summary>How silos find each other: membership in PostgreSQL, addresses by the options.</summary>
internal static class GridClustering
{
    /// <summary>The ADO.NET provider that Orleans is told to use.</summary>
    public const string Invariant = "Npgsql";

    /// <summary>Probes in a row without an answer after which a silo is suspected.</summary>
    private const int MissedProbes = 3;

    /// <summary>How often the membership table is read besides; what changes is told at once from silo to silo.</summary>
    private static readonly TimeSpan TableRefresh = TimeSpan.FromSeconds(10);

    /// <summary>Configures membership and endpoints.</summary>
    public static ISiloBuilder UseGridClustering(this ISiloBuilder silo, GridClusterOptions cluster)
    {
        Verify(cluster);
        silo.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (cluster.ClusterId, "grid"));
        silo.UseAdoNetClustering(o => (o.Invariant, o.ConnectionString) = (Invariant, PostgresConnectionString.ForMembership(cluster.Postgres)));
        silo.Configure<ClusterMembershipOptions>(o =>
        {
            o.ProbeTimeout = cluster.ProbeTimeout;
            o.NumMissedProbesLimit = MissedProbes;

            // Orleans lets nobody vote against a silo from which a message came within this time for each missed probe, and the
            // default, four times the timeout, makes it 12 s until a silo that hangs or is cut off is declared dead instead of 3.
            o.MaxProbeTimeout = cluster.ProbeTimeout;
            o.TableRefreshTimeout = TableRefresh;
        });

        // What a store's client throws travels to the silo that asked; an exception that cannot be written takes the reason with it.
        silo.Services.Configure<ExceptionSerializationOptions>(o =>
        {
            o.SupportedNamespacePrefixes.Add("Npgsql");
            o.SupportedNamespacePrefixes.Add("StackExchange.Redis");
        });
        silo.Services.AddSingleton<IFatalErrorHandler, SiloEnd>();
        silo.Services.AddHostedService<PauseWatch>();
        silo.Configure<EndpointOptions>(o =>
        {
            o.AdvertisedIPAddress = AdvertisedAddress(cluster);
            o.SiloPort = cluster.SiloPort;
            o.GatewayPort = cluster.GatewayPort;
        });
        return silo;
    }

    /// <summary>Refuses what cannot work, in plain words, before anything starts.</summary>
    private static void Verify(GridClusterOptions cluster)
    {
        if (cluster.AdvertisedAddress is { Length: > 0 } text && !IPAddress.TryParse(text, out _))
            throw new GridStartupException($"Grid__AdvertisedAddress is '{text}', which is no IP address.");
        if (cluster.ProbeTimeout < TimeSpan.FromMilliseconds(100) || cluster.ProbeTimeout > TimeSpan.FromMinutes(1))
            throw new GridStartupException($"Grid__ProbeTimeout is {cluster.ProbeTimeout}; it must be from 00:00:00.100 to 00:01:00.");
        if (cluster.ClusterId.Length is 0 or > 100)
            throw new GridStartupException("Grid__ClusterId must have 1 to 100 characters.");
        try
        {
            _ = new NpgsqlConnectionStringBuilder(cluster.Postgres);
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            // Not repeated: it may have a password in it.
            throw new GridStartupException("ConnectionStrings__Postgres is no connection string of Npgsql's form (Host=…;Database=…;Username=…).", e);
        }
    }

    private static IPAddress AdvertisedAddress(GridClusterOptions cluster)
    {
        if (cluster.AdvertisedAddress is { Length: > 0 } text) return IPAddress.Parse(text);
        var host = new NpgsqlConnectionStringBuilder(cluster.Postgres).Host ?? "localhost";
        if (host is "localhost" || host.StartsWith('/') || (IPAddress.TryParse(host, out var ip) && IPAddress.IsLoopback(ip)))
            return IPAddress.Loopback;
        var own = Dns.GetHostAddresses(Dns.GetHostName());
        return Array.Find(own, a => a.AddressFamily == AddressFamily.InterNetwork && !IPAddress.IsLoopback(a))
            ?? Array.Find(own, a => !IPAddress.IsLoopback(a) && !a.IsIPv6LinkLocal)
            ?? throw new GridStartupException(
                "This machine has no address at which other silos could reach it. Name one in Grid__AdvertisedAddress.");
    }
}

using System.Net;
using Grid.Abstractions;
using Grid.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Grid.ClusterTests.Cluster;

/// <summary>Sees where grains live: an Orleans client of the cluster, through the gateways of its silos.</summary>
internal sealed class GrainEye : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly TestCluster _cluster;

    private GrainEye(IHost host, TestCluster cluster) => (_host, _cluster) = (host, cluster);

    /// <summary>Connects to the cluster.</summary>
    public static async Task<GrainEye> OpenAsync(TestCluster cluster)
    {
        var gateways = cluster.Running.Select(s => new IPEndPoint(s.Place.Address, s.GatewayPort)).ToArray();
        var builder = Microsoft.Extensions.Hosting.Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client => client
            .UseStaticClustering(gateways)
            .Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (cluster.ClusterId, "grid")));
        var host = builder.Build();
        await host.StartAsync();
        return new GrainEye(host, cluster);
    }

    /// <summary>The silo on which a channel's grain is active.</summary>
    public Task<TestSilo> SiloOfAsync(string channel) => SiloOfAsync(Client.GetChannel(new ChannelId("default", channel)), channel);

    /// <summary>The silo on which a webhook's grain is active.</summary>
    public Task<TestSilo> SiloOfWebhookAsync(string id) => SiloOfAsync(Client.GetGrain<IWebhookGrain>($"default/{id}"), id);

    private IClusterClient Client => _host.Services.GetRequiredService<IClusterClient>();

    private async Task<TestSilo> SiloOfAsync(IAddressable grain, string name)
    {
        var address = await Client.GetGrain<IManagementGrain>(0).GetActivationAddress(grain)
            ?? throw new TestFailedException($"The grain of {name} is active nowhere.");
        return _cluster.Silos.Single(s => s.SiloPort == address.Endpoint.Port);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}

using Grid.Server.Api;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Grid.Server.Telemetry;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Gateway;

/// <summary>What every connection uses of the silo; one instance for all, so that a connection holds one reference.</summary>
internal sealed class GatewayServices(
    IGrainFactory grains,
    RelayHub hub,
    ChannelPublisher publisher,
    CredentialCheck credentials,
    IResumeTokens resumeTokens,
    NamespacePolicies policies,
    PastGuard past,
    ILocalSiloDetails silo,
    ConnectionRegistry registry,
    GatewayMetrics metrics,
    WorkQueue work,
    Patience patience,
    IOptions<GridOptions> options,
    TimeProvider time,
    ILoggerFactory loggers)
{
    public IGrainFactory Grains => grains;

    public RelayHub Hub => hub;

    public ChannelPublisher Publisher => publisher;

    public CredentialCheck Credentials => credentials;

    public IResumeTokens ResumeTokens => resumeTokens;

    public NamespacePolicies Policies => policies;

    public PastGuard Past => past;

    public SiloAddress Silo => silo.SiloAddress;

    public ConnectionRegistry Registry => registry;

    public GatewayMetrics Metrics => metrics;

    public WorkQueue Work => work;

    public Patience Patience => patience;

    public GridOptions Options { get; } = options.Value;

    public TimeProvider Time => time;

    public ILogger Logger { get; } = loggers.CreateLogger("Grid.Server.Gateway");
}

using Grid.Server.Api;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Server.Relay;
using Grid.Server.Sessions;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Grid.Server.Hosting;

/// <summary>Adds Grid to a silo.</summary>
public static class GridSiloBuilderExtensions
{
    /// <summary>Session grains are called rarely and hold little: their activations go soon, while their sockets stay.</summary>
    private static readonly TimeSpan SessionCollectionAge = TimeSpan.FromMinutes(1);

    /// <summary>How often activations that are due to go are looked for; shorter than the shortest age.</summary>
    private static readonly TimeSpan CollectionQuantum = TimeSpan.FromSeconds(15);

    /// <summary>What a stop may take beyond the span of its drain and the requests on their way.</summary>
    private static readonly TimeSpan AfterDrain = TimeSpan.FromSeconds(25);

    /// <summary>
    /// Adds Grid: channels, sessions, the gateway and the embedded store. Settings come from the configuration section
    /// <see cref="GridOptions.Section"/>, then from <paramref name="configure"/>. How Orleans keeps its membership is the caller's choice; the
    /// store is one process's, so this is the only silo. Follow it with <see cref="GridEndpointRouteBuilderExtensions.MapGrid"/> on the application.
    /// </summary>
    public static ISiloBuilder AddGrid(this ISiloBuilder silo, Action<GridOptions>? configure = null)
    {
        // The store says once that it is away; Orleans would say it, with a stack trace, for every session that wants to be written.
        silo.Services.AddLogging(static logging => logging.AddFilter(typeof(RocksDbGrainStorage).FullName, LogLevel.None));
        silo.Services.AddGridEmbeddedStore();
        silo.AddGridEmbeddedGrainStorage();
        silo.Services.AddSingleton<ISessionLoss, EmbeddedSessionLoss>();
        silo.Services.AddSingleton<ISiloRelays, LoneSiloRelays>();
        return silo.AddGridParts(configure);
    }

    /// <summary>
    /// Adds Grid as one silo of a cluster: clustering and configuration on PostgreSQL, messages there too, sessions on Redis. Settings
    /// as with <see cref="AddGrid"/>; <c>DataDirectory</c> is not used.
    /// </summary>
    public static ISiloBuilder AddGridCluster(this ISiloBuilder silo, GridClusterOptions cluster, Action<GridOptions>? configure = null)
    {
        // Of each message for a silo that has died this says, with a stack trace, that it found no receiver: thousands in the moment
        // in which sessions come back. Whoever called says what became of the call.
        silo.Services.AddLogging(static logging => logging.AddFilter("Orleans.Messaging", LogLevel.Critical));
        silo.UseGridClustering(cluster);
        silo.Services.AddGridPostgresStore(cluster);
        silo.AddGridRedisSessions(cluster);
        silo.Services.AddSingleton<ISiloRelays, SiloRelays>();
        return silo.AddGridParts(configure);
    }

    /// <summary>How long a stop may take: the notice, the sockets' drain, that of webhooks, and all that comes after.</summary>
    internal static TimeSpan LongestStop(GridOptions grid, WebhookOptions webhooks) =>
        grid.DrainNotice + grid.DrainSpan + webhooks.DrainTime + AfterDrain;

    /// <summary>Everything but the stores.</summary>
    internal static ISiloBuilder AddGridParts(this ISiloBuilder silo, Action<GridOptions>? configure)
    {
        var services = silo.Services;
        services.AddOptions<GridOptions>().Bind(silo.Configuration.GetSection(GridOptions.Section)).ValidateOnStart();
        if (configure is not null) services.PostConfigure(configure);
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();

        // The host must not cut the drain short.
        services.AddOptions<HostOptions>().PostConfigure<IOptions<GridOptions>, IOptions<WebhookOptions>>(static (host, grid, webhooks) =>
        {
            var needed = LongestStop(grid.Value, webhooks.Value);
            if (host.ShutdownTimeout < needed) host.ShutdownTimeout = needed;
        });

        // Channels: sequencing, and the log below it.
        services.AddSingleton<NamespacePolicies>();
        services.AddSingleton<IChannelReader, ChannelReader>();
        services.AddSingleton<PublishesUnderWay>();
        services.AddSingleton<IPublishBarrier, PublishBarrier>();
        services.AddSingleton<ChannelPublisher>();
        services.AddSingleton<IChannelPublisher>(s => s.GetRequiredService<ChannelPublisher>());
        services.AddSingleton<PublishMetrics>();
        services.AddSingleton<ChannelMetrics>();

        // Relay: what this silo listens to.
        services.AddSingleton<RelayMetrics>();
        services.AddSingleton<RelayHub>();
        services.AddSingleton(WorkQueue.Pool);
        services.AddSingleton<Patience>();
        services.AddSingleton<SiloRelayClient>();
        services.AddSingleton<IGridDirectory, GridDirectory>();
        services.AddGrainService<SiloRelayService>();
        services.AddHostedService<RelaySweeper>();

        // Sessions.
        services.AddSingleton<SessionMetrics>();
        services.AddHostedService<SessionSweeper>();
        silo.Configure<GrainCollectionOptions>(o =>
        {
            o.CollectionQuantum = CollectionQuantum;
            o.ClassSpecificCollectionAge[typeof(SessionGrain).FullName!] = SessionCollectionAge;
        });

        // Webhooks.
        services.AddGridWebhooks(silo.Configuration);

        // Gateway and API.
        services.AddSingleton<GatewayMetrics>();
        services.AddSingleton<ConnectionRegistry>();
        services.AddSingleton<PastGuard>();
        services.AddSingleton<GatewayServices>();
        services.AddHostedService<GatewayUpkeep>();
        services.AddGridApi();
        silo.AddGridDashboard();
        services.AddHostedService<SiloMetrics>();
        services.AddSingleton<GridStartup>();
        services.AddHostedService(s => s.GetRequiredService<GridStartup>());
        return silo;
    }
}

using System.Reflection;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using OpenTelemetry;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace Grid.Host;

/// <summary>Gives the metrics of Grid and of what it stands on to Prometheus, at <c>/metrics</c>, and to collectors, by OTLP.</summary>
internal static class Telemetry
{
    /// <summary>
    /// Whose metrics: those with few series, whatever the load. The runtime brings a meter of its own, so that no package is needed
    /// for it; Npgsql's has something to say in a cluster only.
    /// </summary>
    private static readonly string[] Meters =
    [
        GridMeter.Name, "Microsoft.Orleans", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "Npgsql", "System.Runtime",
    ];

    /// <summary>
    /// The most series of one instrument; what is beyond is summed up in one. The SDK makes room for all of them beforehand, and its
    /// default of 2,000 took 25 MiB more of the heap. The most that one has here are the routes of the API with their answers.
    /// </summary>
    private const int MaxSeries = 400;

    /// <summary>Adds OpenTelemetry if the settings leave anybody who could read it; else nothing is collected.</summary>
    public static void AddTelemetry(this WebApplicationBuilder builder)
    {
        var settings = TelemetrySettings.Read(builder.Configuration);
        builder.Services.AddSingleton(new TelemetryPage(settings.Prometheus));
        if (!settings.Any) return;
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(static resource => resource
                .AddDetector(static services => new SiloDetector(services.GetRequiredService<ILocalSiloDetails>()))

                // Last, so that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
                .AddEnvironmentVariableDetector())
            .WithMetrics(metrics =>
            {
                metrics.AddMeter(Meters);
                metrics.AddView(static _ => new MetricStreamConfiguration { CardinalityLimit = MaxSeries });
                if (settings.Prometheus != MetricsAccess.Nobody) metrics.AddPrometheusExporter();
            });

        if (!settings.Otlp) return;

        // All signals' exporter rather than the metrics' own, which does not read OTEL_EXPORTER_OTLP_METRICS_…. It takes the logs up too, which
        // nobody asked for: a collector may have no place for them.
        telemetry.UseOtlpExporter();
        builder.Logging.AddFilter<OpenTelemetryLoggerProvider>(static (LogLevel _) => false);
    }

    /// <summary>Maps <c>/metrics</c> for those who may read it.</summary>
    public static void MapTelemetry(this WebApplication app)
    {
        var page = app.Services.GetRequiredService<TelemetryPage>();
        if (page.Access == MetricsAccess.Nobody) return;
        var pipeline = ((IEndpointRouteBuilder)app).CreateApplicationBuilder();
        pipeline.Use(page.CheckAsync);
        pipeline.UseOpenTelemetryPrometheusScrapingEndpoint(static _ => true);
        app.MapMethods("/metrics", [HttpMethods.Get, HttpMethods.Head], pipeline.Build()).AllowAnonymous().ExcludeFromDescription();
    }

    /// <summary>Who sends: the silo, by the address that the logs and the other silos know it by.</summary>
    private sealed class SiloDetector(ILocalSiloDetails silo) : IResourceDetector
    {
        public Resource Detect() => ResourceBuilder.CreateEmpty().AddService(
            "grid",
            serviceVersion: typeof(GridMeter).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion,
            serviceInstanceId: $"{Environment.MachineName}/{silo.SiloAddress}").Build();
    }
}

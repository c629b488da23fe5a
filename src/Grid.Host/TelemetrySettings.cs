using Grid.Server.Hosting;

namespace Grid.Host;

/// <summary>Where the metrics go: by Grid's own setting for Prometheus, and by OpenTelemetry's standard variables for OTLP.</summary>
/// <param name="Prometheus">Who may read <c>/metrics</c>.</param>
/// <param name="Otlp">Whether they are sent by OTLP. The SDK reads by itself where to and how.</param>
internal readonly record struct TelemetrySettings(MetricsAccess Prometheus, bool Otlp)
{
    private static readonly string[] Endpoints = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// <summary>Whether anybody can read any.</summary>
    public bool Any => Otlp || Prometheus != MetricsAccess.Nobody;

    /// <summary>Reads the settings.</summary>
    /// <exception cref="GridStartupException">An endpoint is no URL; the SDK would silently send to its default instead.</exception>
    public static TelemetrySettings Read(IConfiguration configuration)
    {
        var access = configuration.GetValue<MetricsAccess>("Grid:Metrics:Access");
        if (IsTrue(configuration["OTEL_SDK_DISABLED"])) return new(MetricsAccess.Nobody, false);
        return new(access, WantsOtlp(configuration));
    }

    /// <summary>
    /// The standard's default is to send to a collector on this machine. Most have none, and would see an error every minute; so
    /// something has to ask for it: an endpoint, or the exporter by its name.
    /// </summary>
    private static bool WantsOtlp(IConfiguration configuration)
    {
        var named = false;
        if (configuration["OTEL_METRICS_EXPORTER"] is { } exporters && !string.IsNullOrWhiteSpace(exporters))
        {
            named = exporters.Split(',', StringSplitOptions.TrimEntries).Contains("otlp", StringComparer.OrdinalIgnoreCase);
            if (!named) return false;
        }

        var anywhere = false;
        foreach (var name in Endpoints)
        {
            if (configuration[name] is not { } endpoint || string.IsNullOrWhiteSpace(endpoint)) continue;
            if (!Uri.TryCreate(endpoint, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                throw new GridStartupException($"{name} is '{endpoint}', which is no URL. Write it like http://localhost:4317.");
            anywhere = true;
        }

        return named || anywhere;
    }

    private static bool IsTrue(string? value) => string.Equals(value?.Trim(), "true", StringComparison.OrdinalIgnoreCase);
}

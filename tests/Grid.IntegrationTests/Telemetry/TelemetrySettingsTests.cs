using System.Net;
using Grid.Host;
using Grid.Server.Hosting;
using Microsoft.Extensions.Configuration;

namespace Grid.IntegrationTests.Telemetry;

/// <summary>Which settings send metrics where.</summary>
public class TelemetrySettingsTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(false, "OTEL_EXPORTER_OTLP_ENDPOINT=")]
    [InlineData(false, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_METRIC_EXPORT_INTERVAL=1000", "OTEL_SERVICE_NAME=x")]
    [InlineData(false, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector:4317")]
    [InlineData(true, "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317")]
    [InlineData(true, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://collector/v1/metrics")]
    [InlineData(true, "OTEL_METRICS_EXPORTER=otlp")]
    [InlineData(true, "OTEL_METRICS_EXPORTER=prometheus, otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317")]
    [InlineData(false, "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317")]
    [InlineData(false, "OTEL_METRICS_EXPORTER=prometheus", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317")]
    public void Otlp_is_sent_only_when_something_asks_for_it(bool sent, params string[] variables)
    {
        Assert.Equal(new TelemetrySettings(MetricsAccess.Private, sent), TelemetrySettings.Read(Configuration(variables)));
    }

    [Fact]
    public void A_disabled_sdk_collects_nothing()
    {
        var settings = TelemetrySettings.Read(Configuration(
            "OTEL_SDK_DISABLED=TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317", "Grid:Metrics:Access=Everybody"));
        Assert.False(settings.Any);
    }

    [Theory]
    [InlineData("collector:4317")]
    [InlineData("localhost")]
    [InlineData("ftp://collector")]
    public void An_endpoint_that_is_no_url_is_refused(string endpoint)
    {
        var refused = Assert.Throws<GridStartupException>(() => TelemetrySettings.Read(Configuration($"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}")));
        Assert.Contains("OTEL_EXPORTER_OTLP_ENDPOINT", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.9.9.9", true)]
    [InlineData("::1", true)]
    [InlineData("::ffff:127.0.0.1", true)]
    [InlineData("10.1.2.3", true)]
    [InlineData("::ffff:10.1.2.3", true)]
    [InlineData("172.16.0.1", true)]
    [InlineData("172.31.255.254", true)]
    [InlineData("192.168.1.1", true)]
    [InlineData("169.254.7.7", true)]
    [InlineData("fe80::1", true)]
    [InlineData("fd12:3456::1", true)]
    [InlineData("11.0.0.1", false)]
    [InlineData("172.32.0.1", false)]
    [InlineData("192.169.0.1", false)]
    [InlineData("8.8.8.8", false)]
    [InlineData("::ffff:8.8.8.8", false)]
    [InlineData("2001:db8::1", false)]
    [InlineData("::", false)]
    public void Private_addresses_are_told_from_others(string address, bool isPrivate) =>
        Assert.Equal(isPrivate, TelemetryPage.IsPrivate(IPAddress.Parse(address)));

    [Fact]
    public void No_address_is_not_private() => Assert.False(TelemetryPage.IsPrivate(null));

    private static IConfiguration Configuration(params string[] variables) => new ConfigurationBuilder()
        .AddInMemoryCollection(variables.Select(v => v.Split('=', 2)).Select(v => KeyValuePair.Create(v[0], (string?)v[1])))
        .Build();
}

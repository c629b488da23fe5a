using System.Collections.Concurrent;
using System.Text;
using Grid.Testing;
using Grid.Testing.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.IntegrationTests.Telemetry;

/// <summary>OTLP, to a collector in this process: sent when the standard variables say so, and else not.</summary>
public sealed class OtlpTests : IAsyncLifetime
{
    private readonly WebApplication _collector;
    private readonly ConcurrentQueue<(string Path, string? ContentType, string Body)> _received = new();
    private string _address = "";

    public OtlpTests()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _collector = builder.Build();
        _collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);

            // Names are plain UTF-8 in the protobuf; that is all that is looked for.
            _received.Enqueue((context.Request.Path, context.Request.ContentType, Encoding.Latin1.GetString(body.ToArray())));
            context.Response.ContentType = "application/x-protobuf";
        });
    }

    public async Task InitializeAsync()
    {
        await _collector.StartAsync();
        _address = _collector.Urls.Single();
    }

    public async Task DisposeAsync() => await _collector.DisposeAsync();

    [Theory]
    [InlineData("OTEL_EXPORTER_OTLP_ENDPOINT", "")]
    [InlineData("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics")]
    public async Task Metrics_are_sent_to_the_endpoint(string variable, string path)
    {
        await using var host = await HostProcess.RunAsync(
        [
            new(variable, _address + path),
            new("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            new("OTEL_METRIC_EXPORT_INTERVAL", "250"),
            new("OTEL_SERVICE_NAME", "grid-under-test"),
            new("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=testing"),
            new("Grid__Metrics__Access", "Nobody"),
        ]);
        using var http = host.Http();
        await http.PublishAsync("room:1", "1");
        using var deadline = TestDeadline.In(30);
        await deadline.UntilAsync(
            () => _received.Any(r => r.Body.Contains("grid.log.append.duration", StringComparison.Ordinal)), () => $"an export\n{host.Output.Tail()}");
        var (to, type, body) = _received.First(r => r.Body.Contains("grid.log.append.duration", StringComparison.Ordinal));
        Assert.Equal(("/v1/metrics", "application/x-protobuf"), (to, type));
        foreach (var part in (string[])
            ["grid-under-test", "deployment.environment", "service.instance.id", "S127.0.0.1:", "service.version", "grid.connections", "grid.silo.status", "dotnet.gc.collections"])
        {
            Assert.Contains(part, body, StringComparison.Ordinal);
        }

        // What waits to be sent goes out when the host ends; logs would be among it.
        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        Assert.All(_received, r => Assert.Equal("/v1/metrics", r.Path));
        Assert.Empty(host.Output.Errors);
    }

    [Fact]
    public async Task Nothing_is_sent_when_the_exporter_is_turned_off()
    {
        await using var host = await HostProcess.RunAsync(
        [
            new("OTEL_EXPORTER_OTLP_ENDPOINT", _address),
            new("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            new("OTEL_METRICS_EXPORTER", "none"),
        ]);
        using var http = host.Http();
        await http.PublishAsync("room:1", "1");
        await Scrape.OfAsync(http);

        // An exporter would send a last time when the host stops.
        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        Assert.Empty(_received);
    }

    [Fact]
    public async Task A_collector_that_is_away_disturbs_nothing()
    {
        await using var host = await HostProcess.RunAsync(
        [
            new("OTEL_EXPORTER_OTLP_ENDPOINT", $"http://127.0.0.1:{FreePort.Next()}"),
            new("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ]);
        using var http = host.Http();
        for (var i = 0; i < 20; i++) await http.PublishAsync("room:1", "1");
        host.Terminate();
        Assert.Equal(0, await host.ExitAsync());
        Assert.Empty(host.Output.Errors);
        Assert.DoesNotContain("OpenTelemetry", host.Output.Tail(), StringComparison.OrdinalIgnoreCase);
    }
}

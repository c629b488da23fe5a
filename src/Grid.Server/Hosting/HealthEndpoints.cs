using System.ComponentModel;
using System.Text.Json;
using System.Text.Json.Serialization;
using Grid.Server.Api;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Hosting;

/// <summary><c>GET /healthz</c>, the process is up; <c>GET /readyz</c>, it may take traffic. Open to anybody.</summary>
internal static class HealthEndpoints
{
    /// <summary>Maps both endpoints.</summary>
    public static void MapGridHealth(this IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet("/healthz", Healthy)
            .WithMetadata(new GridEndpoint()).AllowAnonymous()
            .WithName("health").WithTags("Health")
            .WithSummary("Is the process up?")
            .WithDescription("200 as long as the process answers at all.")
            .Produces<HealthBody>()
            .WithExample(null, """{"status":"ok"}""");
        endpoints.MapGet("/readyz", ReadyAsync)
            .WithMetadata(new GridEndpoint()).AllowAnonymous()
            .WithName("ready").WithTags("Health")
            .WithSummary("May the process take traffic?")
            .WithDescription("200 when the cluster is joined, the stores are reachable and the process is not draining; else 503, with the checks by name.")
            .Produces<ReadyBody>().Produces<ReadyBody>(StatusCodes.Status503ServiceUnavailable)
            .WithExample(null, """{"status":"ready","draining":false,"checks":{"cluster":true,"store":true}}""");
    }

    private static IResult Healthy(HttpContext context)
    {
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(new HealthBody("ok"), HealthJson.Default.HealthBody);
    }

    private static async Task<IResult> ReadyAsync(HttpContext context, IReadiness readiness)
    {
        var report = await readiness.CheckAsync();
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(
            new ReadyBody(report.Ready ? "ready" : report.Draining ? "draining" : "notReady", report.Draining, report.Checks),
            HealthJson.Default.ReadyBody,
            statusCode: report.Ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }
}

[Description("The process is up.")]
internal sealed record HealthBody([property: Description("Always ok.")] string Status);

[Description("Whether the process may take traffic.")]
internal sealed record ReadyBody(
    [property: Description("ready, notReady or draining.")] string Status,
    [property: Description("Whether the process is leaving.")] bool Draining,
    [property: Description("Whether each check holds, by name.")] IReadOnlyDictionary<string, bool> Checks);

/// <summary>How the bodies are written.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(HealthBody))]
[JsonSerializable(typeof(ReadyBody))]
internal sealed partial class HealthJson : JsonSerializerContext;

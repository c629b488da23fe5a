using System.Net;
using System.Security.Cryptography;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace Grid.Server.Api;

/// <summary><c>POST /playground/token</c>: gives a visitor of the playground page a token without an API key.</summary>
internal static class PlaygroundEndpoints
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromHours(12);
    private static readonly Capabilities Allowed = new(
    [
        .. new[] { "board:*", "chat:*", "pointer:*", PlaygroundWebhookRules.Channels }
            .Select(p => KeyValuePair.Create(p, Capability.Subscribe | Capability.Publish | Capability.History)),

        // What happens to the webhooks of all rooms, without their messages.
        KeyValuePair.Create(WebhookEvents.Channel, Capability.Subscribe | Capability.History),
    ]);

    /// <summary>Maps the endpoint.</summary>
    public static void MapPlayground(this IEndpointRouteBuilder endpoints) => endpoints.MapPost("/playground/token", MintAsync)
        .WithMetadata(new GridEndpoint())
        .AddEndpointFilter<RouteHandlerBuilder, ApiExceptionFilter>()
        .AllowAnonymous()
        .WithName("createPlaygroundToken").WithTags("Playground")
        .WithSummary("Make a token for the playground page")
        .WithDescription("Needs no credential. By default only visitors from the server's own machine get one (`Grid:Playground:Enabled`). The token is "
            + "for the tenant `playground` and its channels `board:*`, `chat:*`, `pointer:*` and `hook:*`, for 12 hours.")
        .Produces<PlaygroundTokenResponse>()
        .WithProblems(403, 429, 503)
        .WithExample(null, """{"token":"eyJhbGciOiJIUzI1NiIs….…","expiresAt":"2026-01-01T12:00:00Z","user":"guest-7kq2"}""");

    /// <summary>
    /// Whether a visitor may use the playground. Unless it is set, only visitors of this machine may: from a loopback address, by a
    /// loopback name (another site's name can be made to point here), and not through a proxy, whose visitors come from elsewhere.
    /// </summary>
    public static bool IsAllowed(HttpContext context, PlaygroundOptions options) => options.Enabled ?? (
        context.Connection.RemoteIpAddress is { } address && IPAddress.IsLoopback(address)
        && IsLoopbackName(context.Request.Host.Host)
        && !context.Request.Headers.Keys.Any(
            h => h.Equals("Forwarded", StringComparison.OrdinalIgnoreCase) || h.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)));

    private static bool IsLoopbackName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));

    private static async Task<IResult> MintAsync(
        HttpContext context, IAuthenticator authenticator, IOptions<GridOptions> options, PlaygroundLimiter limiter)
    {
        if (!IsAllowed(context, options.Value.Playground))
            return new GridProblem(ErrorCode.Forbidden, "The playground is not open to you. Its operator can open it by Grid:Playground:Enabled.");
        if (!limiter.Visits.TryTake(context.Connection.RemoteIpAddress))
        {
            return new GridProblem(
                ErrorCode.RateLimited, "Too many tokens were asked for.", retryAfterMs: (long)limiter.Visits.RetryAfter.TotalMilliseconds);
        }

        var user = "guest-" + RandomNumberGenerator.GetString("abcdefghijkmnpqrstuvwxyz23456789", 4);
        try
        {
            var (token, expiresAt) = await authenticator.MintAsync(
                TenancyBootstrap.PlaygroundTenant, user, Allowed, Lifetime, context.RequestAborted);
            context.Response.Headers.CacheControl = "no-store";
            return Results.Json(new PlaygroundTokenResponse(token, expiresAt.UtcDateTime, user), ApiJson.Default.PlaygroundTokenResponse);
        }
        catch (InvalidOperationException)
        {
            // The tenant is made at the end of a start; this visitor came before.
            return GridProblem.Unavailable();
        }
    }
}

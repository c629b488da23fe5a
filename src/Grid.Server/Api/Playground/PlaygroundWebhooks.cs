using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace Grid.Server.Api;

/// <summary>
/// <c>/playground/v1/webhooks</c>: the webhook endpoints of <c>/v1</c> for visitors of the playground, who have a client token and no API key,
/// under rules of their own (<see cref="PlaygroundWebhookRules"/>); and the sample receiver.
/// </summary>
/// <remarks>
/// Visitors are not given an API key: one could mint tokens, and see and close the sessions of all other visitors. A room's webhooks belong to
/// whoever is in it, as its board does.
/// </remarks>
internal static class PlaygroundWebhooks
{
    private const string Base = "/playground/v1";

    /// <summary>Maps the endpoints.</summary>
    public static void MapPlaygroundWebhooks(this IEndpointRouteBuilder endpoints)
    {
        var webhooks = endpoints.MapGroup(Base).AsGrid().MapWebhooks(GridPolicies.Any);
        webhooks.AddEndpointFilter<RouteGroupBuilder, VisitorFilter>().ExcludeFromDescription();

        // An endpoint's name is one endpoint's alone, and these have those of /v1.
        ((IEndpointConventionBuilder)webhooks).Finally(static endpoint =>
        {
            for (var i = endpoint.Metadata.Count - 1; i >= 0; i--)
            {
                if (endpoint.Metadata[i] is IEndpointNameMetadata or IRouteNameMetadata) endpoint.Metadata.RemoveAt(i);
            }
        });
        endpoints.MapSampleReceiver();
    }

    /// <summary>Lets visitors in, where the playground is on, no faster than a page has reason to ask.</summary>
    internal sealed class VisitorFilter(IOptions<GridOptions> options, PlaygroundLimiter limiter) : IEndpointFilter
    {
        public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
        {
            var http = context.HttpContext;
            if (!PlaygroundEndpoints.IsAllowed(http, options.Value.Playground) || http.GetCaller().Tenant != TenancyBootstrap.PlaygroundTenant)
                return new GridProblem(ErrorCode.Forbidden, "This is for visitors of the playground, where it is open.");

            var address = http.Connection.RemoteIpAddress;
            var makes = HttpMethods.IsPut(http.Request.Method)
                || (HttpMethods.IsPost(http.Request.Method) && http.Request.Path.Value?.TrimEnd('/') == Base + "/webhooks");
            var limit = !limiter.Requests.TryTake(address) ? limiter.Requests : makes && !limiter.Makes.TryTake(address) ? limiter.Makes : null;
            if (limit is not null)
                return new GridProblem(ErrorCode.RateLimited, "Too many requests.", retryAfterMs: (long)limit.RetryAfter.TotalMilliseconds);
            http.Response.Headers.CacheControl = "no-store";
            return await next(context);
        }
    }
}

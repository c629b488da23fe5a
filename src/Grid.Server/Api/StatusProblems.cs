using Grid.Server.Gateway;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Grid.Server.Api;

/// <summary>
/// Fills the bare statuses with which routing answers below <c>/v1</c> (no such route, method or media type) with problems. Answers
/// of a host's own endpoints below <c>/v1</c> are left alone.
/// </summary>
internal sealed class StatusProblems : IStartupFilter
{
    /// <inheritdoc/>
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
    {
        app.Use(FillAsync);
        next(app);
    };

    private static Task FillAsync(HttpContext context, RequestDelegate next)
    {
        // A socket is one request as long as it lives: nothing of this should wait for its end, and what refuses one says why itself.
        var path = context.Request.Path;
        return path.StartsWithSegments("/v1") && !(path == WebSocketEndpoint.Path && IsUpgrade(context))
            ? FillBareAsync(context, next) : next(context);
    }

    private static bool IsUpgrade(HttpContext context) =>
        context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
        || context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true };

    private static async Task FillBareAsync(HttpContext context, RequestDelegate next)
    {
        await next(context);
        var response = context.Response;
        if (response.HasStarted || response.ContentType is not null || response.ContentLength > 0) return;

        // Routing's own answers to a wrong method or media type have an endpoint without a route.
        if (context.GetEndpoint() is Microsoft.AspNetCore.Routing.RouteEndpoint endpoint && endpoint.Metadata.GetMetadata<GridEndpoint>() is null)
            return;
        var problem = response.StatusCode switch
        {
            StatusCodes.Status404NotFound => new GridProblem(ErrorCode.BadFrame, "There is nothing at this address.", 404),
            StatusCodes.Status405MethodNotAllowed => new GridProblem(ErrorCode.BadFrame, "This address does not know the method; see the header Allow.", 405),
            StatusCodes.Status413PayloadTooLarge => RequestBody.TooLarge(),
            StatusCodes.Status400BadRequest => GridProblem.BadRequest("The request could not be read."),
            _ => null,
        };
        if (problem is not null) await problem.ExecuteAsync(context);
    }
}

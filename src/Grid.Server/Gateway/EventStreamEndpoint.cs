using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Gateway;

/// <summary><c>GET /v1/channels/{channel}/events</c>: a channel as Server-Sent Events (WHATWG HTML, section 9.2).</summary>
internal static class EventStreamEndpoint
{
    /// <summary>Maps the endpoint.</summary>
    public static void MapGridEventStream(this IEndpointRouteBuilder endpoints) => endpoints.MapGroup("/v1").AsGrid()
        .MapGet("/channels/{channel}/events", StreamAsync)
        .RequireAuthorization(GridPolicies.Any)
        .AllowQueryToken()
        .WithName("streamChannel")
        .WithTags("Channels")
        .WithQuery(
            ("from", false, "string", "`start` begins with the oldest message kept; without it the stream begins now."),
            ("lastEventId", false, "string", "Like the header Last-Event-ID, for readers that cannot set headers."))
        .WithProblems(400, 401, 403, 429, 503)
        .WithSummary("Stream a channel as Server-Sent Events")
        .WithDescription("Event ids are `epoch:offset`; `Last-Event-ID` resumes after one. `from=start` begins with the oldest message kept.");

    /// <summary>Serves one reader until it goes.</summary>
    /// <remarks>
    /// <c>Last-Event-ID</c> (or <c>lastEventId</c> in the query, for readers that cannot set headers) resumes after that event;
    /// without it, <c>from=start</c> begins with the oldest message kept, and the default is now.
    /// </remarks>
    public static async Task<IResult> StreamAsync(string channel, HttpContext context, GatewayServices services)
    {
        var caller = context.GetCaller();
        if (!ChannelName.IsValid(channel)) return new GridProblem(ErrorCode.BadFrame, "The channel's name is outside the grammar.");
        if (!caller.Capabilities.Allows(channel, Capability.Subscribe))
            return new GridProblem(ErrorCode.Forbidden, $"The credential does not allow to subscribe to {channel}.");
        if (services.Registry.IsDraining) return new GridProblem(ErrorCode.Unavailable, "The server is leaving.");
        if (ReadStart(context.Request) is not { } from)
            return new GridProblem(ErrorCode.InvalidPosition, "Last-Event-ID is no id of an event of this stream.");

        // Going on after an event that was just delivered needs no history capability: it is a resume.
        var id = new ChannelId(caller.Tenant, channel);
        var seesHistory = (caller.Capabilities.Allows(channel, Capability.History) && services.Policies.For(channel).History)
            || (from.Kind == StartKind.Position && await services.Past.IsResumeAsync(id, from.Position, known: null));
        var stream = new EventStream(services, caller, context.Response.Body);
        StartResolution start = default;
        var (subscription, _) = await services.Hub.JoinAsync(id, stream, head =>
        {
            start = StartResolver.Subscribe(channel, from, head, seesHistory);
            return start.Cursor;
        });
        if (subscription is null) return new GridProblem(start.Error!.Value, "The stream cannot start there.");
        try
        {
            context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
            context.Response.ContentType = "text/event-stream";
            context.Response.Headers.CacheControl = "no-cache, no-store";
            context.Response.Headers["X-Accel-Buffering"] = "no";
            await context.Response.StartAsync(context.RequestAborted);
        }
        catch
        {
            subscription.Channel.Leave(subscription);
            throw;
        }

        await stream.RunAsync(subscription, start.Follows, context.RequestAborted);
        return Results.Empty;
    }

    private static StartPoint? ReadStart(HttpRequest request)
    {
        var id = request.Headers["Last-Event-ID"].ToString();
        if (id.Length == 0) id = request.Query["lastEventId"].ToString();
        if (id.Length > 0) return Position.TryParse(id, out var position) ? StartPoint.After(position) : null;
        return request.Query["from"].ToString() == "start" ? StartPoint.Start : StartPoint.Now;
    }
}

using System.Globalization;
using Grid.Protocol;
using Grid.Server.Relay;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary><c>/v1/sessions</c>: what operators see and end.</summary>
internal static class SessionEndpoints
{
    private const int DefaultLimit = 100;
    private const int MaxLimit = 1000;

    /// <summary>Maps the endpoints into <c>/v1</c>.</summary>
    public static void MapSessions(this RouteGroupBuilder v1)
    {
        v1.MapGet("/sessions", ListAsync)
            .RequireAuthorization(GridPolicies.Server)
            .WithName("listSessions").WithTags("Sessions")
            .WithSummary("List a user's sessions")
            .WithDescription("Lists the sessions of a user over all silos, those with a socket first. `silo` is null for a session without a socket.")
            .WithQuery(("user", true, "string", "The user."), ("limit", false, "integer", "The most sessions to list, 1 to 1,000. Default: 100."))
            .Produces<SessionList>()
            .WithProblems(400, 401, 403, 429, 503)
            .WithExample(null, """{"sessions":[{"session":"s_7f3a","user":"ana","connected":true,"silo":"10.0.0.4:11111","subscriptions":["room:1"]}]}""");

        v1.MapDelete("/sessions/{session}", CloseAsync)
            .RequireAuthorization(GridPolicies.Server)
            .WithName("closeSession").WithTags("Sessions")
            .WithSummary("Close a session")
            .WithDescription("Closes the session's socket with 4503 and forgets the session: it cannot be resumed. 404 when there is none.")
            .Produces(StatusCodes.Status204NoContent)
            .WithProblems(401, 403, 404, 429, 503);
    }

    private static async Task<IResult> ListAsync(HttpContext context, IGridDirectory directory)
    {
        if (context.Request.Query["user"] is not [{ } user] || !UserName.IsValid(user))
            return GridProblem.BadRequest($"The query parameter 'user' must have 1 to {UserName.MaxLength} characters and no control characters.");
        if (!TryReadLimit(context.Request.Query["limit"], DefaultLimit, MaxLimit, out var limit))
            return GridProblem.BadRequest($"The query parameter 'limit' must be a whole number from 1 to {MaxLimit}.");
        var sessions = await directory.ListSessionsAsync(context.GetCaller().Tenant, user, limit, context.RequestAborted);
        return Results.Json(
            new SessionList([.. sessions.Select(s => new SessionItem(s.Session, s.User, s.Connected, s.Silo, s.Subscriptions))]),
            ApiJson.Default.SessionList);
    }

    private static async Task<IResult> CloseAsync(string session, HttpContext context, IGridDirectory directory)
    {
        // An id that no session can have is not worth waking a grain for.
        return session.Length <= ChannelName.MaxLength && ChannelName.IsValid(session)
            && await directory.CloseSessionAsync(context.GetCaller().Tenant, session, context.RequestAborted)
                ? Results.NoContent()
                : new GridProblem(ErrorCode.BadFrame, "There is no such session.", StatusCodes.Status404NotFound);
    }

    /// <summary>Reads an optional query parameter <c>limit</c>.</summary>
    public static bool TryReadLimit(Microsoft.Extensions.Primitives.StringValues values, int fallback, int most, out int limit)
    {
        limit = fallback;
        return values.Count == 0
            || (values.Count == 1 && int.TryParse(values[0], NumberStyles.None, CultureInfo.InvariantCulture, out limit) && limit >= 1 && limit <= most);
    }
}

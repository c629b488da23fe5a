using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary><c>POST /v1/tokens</c>: a server with an API key makes tokens for its users.</summary>
internal static class TokenEndpoints
{
    /// <summary>Maps the endpoint into <c>/v1</c>.</summary>
    public static void MapTokens(this RouteGroupBuilder v1) => v1.MapPost("/tokens", MintAsync)
        .RequireAuthorization(GridPolicies.Server)
        .WithName("createToken").WithTags("Tokens")
        .WithSummary("Make a client token")
        .WithDescription("Makes a token with which a user's client connects. It may allow nothing that the API key itself may not do (403 `forbidden`).")
        .Accepts<TokenRequest>("application/json", ApiMetadata.AnyContentType)
        .Produces<TokenResponse>()
        .WithProblems(400, 401, 403, 413, 429, 503)
        .WithExample(
            """{"user":"ana","ttlSeconds":3600,"capabilities":{"room:*":["subscribe","publish","history","presence"]}}""",
            """{"token":"eyJhbGciOiJIUzI1NiIsImtpZCI6ImRlZmF1bHQuMDE5YTJiM2MiLCJ0eXAiOiJKV1QifQ.…","expiresAt":"2026-01-01T13:00:00Z"}""");

    private static async Task<IResult> MintAsync(HttpContext context, IAuthenticator authenticator)
    {
        var caller = context.GetCaller();
        using var raw = await RequestBody.ReadAsync(context, TokenBody.MaxBytes);
        var body = TokenBody.Parse(raw.Bytes.Span);
        if (!caller.Capabilities.Covers(body.Capabilities))
            return new GridProblem(ErrorCode.Forbidden, "The API key cannot hand on capabilities that it does not have.");
        try
        {
            var (token, expiresAt) = await authenticator.MintAsync(
                caller.Tenant, body.User, body.Capabilities, body.Lifetime, context.RequestAborted);
            context.Response.Headers.CacheControl = "no-store";
            return Results.Json(new TokenResponse(token, expiresAt.UtcDateTime), ApiJson.Default.TokenResponse);
        }
        catch (ArgumentException)
        {
            // Everything else was checked: so many long patterns that the token would exceed what a connection may send.
            return new GridProblem(ErrorCode.TooLarge, "The capabilities make the token too long: use fewer or shorter patterns.");
        }
    }
}

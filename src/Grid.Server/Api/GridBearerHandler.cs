using System.Security.Claims;
using System.Text.Encodings.Web;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Api;

/// <summary>
/// The scheme <c>Grid</c>: an API key or client token in <c>Authorization: Bearer</c>, or, where an endpoint allows it
/// (<see cref="QueryTokenAllowed"/>), in the query parameter <c>token</c>, for browsers' EventSource sends no headers.
/// </summary>
internal sealed class GridBearerHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, CredentialCheck check)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    /// <summary>The scheme's name.</summary>
    public const string SchemeName = "Grid";

    private GridProblem? _problem;

    /// <inheritdoc/>
    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (CredentialOf(Request) is not { } credential) return AuthenticateResult.NoResult();
        (var caller, _problem) = await check.CheckAsync(credential, Context.Connection.RemoteIpAddress, Context.RequestAborted);
        if (caller is null) return AuthenticateResult.Fail(_problem!.Detail);

        Context.Features.Set(caller);
        var identity = new ClaimsIdentity(
            [new Claim(GridPolicies.Kind, caller.IsServer ? "server" : "client"), new Claim("tid", caller.Tenant)], SchemeName);
        if (caller.User is { } user) identity.AddClaim(new Claim(identity.NameClaimType, user));
        return AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), SchemeName));
    }

    /// <inheritdoc/>
    protected override async Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        await HandleAuthenticateOnceSafeAsync();
        var problem = _problem ?? new GridProblem(ErrorCode.Unauthorized, "Send an API key or a client token as Authorization: Bearer.");
        if (problem.Code == ErrorCode.Unauthorized)
            Response.Headers.WWWAuthenticate = _problem is null ? "Bearer realm=\"grid\"" : "Bearer realm=\"grid\", error=\"invalid_token\"";
        await problem.ExecuteAsync(Context);
    }

    /// <inheritdoc/>
    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) =>
        new GridProblem(ErrorCode.Forbidden, "This needs an API key; a client token does not do.").ExecuteAsync(Context);

    private static string? CredentialOf(HttpRequest request)
    {
        var header = request.Headers.Authorization;
        if (header.Count > 0)
        {
            // Of several headers none is taken: proxies and servers differ in which one they would read.
            const string Prefix = "Bearer ";
            return header is [{ } one] && one.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase) ? one[Prefix.Length..].Trim() : null;
        }

        if (!HttpMethods.IsGet(request.Method) || request.HttpContext.GetEndpoint()?.Metadata.GetMetadata<QueryTokenAllowed>() is null)
            return null;
        return request.Query["token"] is [{ Length: > 0 } token] ? token : null;
    }
}

/// <summary>Says of an endpoint that a credential may come in its query string.</summary>
internal sealed class QueryTokenAllowed;

/// <summary>The authorization policies of the API.</summary>
internal static class GridPolicies
{
    /// <summary>An API key.</summary>
    public const string Server = "grid:server";

    /// <summary>An API key or a client token.</summary>
    public const string Any = "grid:any";

    /// <summary>The claim that tells <c>server</c> from <c>client</c>.</summary>
    public const string Kind = "grid:kind";

    /// <summary>Adds the policies.</summary>
    public static void Add(AuthorizationOptions options)
    {
        options.AddPolicy(Any, p => p.AddAuthenticationSchemes(GridBearerHandler.SchemeName).RequireAuthenticatedUser());
        options.AddPolicy(Server, p => p.AddAuthenticationSchemes(GridBearerHandler.SchemeName).RequireClaim(Kind, "server"));
    }

    /// <summary>Who makes the request; only behind one of the policies.</summary>
    public static Caller GetCaller(this HttpContext context) =>
        context.Features.Get<Caller>() ?? throw new GridProblemException(new GridProblem(ErrorCode.Unauthorized, "No credential was checked."));
}

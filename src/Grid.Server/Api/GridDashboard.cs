using System.Security.Claims;
using System.Text;
using System.Text.Encodings.Web;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Dashboard;

namespace Grid.Server.Api;

/// <summary>
/// The Orleans dashboard at <c>/dashboard</c>, for administrators only: whoever has an API key of the tenant <c>default</c> that may
/// do everything. A browser asks for it by HTTP Basic; the user name does not matter, the password is the key.
/// </summary>
internal static class GridDashboard
{
    /// <summary>The authorization policy of administrators.</summary>
    public const string Policy = "grid:admin";

    /// <summary>
    /// Adds what the dashboard shows to the silo. Its log page is left out: logs of the whole server are more than it is for. Its
    /// profiler counts calls only while somebody looks.
    /// </summary>
    public static ISiloBuilder AddGridDashboard(this ISiloBuilder silo) => silo.AddDashboard(options => options.HideTrace = true);

    /// <summary>Maps the dashboard. Needs <see cref="AddGridDashboard"/>.</summary>
    public static IEndpointRouteBuilder MapGridDashboard(this IEndpointRouteBuilder endpoints, string prefix = "/dashboard")
    {
        endpoints.MapOrleansDashboard(prefix).RequireAuthorization(Policy).WithMetadata(new ExcludeFromDescriptionAttribute());
        return endpoints;
    }

    /// <summary>Adds the policy.</summary>
    public static void Add(AuthorizationOptions options) => options.AddPolicy(
        Policy, p => p.AddAuthenticationSchemes(GridBasicHandler.SchemeName).RequireClaim(GridPolicies.Kind, "admin"));
}

/// <summary>The scheme <c>GridBasic</c>: HTTP Basic with an administrator's API key as the password.</summary>
internal sealed class GridBasicHandler(
    IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, CredentialCheck check)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    /// <summary>The scheme's name.</summary>
    public const string SchemeName = "GridBasic";

    private GridProblem? _problem;

    /// <inheritdoc/>
    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (PasswordOf(Request.Headers.Authorization) is not { } key) return AuthenticateResult.NoResult();
        (var caller, _problem) = await check.CheckAsync(key, Context.Connection.RemoteIpAddress, Context.RequestAborted);
        if (caller is null) return AuthenticateResult.Fail(_problem!.Detail);
        if (!IsAdministrator(caller)) return AuthenticateResult.Fail("No administrator's key.");
        var identity = new ClaimsIdentity([new Claim(GridPolicies.Kind, "admin")], SchemeName);
        return AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), SchemeName));
    }

    /// <inheritdoc/>
    protected override async Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        await HandleAuthenticateOnceSafeAsync();
        var problem = _problem ?? new GridProblem(ErrorCode.Unauthorized, "The dashboard asks for an API key of the tenant default that may do everything.");
        if (problem.Code == ErrorCode.Unauthorized) Response.Headers.WWWAuthenticate = "Basic realm=\"Grid: any user, API key as password\", charset=\"UTF-8\"";
        await problem.ExecuteAsync(Context);
    }

    private static bool IsAdministrator(Caller caller) =>
        caller is { IsServer: true, Tenant: TenancyBootstrap.DefaultTenant } && caller.Capabilities.Covers(Capabilities.Everything);

    private static string? PasswordOf(Microsoft.Extensions.Primitives.StringValues header)
    {
        const string Prefix = "Basic ";
        if (header is not [{ Length: < 1024 } one] || !one.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)) return null;
        Span<byte> bytes = stackalloc byte[1024];
        if (!Convert.TryFromBase64String(one[Prefix.Length..].Trim(), bytes, out var length)) return null;
        var text = Encoding.UTF8.GetString(bytes[..length]);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? null : text[(colon + 1)..];
    }
}

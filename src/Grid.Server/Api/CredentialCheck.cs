using System.Net;
using Grid.Protocol;
using Grid.Server.Tenancy;

namespace Grid.Server.Api;

/// <summary>
/// Checks the credential of a request within the limits on failures. The one way in for the API, the dashboard and the WebSocket
/// gateway.
/// </summary>
internal sealed class CredentialCheck(IAuthenticator authenticator, AuthFailures failures)
{
    /// <summary>Tells who the credential belongs to, or why it is refused. Never throws but for a cancelled wait.</summary>
    public async ValueTask<(Caller? Caller, GridProblem? Problem)> CheckAsync(
        string credential, IPAddress? address, CancellationToken cancellationToken = default)
    {
        try
        {
            Caller? caller;
            if (credential.Length is 0 or > WireLimits.MaxTokenLength)
            {
                caller = null;
            }
            else if (failures.MayTry(address))
            {
                caller = await authenticator.AuthenticateAsync(credential, cancellationToken);
            }
            else
            {
                // Another implementation than Grid's has nothing it remembers that could be asked.
                var (known, remembered) = authenticator is Authenticator grid ? await grid.TryAuthenticateAsync(credential) : default;
                if (!known) return (null, RateLimited());
                caller = remembered;
            }

            if (caller is not null) return (caller, null);
            failures.Failed(address);
            return (null, new GridProblem(ErrorCode.Unauthorized, "The credential is unknown, expired or revoked."));
        }
        catch (Exception e) when (ApiExceptionFilter.IsUnavailable(e))
        {
            return (null, GridProblem.Unavailable());
        }
    }

    private GridProblem RateLimited() => new(
        ErrorCode.RateLimited,
        "Too many bad credentials came from this address.",
        retryAfterMs: (long)failures.RetryAfter.TotalMilliseconds);
}

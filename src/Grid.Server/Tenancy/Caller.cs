namespace Grid.Server.Tenancy;

/// <summary>Who makes a request: a tenant's server with an API key, or a tenant's user with a client token.</summary>
public sealed class Caller
{
    /// <summary>The tenant.</summary>
    public required string Tenant { get; init; }

    /// <summary>The user of a client token; null for an API key.</summary>
    public string? User { get; init; }

    /// <summary>What may be done.</summary>
    public required Capabilities Capabilities { get; init; }

    /// <summary>When the credential ends; null for an API key.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Whether this is a server with an API key, which may mint tokens and manage sessions.</summary>
    public bool IsServer => User is null;
}

/// <summary>Tells who a credential belongs to.</summary>
public interface IAuthenticator
{
    /// <summary>
    /// Checks an API key or a client token. Null when it is unknown, malformed, expired, revoked or longer than allowed; never throws
    /// for any text.
    /// </summary>
    /// <exception cref="TenancyUnavailableException">What knows is away: the credential may be good, try again.</exception>
    ValueTask<Caller?> AuthenticateAsync(string credential, CancellationToken cancellationToken = default);

    /// <summary>Makes a client token.</summary>
    ValueTask<(string Token, DateTimeOffset ExpiresAt)> MintAsync(
        string tenant, string user, Capabilities capabilities, TimeSpan lifetime, CancellationToken cancellationToken = default);
}

/// <summary>Makes and checks the tokens by which sessions are resumed: signed, unguessable, compared in constant time.</summary>
public interface IResumeTokens
{
    /// <summary>A token that proves the right to resume.</summary>
    string Issue(ResumeClaims claims);

    /// <summary>Reads a token; null when it was not made by this store's secret.</summary>
    ResumeClaims? Verify(string token);
}

/// <summary>What a resume token says.</summary>
/// <param name="Tenant">The session's tenant.</param>
/// <param name="Session">The session.</param>
/// <param name="User">The session's user.</param>
/// <param name="Generation">The generation of the socket that it was given to.</param>
public sealed record ResumeClaims(string Tenant, string Session, string User, long Generation);

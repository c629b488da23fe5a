using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Grid.Server.Tenancy;

/// <summary>
/// Client tokens: JWT (RFC 7519) signed with HMAC-SHA256 by a key of the tenant. Header: <c>alg</c> HS256, <c>typ</c> JWT,
/// <c>kid</c> <c>tenant.keyid</c>. Claims: <c>iss</c> and <c>aud</c> <c>grid</c>, <c>tid</c> tenant, <c>sub</c> user, <c>cap</c>
/// capability names by channel pattern, <c>iat</c>, <c>exp</c>.
/// </summary>
internal sealed class ClientTokens(TimeProvider time)
{
    /// <summary>The longest lifetime of a token: 30 days.</summary>
    public static readonly TimeSpan MaxLifetime = TimeSpan.FromDays(30);

    private const string Grid = "grid";

    /// <summary>How far the clock of the silo that made a token may be ahead of this one's.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(5);

    private static readonly JsonWebTokenHandler Handler = new() { SetDefaultTimesOnTokenCreation = false, MapInboundClaims = false };
    private static readonly System.Buffers.SearchValues<char> TokenChars =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    /// <summary>Whether a text has the form of a signed token: three parts in base64url, of which the first opens a JSON object.</summary>
    public static bool HasTokenForm(ReadOnlySpan<char> credential) =>
        credential.StartsWith("eyJ", StringComparison.Ordinal)
        && credential.Count('.') == 2
        && !credential.ContainsAnyExcept(TokenChars);

    /// <summary>The name of a tenant's key in a token's header.</summary>
    public static string KeyName(string tenant, string keyId) => $"{tenant}.{keyId}";

    /// <summary>
    /// Reads a token without verifying it, and the key it says it is signed with. False when it is no token of this form or names
    /// another algorithm.
    /// </summary>
    public static bool TryRead(string credential, out JsonWebToken token, out string tenant, out string keyId)
    {
        (token, tenant, keyId) = (null!, "", "");
        if (credential.Length > WireLimits.MaxTokenLength || !HasTokenForm(credential)) return false;
        try
        {
            token = new JsonWebToken(credential);
            if (token.Alg != SecurityAlgorithms.HmacSha256) return false;
            var kid = token.Kid;
            var dot = kid.IndexOf('.', StringComparison.Ordinal);
            if (dot <= 0) return false;
            (tenant, keyId) = (kid[..dot], kid[(dot + 1)..]);
            return TenantName.IsValid(tenant);
        }
        catch (Exception e) when (e is ArgumentException or SecurityTokenException or JsonException or FormatException or InvalidOperationException)
        {
            // The library says by exception that the text is no token.
            return false;
        }
    }

    /// <summary>Makes a token.</summary>
    public (string Token, DateTimeOffset ExpiresAt) Mint(
        string tenant, string user, Capabilities capabilities, TimeSpan lifetime, SymmetricSecurityKey key)
    {
        var now = DateTimeOffset.FromUnixTimeSeconds(time.GetUtcNow().ToUnixTimeSeconds());
        var expires = now + lifetime;
        var token = Handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = Grid,
            Audience = Grid,
            IssuedAt = now.UtcDateTime,
            Expires = expires.UtcDateTime,
            Claims = new Dictionary<string, object>
            {
                ["sub"] = user,
                ["tid"] = tenant,
                ["cap"] = JsonSerializer.SerializeToElement(
                    CapabilityNames.ToNames(capabilities), TokenJson.Default.DictionaryStringStringArray),
            },
            SigningCredentials = new SigningCredentials(key, SecurityAlgorithms.HmacSha256),
        });
        return (token, expires);
    }

    /// <summary>Verifies a token that <see cref="TryRead"/> read, with the key that it names. Null when anything is not as it must be.</summary>
    public async ValueTask<Caller?> VerifyAsync(JsonWebToken token, string tenant, SymmetricSecurityKey key)
    {
        var result = await Handler.ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidAlgorithms = [SecurityAlgorithms.HmacSha256],
            ValidTypes = ["JWT"],
            ValidIssuer = Grid,
            ValidAudience = Grid,
            IssuerSigningKey = key,
            TryAllIssuerSigningKeys = false,
            RequireSignedTokens = true,
            RequireExpirationTime = true,
            LifetimeValidator = IsAlive,
        });
        if (!result.IsValid) return null;

        // A tenant's key vouches for that tenant alone.
        if (!token.TryGetPayloadValue<string>("tid", out var owner) || owner != tenant) return null;
        if (!UserName.IsValid(token.Subject)) return null;
        if (!token.TryGetPayloadValue<JsonElement>("cap", out var claim) || !CapabilityNames.TryRead(claim, out var capabilities)) return null;
        return new Caller { Tenant = tenant, User = token.Subject, Capabilities = capabilities, ExpiresAt = Utc(token.ValidTo) };
    }

    private static DateTimeOffset Utc(DateTime time) => new(DateTime.SpecifyKind(time, DateTimeKind.Utc));

    private bool IsAlive(DateTime? notBefore, DateTime? expires, SecurityToken token, TokenValidationParameters parameters)
    {
        var now = time.GetUtcNow();
        var madeAt = ((JsonWebToken)token).IssuedAt;
        return expires is { } end && now < Utc(end)
            && (notBefore is not { } start || Utc(start) <= now + Skew)
            && (madeAt == DateTime.MinValue || Utc(madeAt) <= now + Skew);
    }
}

/// <summary>How the claim <c>cap</c> is written.</summary>
[System.Text.Json.Serialization.JsonSerializable(typeof(Dictionary<string, string[]>))]
internal sealed partial class TokenJson : System.Text.Json.Serialization.JsonSerializerContext;

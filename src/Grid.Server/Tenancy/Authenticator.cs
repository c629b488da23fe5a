using System.Collections.Frozen;
using Grid.Abstractions;
using Grid.Protocol;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Grid.Server.Tenancy;

/// <summary>
/// Checks API keys against their grains and client tokens against the signing keys of their tenant's grain. What the grains say is
/// remembered for <see cref="KnownFor"/>, so that a storm of connections does not reach them.
/// </summary>
/// <remarks>
/// A text is a client token when it has a token's form (<see cref="ClientTokens.HasTokenForm"/>), else an API key; nothing is tried
/// as both. When the grains cannot be asked, calls throw <see cref="TenancyUnavailableException"/>: the credential may be good.
/// </remarks>
internal sealed class Authenticator : IAuthenticator
{
    /// <summary>How long a key that was revoked may still be taken for good on a silo that has just asked.</summary>
    public static readonly TimeSpan KnownFor = TimeSpan.FromSeconds(30);

    /// <summary>An unknown key id may be that of a key made just now, so it is asked for; but not more often than this per tenant.</summary>
    private static readonly TimeSpan KeysReloadedAfter = TimeSpan.FromSeconds(5);

    private readonly ApiKeys _apiKeys;
    private readonly ClientTokens _tokens;
    private readonly LookupCache<Caller> _callers;
    private readonly LookupCache<TenantKeys> _keys;

    public Authenticator(IGrainFactory grains, ApiKeys apiKeys, ClientTokens tokens, TimeProvider time)
        : this(
            digest => grains.GetGrain<IApiKeyGrain>(digest).GetAsync(),
            tenant => grains.GetGrain<ITenantGrain>(tenant).GetSigningKeysAsync(),
            apiKeys,
            tokens,
            time)
    {
    }

    internal Authenticator(
        Func<string, Task<ApiKeyInfo?>> apiKeyByDigest, Func<string, Task<SigningKey[]?>> keysByTenant, ApiKeys apiKeys, ClientTokens tokens, TimeProvider time)
    {
        _apiKeys = apiKeys;
        _tokens = tokens;
        _callers = new(async digest => ToCaller(await apiKeyByDigest(digest)), new LookupCacheLimits(), time);
        _keys = new(async tenant => TenantKeys.Of(tenant, await keysByTenant(tenant)), new LookupCacheLimits(), time);
    }

    /// <inheritdoc/>
    public async ValueTask<Caller?> AuthenticateAsync(string credential, CancellationToken cancellationToken = default)
    {
        if (ClientTokens.TryRead(credential, out var token, out var tenant, out var keyId))
        {
            var keys = await _keys.GetAsync(tenant, null, cancellationToken);
            if (keys is not null && !keys.ById.ContainsKey(keyId)) keys = await _keys.GetAsync(tenant, KeysReloadedAfter, cancellationToken);
            return await VerifyAsync(token, tenant, keyId, keys);
        }

        return ApiKeys.IsWellFormed(credential) ? await _callers.GetAsync(_apiKeys.Digest(credential), null, cancellationToken) : null;
    }

    /// <summary>
    /// Checks a credential by what is remembered alone. Known is false when a grain would have to be asked: what is denied to an
    /// address from which too many bad credentials came.
    /// </summary>
    public async ValueTask<(bool Known, Caller? Caller)> TryAuthenticateAsync(string credential)
    {
        if (ClientTokens.TryRead(credential, out var token, out var tenant, out var keyId))
        {
            return _keys.TryGet(tenant, out var keys) && (keys is null || keys.ById.ContainsKey(keyId))
                ? (true, await VerifyAsync(token, tenant, keyId, keys))
                : default;
        }

        if (!ApiKeys.IsWellFormed(credential)) return (true, null);
        return _callers.TryGet(_apiKeys.Digest(credential), out var caller) ? (true, caller) : default;
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The tenant does not exist.</exception>
    /// <exception cref="ArgumentException">The tenant or user is outside its grammar, the lifetime outside 1 s to 30 days, or the
    /// token would be longer than <see cref="WireLimits.MaxTokenLength"/>.</exception>
    public async ValueTask<(string Token, DateTimeOffset ExpiresAt)> MintAsync(
        string tenant, string user, Capabilities capabilities, TimeSpan lifetime, CancellationToken cancellationToken = default)
    {
        if (!TenantName.IsValid(tenant)) throw new ArgumentException("No tenant name.", nameof(tenant));
        if (!UserName.IsValid(user)) throw new ArgumentException("No user name.", nameof(user));
        if (lifetime < TimeSpan.FromSeconds(1) || lifetime > ClientTokens.MaxLifetime)
            throw new ArgumentOutOfRangeException(nameof(lifetime), lifetime, "From 1 second to 30 days.");
        var keys = await _keys.GetAsync(tenant, null, cancellationToken)
            ?? throw new InvalidOperationException($"The tenant '{tenant}' does not exist.");
        var minted = _tokens.Mint(tenant, user, capabilities, lifetime, keys.Signing);
        return minted.Token.Length <= WireLimits.MaxTokenLength
            ? minted
            : throw new ArgumentException("The capabilities make the token too long.", nameof(capabilities));
    }

    private static Caller? ToCaller(ApiKeyInfo? info) => info is null or { Revoked: true }
        ? null
        : new Caller { Tenant = info.Tenant, Capabilities = CapabilityNames.FromNames(info.Capabilities) };

    private async ValueTask<Caller?> VerifyAsync(JsonWebToken token, string tenant, string keyId, TenantKeys? keys) =>
        keys is not null && keys.ById.TryGetValue(keyId, out var key) ? await _tokens.VerifyAsync(token, tenant, key) : null;

    private sealed record TenantKeys(SymmetricSecurityKey Signing, FrozenDictionary<string, SymmetricSecurityKey> ById)
    {
        public static TenantKeys? Of(string tenant, SigningKey[]? keys)
        {
            if (keys is not { Length: > 0 }) return null;
            var byId = keys.ToFrozenDictionary(
                k => k.Id,
                k => new SymmetricSecurityKey(k.Secret) { KeyId = ClientTokens.KeyName(tenant, k.Id) },
                StringComparer.Ordinal);
            return new(byId[keys[0].Id], byId);
        }
    }
}

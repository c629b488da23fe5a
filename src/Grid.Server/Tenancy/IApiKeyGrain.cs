namespace Grid.Server.Tenancy;

/// <summary>
/// One API key. The grain's key is <see cref="ApiKeys.Digest"/> of it: the key itself is stored nowhere. A grain whose key is
/// unknown holds nothing and leaves memory at once.
/// </summary>
[Alias("grid.IApiKeyGrain")]
internal interface IApiKeyGrain : IGrainWithStringKey
{
    /// <summary>What the key is good for; null when it is unknown. A revoked key is told as such.</summary>
    [Alias("get")]
    Task<ApiKeyInfo?> GetAsync();

    /// <summary>Makes the key known. False, and nothing is changed, when it was known before.</summary>
    [Alias("create")]
    Task<bool> CreateAsync(ApiKeyInfo info);

    /// <summary>Ends the key for good. It is refused everywhere after <see cref="Authenticator.KnownFor"/> at the latest.</summary>
    [Alias("revoke")]
    Task RevokeAsync();
}

/// <summary>What an API key is good for.</summary>
[GenerateSerializer, Immutable, Alias("grid.ApiKeyInfo")]
internal sealed record ApiKeyInfo
{
    /// <summary>The tenant.</summary>
    [Id(0)] public required string Tenant { get; init; }

    /// <summary>What a person calls it.</summary>
    [Id(1)] public required string Name { get; init; }

    /// <summary>Names of capabilities by channel pattern (<see cref="CapabilityNames"/>).</summary>
    [Id(2)] public required Dictionary<string, string[]> Capabilities { get; init; }

    /// <summary>When it was made.</summary>
    [Id(3)] public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Whether it was revoked.</summary>
    [Id(4)] public bool Revoked { get; init; }
}

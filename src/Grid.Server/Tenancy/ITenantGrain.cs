namespace Grid.Server.Tenancy;

/// <summary>
/// One tenant: its settings and the keys that sign its client tokens. The grain's key is the tenant's name. A grain of a tenant
/// that does not exist holds nothing and leaves memory at once.
/// </summary>
[Alias("grid.ITenantGrain")]
internal interface ITenantGrain : IGrainWithStringKey
{
    /// <summary>Makes the tenant, with its first signing key. False, and nothing is changed, when it exists.</summary>
    [Alias("create")]
    Task<bool> CreateAsync(TenantSettings settings);

    /// <summary>Tells of the tenant; null when it does not exist.</summary>
    [Alias("get")]
    Task<TenantInfo?> GetAsync();

    /// <summary>Replaces the settings. False when the tenant does not exist.</summary>
    [Alias("set-settings")]
    Task<bool> SetSettingsAsync(TenantSettings settings);

    /// <summary>The keys that sign and verify client tokens, the signing one first; null when the tenant does not exist.</summary>
    [Alias("signing-keys")]
    Task<SigningKey[]?> GetSigningKeysAsync();

    /// <summary>
    /// Signs with a new key from now on. Tokens of the older keys stay valid until they expire, or, with
    /// <paramref name="revokeOlder"/>, are refused everywhere after <see cref="Authenticator.KnownFor"/> at the latest.
    /// </summary>
    /// <returns>The id of the new key; null when the tenant does not exist.</returns>
    [Alias("rotate-signing-key")]
    Task<string?> RotateSigningKeyAsync(bool revokeOlder);
}

/// <summary>What an operator sets for a tenant.</summary>
[GenerateSerializer, Immutable, Alias("grid.TenantSettings")]
internal sealed record TenantSettings
{
    /// <summary>What a person calls the tenant; null for its id.</summary>
    [Id(0)] public string? DisplayName { get; init; }
}

/// <summary>A tenant, for those who manage it.</summary>
[GenerateSerializer, Immutable, Alias("grid.TenantInfo")]
internal sealed record TenantInfo
{
    /// <summary>When it was made.</summary>
    [Id(0)] public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Its settings.</summary>
    [Id(1)] public required TenantSettings Settings { get; init; }
}

/// <summary>A key that signs client tokens.</summary>
[GenerateSerializer, Immutable, Alias("grid.SigningKey")]
internal sealed record SigningKey
{
    /// <summary>Its id within the tenant.</summary>
    [Id(0)] public required string Id { get; init; }

    /// <summary>32 random bytes.</summary>
    [Id(1)] public required byte[] Secret { get; init; }

    /// <summary>When the last token that it may have signed has expired; null while it signs.</summary>
    [Id(2)] public DateTimeOffset? RetiresAt { get; init; }
}

/// <summary>Where tenants and API keys are stored.</summary>
internal static class TenancyStorage
{
    /// <summary>The grain storage provider for what a person configured: synced at every write.</summary>
    public const string Name = "config";
}

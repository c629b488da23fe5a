using System.Security.Cryptography;

namespace Grid.Server.Tenancy;

/// <summary>The record of a tenant.</summary>
[GenerateSerializer, Alias("grid.TenantState")]
internal sealed class TenantState
{
    /// <summary>What others may know; null for a tenant that does not exist.</summary>
    [Id(0)] public TenantInfo? Info { get; set; }

    /// <summary>The signing keys, the signing one first.</summary>
    [Id(1)] public List<SigningKey> Keys { get; set; } = [];
}

/// <inheritdoc cref="ITenantGrain"/>
internal sealed class TenantGrain(
    [PersistentState("tenant", TenancyStorage.Name)] IPersistentState<TenantState> storage,
    TimeProvider time) : Grain, ITenantGrain
{
    public async Task<bool> CreateAsync(TenantSettings settings)
    {
        if (storage.State.Info is not null) return false;
        await WriteAsync(new TenantInfo { CreatedAt = time.GetUtcNow(), Settings = settings }, [NewKey()]);
        return true;
    }

    public Task<TenantInfo?> GetAsync() => Task.FromResult(Known());

    public async Task<bool> SetSettingsAsync(TenantSettings settings)
    {
        if (Known() is not { } info) return false;
        await WriteAsync(info with { Settings = settings }, storage.State.Keys);
        return true;
    }

    public Task<SigningKey[]?> GetSigningKeysAsync()
    {
        if (Known() is null) return Task.FromResult<SigningKey[]?>(null);
        var now = time.GetUtcNow();
        return Task.FromResult<SigningKey[]?>([.. storage.State.Keys.Where(k => k.RetiresAt is null || k.RetiresAt > now)]);
    }

    public async Task<string?> RotateSigningKeyAsync(bool revokeOlder)
    {
        if (Known() is not { } info) return null;
        var now = time.GetUtcNow();
        var added = NewKey();
        List<SigningKey> keys = [added];
        if (!revokeOlder)
        {
            keys.AddRange(storage.State.Keys
                .Select(k => k.RetiresAt is null ? k with { RetiresAt = now + ClientTokens.MaxLifetime } : k)
                .Where(k => k.RetiresAt > now));
        }

        await WriteAsync(info, keys);
        return added.Id;
    }

    private static SigningKey NewKey() => new()
    {
        Id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4)),
        Secret = RandomNumberGenerator.GetBytes(32),
    };

    private TenantInfo? Known()
    {
        // A token may name any tenant before it is verified: guesses must not fill memory with activations.
        if (storage.State.Info is null) DeactivateOnIdle();
        return storage.State.Info;
    }

    private async Task WriteAsync(TenantInfo info, List<SigningKey> keys)
    {
        var (infoBefore, keysBefore) = (storage.State.Info, storage.State.Keys);
        (storage.State.Info, storage.State.Keys) = (info, keys);
        try
        {
            await storage.WriteStateAsync();
        }
        catch
        {
            // Memory must not say what the store does not.
            (storage.State.Info, storage.State.Keys) = (infoBefore, keysBefore);
            DeactivateOnIdle();
            throw;
        }
    }
}

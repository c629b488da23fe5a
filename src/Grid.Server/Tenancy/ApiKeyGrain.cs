namespace Grid.Server.Tenancy;

/// <summary>The record of an API key.</summary>
[GenerateSerializer, Alias("grid.ApiKeyState")]
internal sealed class ApiKeyState
{
    /// <summary>What the key is good for; null for a key that was never made.</summary>
    [Id(0)] public ApiKeyInfo? Info { get; set; }
}

/// <inheritdoc cref="IApiKeyGrain"/>
internal sealed class ApiKeyGrain(
    [PersistentState("api-key", TenancyStorage.Name)] IPersistentState<ApiKeyState> storage) : Grain, IApiKeyGrain
{
    public Task<ApiKeyInfo?> GetAsync()
    {
        // Whoever guesses keys must not fill memory with activations.
        if (storage.State.Info is null) DeactivateOnIdle();
        return Task.FromResult(storage.State.Info);
    }

    public async Task<bool> CreateAsync(ApiKeyInfo info)
    {
        if (storage.State.Info is not null) return false;
        await WriteAsync(info);
        return true;
    }

    public async Task RevokeAsync()
    {
        if (storage.State.Info is { Revoked: false } info) await WriteAsync(info with { Revoked = true });
    }

    private async Task WriteAsync(ApiKeyInfo info)
    {
        var before = storage.State.Info;
        storage.State.Info = info;
        try
        {
            await storage.WriteStateAsync();
        }
        catch
        {
            // Memory must not say what the store does not.
            storage.State.Info = before;
            DeactivateOnIdle();
            throw;
        }
    }
}

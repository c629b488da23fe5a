using Grid.Server.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Tenancy;

/// <summary>
/// Makes what a store needs before anybody can use it: the tenant <c>default</c> with an API key that may do everything, and the
/// tenant <c>playground</c>. Call it at every start, after the silo has joined and before traffic is let in.
/// </summary>
/// <remarks>
/// The key is <see cref="BootstrapOptions.ApiKey"/>; without it, and only when the tenant is made, one is generated. It is in the
/// result of that one call and stored nowhere, so the caller must show it. A key that is configured later, or changed, is added to
/// the tenant: older keys stay valid, and whoever lost the generated key gets in again by configuring one. A configured key that was
/// revoked stays revoked. Several silos may call this at once: one of them makes the tenant. A call that failed because the store was
/// away may be made again on the same object, one after the other, and goes on where that one ended.
/// </remarks>
public sealed partial class TenancyBootstrap
{
    /// <summary>The tenant that every store has.</summary>
    public const string DefaultTenant = "default";

    /// <summary>The tenant of the playground page's visitors.</summary>
    public const string PlaygroundTenant = "playground";

    private readonly IGrainFactory _grains;
    private readonly ApiKeys _keys;
    private readonly GridOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    // What a try that failed leaves to the next. An answer that was lost may have been a success, and its key must not be lost with it.
    private string? _generated;
    private bool _mayHaveCreated;

    internal TenancyBootstrap(
        IGrainFactory grains, ApiKeys keys, IOptions<GridOptions> options, TimeProvider time, ILogger<TenancyBootstrap> logger) =>
        (_grains, _keys, _options, _time, _logger) = (grains, keys, options.Value, time, logger);

    /// <summary>Makes what is missing.</summary>
    /// <exception cref="GridStartupException">The configured key belongs to another tenant or was revoked.</exception>
    public async Task<BootstrapResult> EnsureAsync()
    {
        var configured = string.IsNullOrEmpty(_options.Bootstrap.ApiKey) ? null : _options.Bootstrap.ApiKey;
        var tenant = _grains.GetGrain<ITenantGrain>(DefaultTenant);
        var exists = await tenant.GetAsync() is not null;

        // The key first: a crash in between leaves a key that nobody knows, not a tenant that nobody can enter.
        var added = configured is not null && await AddAsync(configured, "configured at start");
        if (!exists && configured is null)
        {
            _generated ??= ApiKeys.Generate();
            await AddAsync(_generated, "generated at the first start");
        }

        if (!exists)
        {
            var before = _mayHaveCreated;
            _mayHaveCreated = true;
            _mayHaveCreated = await tenant.CreateAsync(new TenantSettings()) || before;
        }

        if (_generated is not null && !_mayHaveCreated)
        {
            // Another silo was faster, and shows its own key. Where that is not certain both are shown, and both are good.
            await _grains.GetGrain<IApiKeyGrain>(_keys.Digest(_generated)).RevokeAsync();
            _generated = null;
        }

        await _grains.GetGrain<ITenantGrain>(PlaygroundTenant).CreateAsync(new TenantSettings { DisplayName = "Playground" });
        var (created, generated) = (_mayHaveCreated, _generated);
        (_mayHaveCreated, _generated) = (false, null);
        if (created) LogTenantMade(DefaultTenant);
        if (added && !created) LogKeyAdded();
        return new BootstrapResult(created, generated, added);
    }

    private async Task<bool> AddAsync(string key, string name)
    {
        var grain = _grains.GetGrain<IApiKeyGrain>(_keys.Digest(key));
        var made = await grain.CreateAsync(new ApiKeyInfo
        {
            Tenant = DefaultTenant,
            Name = name,
            Capabilities = CapabilityNames.ToNames(Capabilities.Everything),
            CreatedAt = _time.GetUtcNow(),
        });
        if (made) return true;
        var known = await grain.GetAsync();
        if (known is not { Tenant: DefaultTenant, Revoked: false })
            throw new GridStartupException("The key in Grid:Bootstrap:ApiKey was revoked or belongs to another tenant. Configure another one.");
        return false;
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Made the tenant {Tenant}")]
    private partial void LogTenantMade(string tenant);

    [LoggerMessage(Level = LogLevel.Information, Message = "Added the key in Grid:Bootstrap:ApiKey to the tenant default; older keys stay valid")]
    private partial void LogKeyAdded();
}

/// <summary>What a start had to make.</summary>
/// <param name="Created">Whether the tenant <c>default</c> was made: this is the first start on this store.</param>
/// <param name="GeneratedApiKey">The key that was generated; show it now, for it is stored nowhere. Null when none was.</param>
/// <param name="ConfiguredKeyAdded">Whether the key in the configuration was new.</param>
public sealed record BootstrapResult(bool Created, string? GeneratedApiKey, bool ConfiguredKeyAdded)
{
    /// <summary>Tells a person, in plain words, the key that was generated. Writes nothing when there is none.</summary>
    public void Tell(TextWriter output)
    {
        if (GeneratedApiKey is null) return;
        output.WriteLine("This is the first start on this store. Your API key, which is shown only this once:");
        output.WriteLine();
        output.WriteLine("    " + GeneratedApiKey);
        output.WriteLine();
        output.WriteLine("Lost it? Set Grid__Bootstrap__ApiKey to a key of your own and start again.");
    }

    /// <summary>For logs: without the key.</summary>
    public override string ToString() => $"created: {Created}, key generated: {GeneratedApiKey is not null}, key added: {ConfiguredKeyAdded}";
}

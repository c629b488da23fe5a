using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Grid.IntegrationTests.Api;

[Collection("api")]
public sealed class BootstrapTests(ApiHost host)
{
    private TenancyBootstrap With(string? key)
    {
        var options = new GridOptions();
        options.Bootstrap.ApiKey = key;
        return new TenancyBootstrap(
            host.Services.GetRequiredService<IGrainFactory>(),
            host.Services.GetRequiredService<ApiKeys>(),
            Options.Create(options),
            TimeProvider.System,
            NullLogger<TenancyBootstrap>.Instance);
    }

    [Fact]
    public async Task The_first_start_makes_the_tenant_and_later_ones_change_nothing()
    {
        Assert.Equal(new BootstrapResult(true, null, true), host.Bootstrap);
        Assert.Equal(new BootstrapResult(false, null, false), await With(ApiHost.ApiKey).EnsureAsync());
        Assert.Equal(new BootstrapResult(false, null, false), await With(null).EnsureAsync());
    }

    [Fact]
    public async Task A_key_configured_later_is_added_and_the_older_one_stays()
    {
        Assert.True((await With("configured-later").EnsureAsync()).ConfiguredKeyAdded);
        Assert.False((await With("configured-later").EnsureAsync()).ConfiguredKeyAdded);
        using var client = host.With("configured-later");
        await Http.JsonAsync(await client.GetAsync("/v1/channels/room:1"));
        await Http.JsonAsync(await host.Server.GetAsync("/v1/channels/room:1"));
    }

    [Fact]
    public async Task A_revoked_key_is_not_revived_by_configuring_it()
    {
        await With("revoked-afterwards").EnsureAsync();
        var keys = host.Services.GetRequiredService<ApiKeys>();
        await host.Services.GetRequiredService<IGrainFactory>().GetGrain<IApiKeyGrain>(keys.Digest("revoked-afterwards")).RevokeAsync();
        await Assert.ThrowsAsync<GridStartupException>(() => With("revoked-afterwards").EnsureAsync());
        using var client = host.With("revoked-afterwards");
        await Http.ProblemAsync(await client.GetAsync("/v1/channels/room:1"), System.Net.HttpStatusCode.Unauthorized, "unauthorized");
    }

    [Fact]
    public async Task A_tenant_rotates_its_signing_key_without_ending_tokens_or_at_once()
    {
        var tenant = host.Services.GetRequiredService<IGrainFactory>().GetGrain<ITenantGrain>("rotating");
        Assert.Null(await tenant.GetSigningKeysAsync());
        Assert.Null(await tenant.RotateSigningKeyAsync(revokeOlder: false));
        Assert.True(await tenant.CreateAsync(new TenantSettings { DisplayName = "Rotating" }));
        Assert.False(await tenant.CreateAsync(new TenantSettings()));
        var first = Assert.Single((await tenant.GetSigningKeysAsync())!);
        var second = await tenant.RotateSigningKeyAsync(revokeOlder: false);
        var both = await tenant.GetSigningKeysAsync();
        Assert.Equal([second, first.Id], both!.Select(k => k.Id));
        Assert.Null(both![0].RetiresAt);
        Assert.NotNull(both[1].RetiresAt);
        var third = await tenant.RotateSigningKeyAsync(revokeOlder: true);
        Assert.Equal(third, Assert.Single((await tenant.GetSigningKeysAsync())!).Id);
        Assert.Equal("Rotating", (await tenant.GetAsync())!.Settings.DisplayName);
    }

    [Fact]
    public void A_generated_key_is_told_in_words_once_and_is_not_in_what_is_logged()
    {
        var result = new BootstrapResult(true, "gk_the-key", false);
        var told = new StringWriter();
        result.Tell(told);
        Assert.Contains("gk_the-key", told.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("gk_the-key", result.ToString(), StringComparison.Ordinal);
        told = new StringWriter();
        new BootstrapResult(false, null, true).Tell(told);
        Assert.Empty(told.ToString());
    }
}

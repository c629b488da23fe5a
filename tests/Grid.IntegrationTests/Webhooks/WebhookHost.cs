using Grid.Client;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Grid.Testing;
using Grid.Testing.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>One host process for all tests of webhooks that leave it alone, with two tenants; each test uses channels of its own.</summary>
public sealed class WebhookHost : IAsyncLifetime, IDisposable
{
    private const string OtherKey = "another-tenants-key-0123456789";
    private const string NarrowKey = "key-of-few-channels-0123456789";
    private static int _count;
    private readonly TestFolder _folder = new("webhooks");
    private readonly HttpClient _http = new();

    public HostProcess Process { get; private set; } = null!;

    /// <summary>The tenant <c>default</c>.</summary>
    public GridHttp Http { get; private set; } = null!;

    /// <summary>The tenant <c>other</c>.</summary>
    public GridHttp Other { get; private set; } = null!;

    /// <summary>The tenant <c>default</c> by a key that may <c>subscribe</c> on <c>narrow:*</c>, without <c>history</c>.</summary>
    public GridHttp Narrow { get; private set; } = null!;

    /// <summary>The SDK's HTTP side, for the tenant <c>default</c>.</summary>
    public GridServerClient Server { get; private set; } = null!;

    /// <summary>A polled webhook, paused with 60 messages of which retention keeps 10: <see cref="WebhookEventTests"/>.</summary>
    public string Cut { get; private set; } = "";

    /// <summary>The channel of <see cref="Cut"/>.</summary>
    public string CutChannel { get; } = NewChannel("tiny");

    /// <summary>A channel that no other test uses.</summary>
    public static string NewChannel(string ns = "hook") => $"{ns}:{Interlocked.Increment(ref _count)}-{Guid.NewGuid():N}";

    public async Task InitializeAsync()
    {
        await MakeTenantsAsync();
        Process = await HostProcess.RunAsync(
            [
                new("Grid__Webhooks__AllowPrivateNetworks", "true"),

                // Short, for endpoints that hang; and longer than receivers, which run beside much else, take to answer: what is not
                // answered in time comes again.
                new("Grid__Webhooks__RequestTimeout", "00:00:05"),
                new("Grid__Webhooks__FirstProbe", "00:00:01"),
                new("Grid__Webhooks__SweepInterval", "00:00:00.5"),
                new("Grid__Namespaces__tiny__MaxMessages", "10"),
                new("Grid__Namespaces__eph__Durability", "Ephemeral"),
                new("Grid__Namespaces__nohist__History", "false"),
            ],
            _folder["data"]);
        Http = Process.Http();
        Other = new GridHttp(Process.Address, OtherKey);
        Narrow = new GridHttp(Process.Address, NarrowKey);
        Server = new GridServerClient(_http, Process.Address, Process.ApiKey);

        // Now, because retention looks only every half minute.
        var made = (await Http.PostAsync("/v1/webhooks", $$"""{"url":"http://127.0.0.1:9/","channels":["{{CutChannel}}"]}""")).Ok();
        Cut = made.Json.GetProperty("id").GetString()!;
        (await Http.PostAsync($"/v1/webhooks/{Cut}/pause", "")).Ok();
        (await Http.PostAsync(GridHttp.ChannelPath(CutChannel, "/messages"), $"[{string.Join(',', Enumerable.Range(1, 60).Select(i => $$"""{"data":{{i}}}"""))}]")).Ok();
    }

    public async Task DisposeAsync()
    {
        Http.Dispose();
        Other.Dispose();
        Narrow.Dispose();
        await Process.DisposeAsync();
    }

    public void Dispose()
    {
        _http.Dispose();
        _folder.Dispose();
    }

    /// <summary>No endpoint makes tenants, so they are put into the data folder before the host starts on it.</summary>
    private async Task MakeTenantsAsync()
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        builder.UseOrleans(silo => silo.UseLocalhostClustering(FreePort.Next(), FreePort.Next()).AddGrid(options =>
        {
            options.DataDirectory = _folder["data"];
            options.Bootstrap.ApiKey = HostProcess.DefaultApiKey;
        }));
        await using var app = builder.Build();
        await app.StartAsync();
        var grains = app.Services.GetRequiredService<IGrainFactory>();
        var keys = app.Services.GetRequiredService<ApiKeys>();
        Assert.True(await grains.GetGrain<ITenantGrain>("other").CreateAsync(new TenantSettings()));
        await AddKeyAsync(OtherKey, "other", new() { ["*"] = ["subscribe", "publish", "history", "presence"] });
        await AddKeyAsync(NarrowKey, "default", new() { ["narrow:*"] = ["subscribe", "publish"] });
        await app.StopAsync();

        async Task AddKeyAsync(string key, string tenant, Dictionary<string, string[]> capabilities) => Assert.True(
            await grains.GetGrain<IApiKeyGrain>(keys.Digest(key)).CreateAsync(new ApiKeyInfo
            {
                Tenant = tenant, Name = "test", Capabilities = capabilities, CreatedAt = DateTimeOffset.UtcNow,
            }));
    }
}

[CollectionDefinition(Name)]
public sealed class WebhookCollection : ICollectionFixture<WebhookHost>
{
    public const string Name = "webhooks";
}

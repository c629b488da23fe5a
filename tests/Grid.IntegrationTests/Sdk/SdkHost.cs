using Grid.Client;
using Grid.Testing.Hosting;
using Grid.Testing.Sdk;

namespace Grid.IntegrationTests.Sdk;

/// <summary>One real host for the tests that leave it alone, or only start it again.</summary>
public sealed class SdkHost : IAsyncLifetime, IDisposable
{
    private readonly HttpClient _http = new();

    public HostProcess Host { get; private set; } = null!;

    public GridHttp Http { get; private set; } = null!;

    /// <summary>The SDK's HTTP side, with the host's API key.</summary>
    public GridServerClient Server { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Host = await HostProcess.RunAsync([new("Grid__Namespaces__short__MaxMessages", "10")]);
        Http = Host.Http();
        Server = new GridServerClient(_http, Host.Address, Host.ApiKey);
    }

    public async Task DisposeAsync()
    {
        Http.Dispose();
        await Host.DisposeAsync();
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Options with a token that may do everything.</summary>
    internal async Task<GridClientOptions> OptionsAsync(string user, CuttableTransport? transport = null) => new()
    {
        Uri = Host.Address,
        Token = await Http.TokenAsync(user),
        Transport = transport ?? new CuttableTransport(),
        BackoffMin = TimeSpan.FromMilliseconds(50),
        BackoffMax = TimeSpan.FromMilliseconds(500),
        PublishTimeout = TimeSpan.FromMinutes(2),
    };
}

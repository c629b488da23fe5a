using Grid.Server.Hosting;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Net;
using Grid.UnitTests.Webhooks.Network;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Webhooks.Playground;

public sealed class OwnReceiverTests
{
    private static OwnReceiver At(bool? enabled, params string[] addresses)
    {
        var options = new GridOptions();
        options.Playground.Enabled = enabled;
        return new OwnReceiver(Options.Create(options), new Listening(addresses));
    }

    [Theory]
    [InlineData("http://localhost:8080", "http://localhost:8080/playground/receiver/a-1")]
    [InlineData("http://127.0.0.1:5000", "http://127.0.0.1:5000/playground/receiver/a-1")]
    [InlineData("http://[::1]:5000", "http://[::1]:5000/playground/receiver/a-1")]
    [InlineData("http://[::]:8080", "http://127.0.0.1:8080/playground/receiver/a-1")]
    [InlineData("http://0.0.0.0:8080", "http://127.0.0.1:8080/playground/receiver/a-1")]
    [InlineData("http://192.0.2.7:8080", "http://192.0.2.7:8080/playground/receiver/a-1")]
    [InlineData("https://localhost:8443", null)]
    public void It_is_where_the_host_listens_by_plain_http(string address, string? url)
    {
        Assert.Equal(url, At(null, address).UrlOf("a-1")?.AbsoluteUri);
        Assert.Equal(url, At(null, "https://[::]:443", address).UrlOf("a-1")?.AbsoluteUri);
        Assert.Equal(url, At(true, address).UrlOf("a-1")?.AbsoluteUri);
        Assert.Null(At(false, address).UrlOf("a-1"));
        Assert.Null(At(false, address).Redirect(new Uri("http://localhost:8080/playground/receiver/a-1")));
    }

    [Theory]
    [InlineData("http://localhost:8080/playground/receiver/abc")]
    [InlineData("http://localhost:9999/playground/receiver/abc")]
    [InlineData("http://10.0.0.1/playground/receiver/abc")]
    public void Whatever_host_is_named_it_is_this_one(string url) =>
        Assert.Equal("http://localhost:8080/playground/receiver/abc", At(null, "http://localhost:8080").Redirect(new Uri(url))?.AbsoluteUri);

    [Theory]
    [InlineData("http://localhost:8080/")]
    [InlineData("http://localhost:8080/playground/token")]
    [InlineData("http://localhost:8080/metrics")]
    [InlineData("http://localhost:8080/playground/receiver/")]
    [InlineData("http://localhost:8080/playground/receiver/../token")]
    [InlineData("http://localhost:8080/playground/receiver/%2e%2e/token")]
    [InlineData("http://localhost:8080/playground/receiver/..%2ftoken")]
    [InlineData("http://localhost:8080/playground/receiver/a/b")]
    [InlineData("http://localhost:8080/playground/receiver/A")]
    [InlineData("http://localhost:8080/playground/receiver/a?x=1")]
    [InlineData("http://localhost:8080/playground/receiver/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    [InlineData("http://localhost:8080//playground/receiver/a")]
    [InlineData("https://localhost:8080/playground/receiver/a")]
    public void It_has_one_path(string url) => Assert.Null(At(true, "http://localhost:8080").Redirect(new Uri(url)));

    [Fact]
    public async Task Its_sender_reaches_this_process_and_nothing_else()
    {
        await using var here = TcpReceiver.Answering("HTTP/1.1 204 No Content\r\n\r\n");
        await using var elsewhere = TcpReceiver.Answering("HTTP/1.1 204 No Content\r\n\r\n");
        var receiver = At(null, $"http://localhost:{here.Port}");
        using var http = new WebhookHttp(new WebhookNetworkOptions { RequestTimeout = TimeSpan.FromMinutes(2) }, receiver, TimeProvider.System);

        Task<WebhookResponse> SendAsync(string url) => http.SendAsync(new WebhookRequest { Url = new Uri(url), Tenant = "acme", Body = "{}"u8.ToArray() });
        Assert.Equal(204, (await SendAsync($"http://localhost:{here.Port}/playground/receiver/a")).Status);
        Assert.Equal(WebhookErrorClass.RefusedAddress, (await SendAsync($"http://localhost:{here.Port}/v1/tokens")).Error);
        Assert.Equal(WebhookErrorClass.RefusedAddress, (await SendAsync($"http://localhost:{elsewhere.Port}/playground/receiver/a")).Error);
        Assert.Equal((1, 0), (here.Connections, elsewhere.Connections));

        // What every other tenant's subscriptions are sent by does not know the way.
        using var others = new WebhookHttp(
            new WebhookNetworkOptions { AllowHttp = true, RequestTimeout = TimeSpan.FromMinutes(2) }, FakeResolver.Loopback, TimeProvider.System);
        var refused = await others.SendAsync(new WebhookRequest { Url = new Uri($"http://localhost:{here.Port}/playground/receiver/a"), Tenant = "acme", Body = "{}"u8.ToArray() });
        Assert.Equal(WebhookErrorClass.RefusedAddress, refused.Error);
        Assert.Equal(1, here.Connections);
    }

    private sealed class Listening : IServer, IServerAddressesFeature
    {
        public Listening(string[] addresses)
        {
            Addresses = addresses;
            Features.Set<IServerAddressesFeature>(this);
        }

        public IFeatureCollection Features { get; } = new FeatureCollection();

        public ICollection<string> Addresses { get; }

        public bool PreferHostingUrls { get; set; }

        public Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
            where TContext : notnull => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public void Dispose()
        {
        }
    }
}

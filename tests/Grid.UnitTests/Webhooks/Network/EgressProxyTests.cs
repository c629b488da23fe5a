using System.Globalization;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Net;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class EgressProxyTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Endpoints may only be outside; the proxy is on loopback.</summary>
    private static WebhookHttp Sender(int proxy, IHostResolver resolver, Action<WebhookNetworkOptions>? change = null)
    {
        var options = new WebhookNetworkOptions { AllowHttp = true, RequestTimeout = TimeSpan.FromMinutes(2), ConnectTimeout = TimeSpan.FromMinutes(1) };
        options.EgressProxy.Url = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{proxy}"));
        options.EgressProxy.ConnectTimeout = TimeSpan.FromSeconds(30);
        change?.Invoke(options);
        return new WebhookHttp(options, resolver, TimeProvider.System);
    }

    private static FakeResolver Outside => new FakeResolver().With("hooks.example.com", "93.184.215.14");

    private static WebhookRequest Request { get; } = new() { Url = new Uri("http://hooks.example.com/"), Tenant = "acme", Body = "{}"u8.ToArray() };

    /// <summary>A proxy that plays the endpoint too.</summary>
    private static TcpReceiver Proxy(List<string> seen, string answer = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n") => new(async c =>
    {
        seen.Add((await c.ReadRequestAsync())!);
        await c.SendAsync(answer);
        while (await c.ReadRequestAsync() is { } request)
        {
            seen.Add(request);
            await c.SendAsync(Ok);
        }
    });

    [Fact]
    public async Task A_request_goes_through_the_tunnel_to_the_address_that_was_checked()
    {
        var seen = new List<string>();
        await using var proxy = Proxy(seen);
        using var http = Sender(proxy.Port, Outside, static o => (o.EgressProxy.UserName, o.EgressProxy.Password) = ("me", "secret"));
        Assert.True((await http.SendAsync(Request).WaitAsync(Patience)).IsSuccess);
        Assert.True((await http.SendAsync(Request).WaitAsync(Patience)).IsSuccess);
        Assert.Equal("CONNECT 93.184.215.14:80 HTTP/1.1\r\nHost: 93.184.215.14:80\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n", seen[0]);
        Assert.StartsWith("POST / HTTP/1.1\r\nHost: hooks.example.com\r\n", seen[1], StringComparison.Ordinal);
        Assert.DoesNotContain("Proxy", seen[1], StringComparison.Ordinal);
        Assert.Equal((1, 3), (proxy.Connections, seen.Count));
    }

    [Fact]
    public async Task An_endpoint_inside_is_refused_before_the_proxy_is_asked()
    {
        await using var proxy = Proxy([]);
        foreach (var byName in (bool[])[false, true])
        {
            using var http = Sender(proxy.Port, new FakeResolver().With("hooks.example.com", "93.184.215.14 10.0.0.1"), o => o.EgressProxy.ResolveAtProxy = byName);
            Assert.Equal(WebhookErrorClass.RefusedAddress, (await http.SendAsync(Request).WaitAsync(Patience)).Error);
            Assert.Equal(WebhookErrorClass.RefusedAddress, (await http.SendAsync(Request with { Url = new Uri("http://127.0.0.1/") }).WaitAsync(Patience)).Error);
        }

        Assert.Equal(0, proxy.Connections);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_proxy_can_be_given_the_name_also_of_hosts_unknown_here(bool known)
    {
        var seen = new List<string>();
        await using var proxy = Proxy(seen);
        using var http = Sender(proxy.Port, known ? Outside : new FakeResolver(), static o => o.EgressProxy.ResolveAtProxy = true);
        Assert.True((await http.SendAsync(Request).WaitAsync(Patience)).IsSuccess);
        Assert.StartsWith("CONNECT hooks.example.com:80 HTTP/1.1\r\n", seen[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false)]
    [InlineData("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", false)]
    [InlineData("HTTP/1.1 500 X\r\n\r\n", false)]
    [InlineData("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n", false)]
    [InlineData("220 smtp ready\r\n\r\n", false)]
    [InlineData("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)]
    [InlineData("HTTP/1.1 200 OK\r\n", false)]
    [InlineData("", false)]
    [InlineData("HTTP/1.1 502 Bad Gateway\r\n\r\n", true)]
    [InlineData("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno!", true)]
    [InlineData("HTTP/1.1 504 Gateway Timeout\r\n\r\n", true)]
    public async Task A_failure_of_the_proxy_is_not_the_endpoints(string answer, bool endpoints)
    {
        await using var proxy = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync(answer);
        });
        using var http = Sender(proxy.Port, Outside);
        var response = await http.SendAsync(Request).WaitAsync(Patience);
        Assert.Equal((endpoints ? WebhookErrorClass.Connect : WebhookErrorClass.Proxy, endpoints), (response.Error, response.IsEndpointFault));
        Assert.Null(response.Status);
    }

    [Fact]
    public async Task A_proxy_that_talks_without_end_is_left()
    {
        await using var proxy = new TcpReceiver(static async c =>
        {
            await c.ReadRequestAsync();
            while (true) await c.SendAsync(new string('x', 1000));
        });
        using var http = Sender(proxy.Port, Outside);
        Assert.Equal(WebhookErrorClass.Proxy, (await http.SendAsync(Request).WaitAsync(Patience)).Error);
    }

    [Fact]
    public async Task A_proxy_that_is_away_or_unknown_is_not_the_endpoints_fault()
    {
        int port;
        await using (var proxy = Proxy([])) port = proxy.Port;
        using var away = Sender(port, Outside);
        Assert.Equal(WebhookErrorClass.Proxy, (await away.SendAsync(Request).WaitAsync(Patience)).Error);
        using var unknown = Sender(port, Outside, static o => o.EgressProxy.Url = new Uri("http://proxy.example.com:3128"));
        Assert.Equal(WebhookErrorClass.Proxy, (await unknown.SendAsync(Request).WaitAsync(Patience)).Error);
    }

    [Fact]
    public async Task The_next_address_is_tried_when_the_proxy_cannot_reach_one()
    {
        var seen = new List<string>();
        await using var proxy = new TcpReceiver(async c =>
        {
            var connect = (await c.ReadRequestAsync())!;
            seen.Add(connect.Split(' ')[1]);
            await c.SendAsync(connect.Contains("[2606:4700::1]", StringComparison.Ordinal) ? "HTTP/1.1 502 Bad Gateway\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n");
            if (await c.ReadRequestAsync() is not null) await c.SendAsync(Ok);
        });
        using var http = Sender(proxy.Port, new FakeResolver().With("hooks.example.com", "2606:4700::1 93.184.215.14"));
        Assert.True((await http.SendAsync(Request).WaitAsync(Patience)).IsSuccess);
        Assert.Equal(["[2606:4700::1]:80", "93.184.215.14:80"], seen);
    }
}

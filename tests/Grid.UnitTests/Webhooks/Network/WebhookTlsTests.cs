using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class WebhookTlsTests : IDisposable
{
    private const string Host = "hooks.example.com";
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _file = Path.GetTempFileName();
    private readonly X509Certificate2 _root = TestCertificates.Root("Test CA");

    public WebhookTlsTests() => File.WriteAllText(_file, _root.ExportCertificatePem());

    public void Dispose()
    {
        _root.Dispose();
        File.Delete(_file);
    }

    private WebhookHttp Sender(bool trusting, IHostResolver? resolver = null) => new(
        new WebhookNetworkOptions
        {
            AllowPrivateNetworks = true,
            RequestTimeout = TimeSpan.FromMinutes(2),
            ConnectTimeout = TimeSpan.FromMinutes(1),
            ResolveTimeout = TimeSpan.FromMinutes(1),
            TrustedCertificates = trusting ? _file : null,
        },
        resolver ?? FakeResolver.Loopback,
        TimeProvider.System);

    private static WebhookRequest Request(int port, string host = Host) => new()
    {
        Url = new Uri(string.Create(CultureInfo.InvariantCulture, $"https://{host}:{port}/")), Tenant = "acme", Body = "{}"u8.ToArray(),
    };

    [Fact]
    public async Task A_certificate_of_a_trusted_authority_is_accepted_and_asked_for_by_the_urls_name()
    {
        using var certificate = TestCertificates.Signed(_root, Host);
        await using var receiver = new TcpReceiver(static async c =>
        {
            while (await c.ReadRequestAsync() is not null) await c.SendAsync(Ok);
        }, certificate);
        using var http = Sender(trusting: true);
        var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
        Assert.True(response.IsSuccess, response.Detail);
        Assert.Equal([Host], receiver.ServerNames);
    }

    [Fact]
    public async Task Other_certificates_are_refused()
    {
        using var stranger = TestCertificates.Root("Other CA");
        using var selfSigned = TestCertificates.Root(Host, Host);
        using var unknown = TestCertificates.Signed(stranger, Host);
        using var trusted = TestCertificates.Signed(_root, Host);
        using var otherName = TestCertificates.Signed(_root, "other.example.com");
        using var expired = TestCertificates.Signed(_root, Host, until: DateTimeOffset.UtcNow.AddMinutes(-1));
        using var client = TestCertificates.Signed(_root, Host, usage: "1.3.6.1.5.5.7.3.2");
        (X509Certificate2 Certificate, bool Trusting)[] bad =
            [(selfSigned, true), (selfSigned, false), (unknown, true), (trusted, false), (otherName, true), (expired, true), (client, true)];
        foreach (var (certificate, trusting) in bad)
        {
            var requests = 0;
            await using var receiver = new TcpReceiver(async c =>
            {
                if (await c.ReadRequestAsync() is not null) requests++;
            }, certificate);
            using var http = Sender(trusting);
            var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
            Assert.Equal(WebhookErrorClass.Tls, response.Error);
            Assert.StartsWith("TLS failed: ", response.Detail, StringComparison.Ordinal);
            Assert.Equal(0, requests);
        }
    }

    [Fact]
    public async Task Plain_http_where_tls_is_expected_is_a_failure_of_tls()
    {
        await using var receiver = new TcpReceiver(static async c => await c.SendAsync(Ok));
        using var http = Sender(trusting: true);
        Assert.Equal(WebhookErrorClass.Tls, (await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience)).Error);
    }

    [Fact]
    public async Task A_certificate_cannot_make_the_sender_fetch_its_issuer()
    {
        // The intermediate certificate is not sent; the leaf says where to get it.
        await using var inside = TcpReceiver.Answering(Ok);
        using var intermediate = TestCertificates.Signed(_root, "Intermediate", authority: true);
        using var leaf = TestCertificates.Signed(intermediate, Host, issuerAt: $"http://127.0.0.1:{inside.Port}/ca.crt");
        await using var receiver = new TcpReceiver(static async c => await c.ReadRequestAsync(), leaf);
        foreach (var trusting in (bool[])[true, false])
        {
            using var http = Sender(trusting);
            Assert.Equal(WebhookErrorClass.Tls, (await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience)).Error);
        }

        Assert.Equal(0, inside.Connections);
    }

    [Fact]
    public async Task Http_2_is_used_where_it_is_offered_and_a_stream_that_is_reset_is_told_as_such()
    {
        using var certificate = TestCertificates.Signed(_root, Host);
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, l => l.UseHttps(certificate)));
        await using var app = builder.Build();
        app.MapPost("/", static (HttpContext c) => c.Request.Protocol);
        app.MapPost("/reset", static (HttpContext c) => c.Abort());
        app.MapPost("/endless", static async (HttpContext c) =>
        {
            var block = new byte[16 * 1024];
            while (!c.RequestAborted.IsCancellationRequested) await c.Response.Body.WriteAsync(block);
        });
        await app.StartAsync();
        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        var request = Request(new Uri(address).Port);

        using var http = Sender(trusting: true);
        Assert.Equal("HTTP/2", (await http.SendAsync(request).WaitAsync(Patience)).Body);
        Assert.Equal(WebhookErrorClass.Reset, (await http.SendAsync(request with { Url = new Uri(request.Url, "/reset") }).WaitAsync(Patience)).Error);
        var endless = await http.SendAsync(request with { Url = new Uri(request.Url, "/endless") }).WaitAsync(Patience);
        Assert.Equal((true, 65536, true), (endless.IsSuccess, endless.BodyBytes, endless.BodyClipped));
        Assert.True((await http.SendAsync(request).WaitAsync(Patience)).IsSuccess);
        await app.StopAsync();
    }

    [Fact]
    public async Task Who_waits_for_its_own_look_ups_holds_up_no_other_tenant_at_the_same_host()
    {
        using var certificate = TestCertificates.Signed(_root, Host);
        await using var receiver = new TcpReceiver(static async c =>
        {
            while (await c.ReadRequestAsync() is not null) await c.SendAsync(Ok);
        }, certificate);
        using var answer = new ManualResetEventSlim();
        using var resolver = new SystemHostResolver(4, 1, TimeSpan.FromMinutes(1), host =>
        {
            if (host == "void.example") answer.Wait();
            return [IPAddress.Loopback];
        });
        using var http = Sender(trusting: true, resolver);
        var hanging = resolver.ResolveAsync("void.example", "hostile");
        var waiting = Enumerable.Range(1, 3).Select(_ => http.SendAsync(Request(receiver.Port) with { Tenant = "hostile" })).ToList();
        var response = await http.SendAsync(Request(receiver.Port) with { Tenant = "other" }).WaitAsync(Patience);
        Assert.True(response.IsSuccess, response.Detail);

        // Its turn comes when its other look-up is over.
        answer.Set();
        await hanging.WaitAsync(Patience);
        Assert.All(await Task.WhenAll(waiting).WaitAsync(Patience), static r => Assert.True(r.IsSuccess, r.Detail));
    }
}

/// <summary>Certificates for tests.</summary>
internal static class TestCertificates
{
    /// <summary>An authority, or with a name for its host a self-signed certificate of one.</summary>
    public static X509Certificate2 Root(string name, string? host = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request(key, name, host, host is null, null);
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-2), DateTimeOffset.UtcNow.AddDays(2));
    }

    /// <summary>A certificate signed by another.</summary>
    public static X509Certificate2 Signed(
        X509Certificate2 issuer, string host, DateTimeOffset? until = null, string usage = "1.3.6.1.5.5.7.3.1", bool authority = false, string? issuerAt = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request(key, host, authority ? null : host, authority, authority ? null : usage);
        if (issuerAt is not null) request.CertificateExtensions.Add(new X509AuthorityInformationAccessExtension(null, [issuerAt]));
        using var certificate = request.Create(issuer, DateTimeOffset.UtcNow.AddDays(-1), until ?? DateTimeOffset.UtcNow.AddDays(1), Guid.NewGuid().ToByteArray());
        return certificate.CopyWithPrivateKey(key);
    }

    private static CertificateRequest Request(ECDsa key, string name, string? host, bool authority, string? usage)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(authority, false, 0, true));
        if (usage is not null) request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(usage)], false));
        if (host is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            request.CertificateExtensions.Add(names.Build());
        }

        return request;
    }
}

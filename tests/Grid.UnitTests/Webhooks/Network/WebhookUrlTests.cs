using System.Net;
using Grid.Server.Webhooks.Network;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class WebhookUrlTests
{
    private static readonly NetworkRules Strict = new(new WebhookNetworkOptions());

    /// <summary>URLs that must not be taken, each with a part of the reason.</summary>
    public static TheoryData<string, string> Bad { get; } = new()
    {
        // Not https, or no URL.
        { "", "missing" },
        { "http://example.com/", "must be https" },
        { "ftp://example.com/", "absolute" },
        { "file:///etc/passwd", "absolute" },
        { "gopher://127.0.0.1:6379/_INFO", "absolute" },
        { "javascript:alert(1)", "absolute" },
        { "data:text/plain,x", "absolute" },
        { "//example.com/", "absolute" },
        { "/hooks", "absolute" },
        { "example.com/hooks", "absolute" },
        { "https:example.com", "absolute" },
        { "https:/example.com/", "absolute" },
        { "https:///example.com/", "no host" },
        { "https://", "no host" },
        { "https://:443/", "no host" },
        { "https://?x", "no host" },

        // Ports.
        { "https://example.com:22/", "port is 22" },
        { "https://example.com:80/", "port is 80" },
        { "https://example.com:6379/", "port is 6379" },
        { "https://example.com:0/", "1 to 65535" },
        { "https://example.com:65536/", "1 to 65535" },
        { "https://example.com:99999999999/", "1 to 65535" },
        { "https://example.com:/", "1 to 65535" },
        { "https://example.com:+443/", "1 to 65535" },
        { "https://example.com:443:80/", "1 to 65535" },
        { "https://example.com:0x1bb/", "1 to 65535" },

        // Two readings of where the host is.
        { "https://user@example.com/", "user name" },
        { "https://user:secret@example.com/", "user name" },
        { "https://example.com@127.0.0.1/", "user name" },
        { "https://127.0.0.1:443@example.com/", "user name" },
        { "https://example.com:443@127.0.0.1:443/", "user name" },
        { "https://@127.0.0.1/", "user name" },
        { "https://example.com\\@127.0.0.1/", "backslash" },
        { "https:\\\\127.0.0.1\\", "backslash" },
        { "https://127.0.0.1\\.example.com/", "backslash" },
        { "https://example.com/#fragment", "fragment" },
        { "https://127.0.0.1#@example.com/", "fragment" },
        { "https://example.com#@127.0.0.1/", "fragment" },
        { "https://127.0.0.1?@example.com/", "Loopback" },
        { " https://example.com/", "white space" },
        { "https://example.com/ ", "white space" },
        { "https://exa mple.com/", "white space" },
        { "https://example.com/\r\nX-Injected: 1", "white space" },
        { "https://127.0.0.1\t.example.com/", "white space" },
        { "https://example.com\0.evil.com/", "control" },
        { "https://example.com/\x7f", "control" },
        { "https://127.0.0.1%00.example.com/", "percent-encoded" },
        { "https://127%2e0%2e0%2e1/", "percent-encoded" },
        { "https://%31%32%37.0.0.1/", "percent-encoded" },
        { "https://loc%61lhost/", "percent-encoded" },

        // Beyond ASCII: full-width digits and dots, circled digits, soft hyphens, look-alikes.
        { "https://１２７.０.０.１/", "ASCII" },
        { "https://127。0。0。1/", "ASCII" },
        { "https://127．0．0．1/", "ASCII" },
        { "https://①②⑦.⓪.⓪.①/", "ASCII" },
        { "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "ASCII" },
        { "https://local\u00adhost/", "ASCII" },
        { "https://exаmple.com/", "ASCII" },
        { "https://bücher.example/", "ASCII" },
        { "https://example.com／@127.0.0.1/", "ASCII" },
        { "https://example.com/\u202egnp.exe", "ASCII" },

        // IPv4 in its usual form and others.
        { "https://127.0.0.1/", "Loopback" },
        { "https://127.255.255.254:8443/", "Loopback" },
        { "https://0.0.0.0/", "Unspecified" },
        { "https://10.0.0.1/", "Private" },
        { "https://172.16.0.1/", "Private" },
        { "https://172.31.255.255/", "Private" },
        { "https://192.168.1.1/", "Private" },
        { "https://169.254.169.254/latest/meta-data/", "Metadata" },
        { "https://168.63.129.16/", "Metadata" },
        { "https://100.100.100.200/", "Metadata" },
        { "https://169.254.1.1/", "LinkLocal" },
        { "https://100.64.0.1/", "Shared" },
        { "https://192.0.0.1/", "ProtocolAssignment" },
        { "https://192.0.2.1/", "Documentation" },
        { "https://198.18.0.1/", "Benchmarking" },
        { "https://224.0.0.1/", "Multicast" },
        { "https://255.255.255.255/", "Broadcast" },
        { "https://2130706433/", "ends in a number" },
        { "https://0x7f000001/", "ends in a number" },
        { "https://0x7F.0.0.1/", "ends in a number" },
        { "https://017700000001/", "ends in a number" },
        { "https://0177.0.0.1/", "ends in a number" },
        { "https://127.1/", "ends in a number" },
        { "https://127.0.1/", "ends in a number" },
        { "https://0/", "ends in a number" },
        { "https://127.0.0.01/", "ends in a number" },
        { "https://127.0.0.1./", "ends in a number" },
        { "https://127.0.0.256/", "ends in a number" },
        { "https://1.127.0.0.1/", "ends in a number" },
        { "https://example.0x7f/", "ends in a number" },
        { "https://2852039166/", "ends in a number" },
        { "https://0251.0376.0251.0376/", "ends in a number" },
        { "https://425.510.425.510/", "ends in a number" },

        // IPv6.
        { "https://[::]/", "Unspecified" },
        { "https://[::1]/", "Loopback" },
        { "https://[0:0:0:0:0:0:0:1]/", "Loopback" },
        { "https://[::ffff:127.0.0.1]/", "Mapped" },
        { "https://[::ffff:7f00:1]/", "Mapped" },
        { "https://[::127.0.0.1]/", "Compatible" },
        { "https://[64:ff9b::7f00:1]/", "Translated" },
        { "https://[64:ff9b:1::a00:1]/", "Translated" },
        { "https://[2002:7f00:1::]/", "SixToFour" },
        { "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "Teredo" },
        { "https://[fc00::1]/", "UniqueLocal" },
        { "https://[fd00:ec2::254]/", "Metadata" },
        { "https://[fe80::1]/", "LinkLocal" },
        { "https://[fe80::1%25eth0]/", "zone" },
        { "https://[fe80::1%eth0]/", "zone" },
        { "https://[fec0::1]/", "SiteLocal" },
        { "https://[ff02::1]/", "Multicast" },
        { "https://[2001:db8::1]/", "Documentation" },
        { "https://[100::1]/", "Discard" },
        { "https://[4000::1]/", "Reserved" },
        { "https://[::1/", "closing bracket" },
        { "https://[::1]x/", "1 to 65535" },
        { "https://[::1].example.com/", "1 to 65535" },
        { "https://[example.com]/", "not an IPv6 address" },
        { "https://[127.0.0.1]/", "not an IPv6 address" },
        { "https://::1/", "no host" },

        // Names of machines and networks inside, and what is no name.
        { "https://localhost/", "inside a network" },
        { "https://LOCALHOST:8443/", "inside a network" },
        { "https://hooks.localhost/", "inside a network" },
        { "https://printer.local/", "inside a network" },
        { "https://metadata.google.internal/", "inside a network" },
        { "https://router.home.arpa/", "inside a network" },
        { "https://redis/", "inside a network" },
        { "https://localhost./", "end with a dot" },
        { "https://example.com./", "end with a dot" },
        { "https://./", "end with a dot" },
        { "https://example..com/", "empty part" },
        { "https://.example.com/", "empty part" },
        { "https://-example.com/", "hyphen" },
        { "https://exam!ple.com/", "characters" },
        { "https://exa<mple.com/", "characters" },
        { "https://exam]ple.com/", "characters" },
        { $"https://{new string('a', 64)}.com/", "63 characters" },
        { $"https://{string.Join('.', Enumerable.Repeat("abcdefgh", 30))}.com/", "253 characters" },
        { $"https://example.com/{new string('a', 2048)}", "2048 characters" },
        { $"https://example.com/{new string('"', 1000)}", "2048 characters" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void A_bad_url_is_refused_with_its_reason(string url, string reason)
    {
        var result = WebhookUrl.Parse(url, Strict);
        Assert.Null(result.Uri);
        Assert.Contains(result.Errors, e => e.Contains(reason, StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public async Task What_the_library_would_still_read_of_it_is_refused_at_the_connection(string url, string reason)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.IdnHost.Length == 0 || uri.Port <= 0 || reason.Contains("2048", StringComparison.Ordinal)) return;
        var connector = new GuardedConnector(new WebhookNetworkOptions(), FakeResolver.Loopback, TimeProvider.System);
        await Assert.ThrowsAsync<AddressRefusedException>(() => connector.ConnectAsync(new DnsEndPoint(uri.IdnHost, uri.Port), "acme", addresses: null, default));
    }

    [Fact]
    public void A_missing_url_is_refused() => Assert.Null(WebhookUrl.Parse(null, Strict).Uri);

    [Theory]
    [InlineData("https://example.com", "https://example.com/")]
    [InlineData("HTTPS://Example.COM:443/Hooks?a=B", "https://example.com/Hooks?a=B")]
    [InlineData("https://example.com:8443/x", "https://example.com:8443/x")]
    [InlineData("https://a.b-c.example.co.uk/services/T0/B0/xyz", "https://a.b-c.example.co.uk/services/T0/B0/xyz")]
    [InlineData("https://my_app.example.com/", "https://my_app.example.com/")]
    [InlineData("https://xn--bcher-kva.example.com/", "https://xn--bcher-kva.example.com/")]
    [InlineData("https://xn--0.example.com/", "https://xn--0.example.com/")]
    [InlineData("https://example.com/a/../b", "https://example.com/b")]
    [InlineData("https://example.com/?to=user@example.org&path=%2F..%2F", "https://example.com/?to=user@example.org&path=%2F..%2F")]
    [InlineData("https://8.8.8.8/", "https://8.8.8.8/")]
    [InlineData("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x")]
    [InlineData("https://1e100.net/", "https://1e100.net/")]
    [InlineData("https://example.com?x", "https://example.com/?x")]
    public void A_good_url_is_taken_in_its_normal_form(string url, string normal)
    {
        var result = WebhookUrl.Parse(url, Strict);
        Assert.Empty(result.Errors);
        Assert.Equal(normal, result.Uri!.AbsoluteUri);
        Assert.Equal(normal, result.Uri.OriginalString);
        Assert.Equal(result.Uri, WebhookUrl.Parse(normal, Strict).Uri);
    }

    [Fact]
    public void Everything_wrong_is_told_at_once()
    {
        var errors = WebhookUrl.Parse("http://me@localhost:22/#x", Strict).Errors;
        Assert.Equal(5, errors.Count);
        Assert.Equal(4, WebhookUrl.Parse("https://exämple.com\\ \0", Strict).Errors.Count);
    }

    [Fact]
    public void Settings_open_http_ports_and_names_inside()
    {
        var http = new WebhookNetworkOptions { AllowHttp = true };
        Assert.Empty(WebhookUrl.Parse("http://example.com/", new NetworkRules(http)).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("http://localhost/", new NetworkRules(http)).Errors);

        var inside = new WebhookNetworkOptions { AllowedNetworks = { "10.0.0.0/8" }, AllowedPorts = { 443, 9000 } };
        Assert.Empty(WebhookUrl.Parse("https://10.1.2.3:9000/", new NetworkRules(inside)).Errors);
        Assert.Empty(WebhookUrl.Parse("https://hooks.corp.internal/", new NetworkRules(inside)).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("https://10.1.2.3:8443/", new NetworkRules(inside)).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("https://192.168.1.1/", new NetworkRules(inside)).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("http://10.1.2.3/", new NetworkRules(inside)).Errors);

        var development = new NetworkRules(new WebhookNetworkOptions { AllowPrivateNetworks = true });
        Assert.Empty(WebhookUrl.Parse("http://localhost:5000/", development).Errors);
        Assert.Empty(WebhookUrl.Parse("http://[::1]:5000/", development).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("http://169.254.169.254/", development).Errors);
        Assert.NotEmpty(WebhookUrl.Parse("http://2130706433/", development).Errors);
    }
}

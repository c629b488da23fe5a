using System.Net;
using Grid.Server.Webhooks.Network;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class WebhookNetworkOptionsTests
{
    private static ValidateOptionsResult Validate(WebhookNetworkOptions options) => new WebhookNetworkOptionsValidator().Validate(null, options);

    [Fact]
    public void The_defaults_are_good() => Assert.True(Validate(new WebhookNetworkOptions()).Succeeded);

    [Fact]
    public void Everything_wrong_is_told_at_once_and_secrets_are_not_repeated()
    {
        var options = new WebhookNetworkOptions
        {
            AllowedNetworks = { "10.0.0.0/8", "10.0.0.0/33", "inside" },
            AllowedPorts = { 0 },
            RequestTimeout = TimeSpan.Zero,
            ConnectTimeout = TimeSpan.Zero,
            ResolveTimeout = TimeSpan.Zero,
            MaxLookups = 0,
            MaxLookupsPerTenant = 0,
            MaxAnswerBytes = -1,
            KeptAnswerBytes = -1,
            MaxConnectionsPerHost = 0,
            IdleConnectionTimeout = TimeSpan.FromSeconds(-1),
            ConnectionLifetime = TimeSpan.Zero,
            TrustedCertificates = "/nowhere/ca.pem",
        };
        options.EgressProxy.Url = new Uri("https://me:hunter2@proxy/");
        options.EgressProxy.UserName = "a:b";
        string[] expected =
        [
            "10.0.0.0/33", "inside", "AllowedPorts", "RequestTimeout", ":ConnectTimeout is", "ResolveTimeout", "MaxLookups is", "MaxLookupsPerTenant", "MaxAnswerBytes",
            "KeptAnswerBytes", "MaxConnectionsPerHost", "IdleConnectionTimeout", "ConnectionLifetime", "TrustedCertificates", "EgressProxy:Url",
            "both UserName", "colon", "EgressProxy:ConnectTimeout",
        ];
        var failures = Validate(options).Failures!.ToList();
        foreach (var part in expected) Assert.Contains(part, string.Join('\n', failures), StringComparison.Ordinal);
        Assert.Equal(expected.Length, failures.Count);
        Assert.DoesNotContain(failures, static f => f.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public void The_settings_are_read_from_the_configuration()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Grid:Webhooks:AllowedNetworks:0"] = "127.0.0.0/8",
            ["Grid:Webhooks:AllowedPorts:0"] = "9000",
            ["Grid:Webhooks:RequestTimeout"] = "00:00:05",
            ["Grid:Webhooks:EgressProxy:Url"] = "http://proxy:3128",
        }).Build();
        using var services = new ServiceCollection().AddWebhookNetwork(configuration).BuildServiceProvider();
        var options = services.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value;
        Assert.Equal(TimeSpan.FromSeconds(5), options.RequestTimeout);
        Assert.Equal(3128, options.EgressProxy.Url!.Port);
        Assert.Null(services.GetRequiredService<NetworkRules>().Addresses.Refusal(IPAddress.Loopback));
        Assert.True(services.GetRequiredService<NetworkRules>().AllowsPort(9000));
        Assert.False(services.GetRequiredService<NetworkRules>().AllowsPort(443));
        Assert.NotNull(services.GetRequiredService<WebhookHttp>());
    }
}

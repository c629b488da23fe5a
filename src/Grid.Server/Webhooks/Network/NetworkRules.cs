using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>The settings that say what webhooks may connect to, in the form in which they are asked.</summary>
internal sealed class NetworkRules
{
    private readonly HashSet<int>? _ports;

    /// <summary>Reads the settings, which were validated.</summary>
    public NetworkRules(WebhookNetworkOptions options)
    {
        Addresses = new AddressRules([.. options.AllowedNetworks.Select(IPNetwork.Parse)], options.AllowPrivateNetworks);
        AllowsHttp = options.AllowHttp || options.AllowPrivateNetworks;
        if (options.AllowPrivateNetworks) return;
        _ports = options.AllowedPorts.Count > 0 ? [.. options.AllowedPorts] : options.AllowHttp ? [443, 8443, 80] : [443, 8443];
    }

    /// <summary>The rules for addresses.</summary>
    public AddressRules Addresses { get; }

    /// <summary>Whether URLs may be plain http.</summary>
    public bool AllowsHttp { get; }

    /// <summary>The ports that are allowed, for messages.</summary>
    public string Ports => _ports is null ? "any" : string.Join(", ", _ports.Order());

    /// <summary>Whether webhooks may connect to a port.</summary>
    public bool AllowsPort(int port) => port is > 0 and <= IPEndPoint.MaxPort && (_ports is null || _ports.Contains(port));

    /// <summary>Whether URLs may have a scheme.</summary>
    public bool AllowsScheme(string scheme) => scheme == Uri.UriSchemeHttps || (scheme == Uri.UriSchemeHttp && AllowsHttp);
}

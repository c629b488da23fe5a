using System.Net;
using System.Net.Sockets;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Which addresses webhooks may connect to: global unicast, and what the operator opened. The tables follow IANA's special-purpose
/// address registries (RFC 6890 and its updates); of IPv6 only 2000::/3, the part given out as global unicast, can be global.
/// </summary>
/// <param name="allowed">Ranges that the operator opened.</param>
/// <param name="allowPrivate">Whether addresses of private and local networks are open.</param>
internal sealed class AddressRules(IReadOnlyCollection<IPNetwork> allowed, bool allowPrivate)
{
    private static readonly IPNetwork GlobalUnicast = IPNetwork.Parse("2000::/3");

    /// <summary>The first range that an address is in decides, so that what is part of another comes before it.</summary>
    private static readonly (IPNetwork Range, AddressKind Kind)[] Special =
    [
        // Metadata and credentials of AWS, Azure, Google and others; agents, name servers and clocks at the side of them.
        Range("169.254.169.254/32", AddressKind.Metadata),
        Range("169.254.169.253/32", AddressKind.Metadata),
        Range("169.254.169.123/32", AddressKind.Metadata),
        Range("169.254.170.2/32", AddressKind.Metadata),
        Range("169.254.170.23/32", AddressKind.Metadata),
        Range("169.254.0.23/32", AddressKind.Metadata),
        Range("169.254.42.42/32", AddressKind.Metadata),
        Range("168.63.129.16/32", AddressKind.Metadata),
        Range("100.100.100.200/32", AddressKind.Metadata),
        Range("192.0.0.192/32", AddressKind.Metadata),
        Range("fd00:ec2::/32", AddressKind.Metadata),
        Range("fd20:ce::254/128", AddressKind.Metadata),
        Range("fd00:42::42/128", AddressKind.Metadata),
        Range("fd00:c1::a9fe:a9fe/128", AddressKind.Metadata),
        Range("fe80::a9fe:a9fe/128", AddressKind.Metadata),

        // IPv4.
        Range("0.0.0.0/8", AddressKind.Unspecified),
        Range("10.0.0.0/8", AddressKind.Private),
        Range("100.64.0.0/10", AddressKind.Shared),
        Range("127.0.0.0/8", AddressKind.Loopback),
        Range("169.254.0.0/16", AddressKind.LinkLocal),
        Range("172.16.0.0/12", AddressKind.Private),
        Range("192.0.0.0/24", AddressKind.ProtocolAssignment),
        Range("192.0.2.0/24", AddressKind.Documentation),
        Range("192.88.99.0/24", AddressKind.SixToFour),
        Range("192.168.0.0/16", AddressKind.Private),
        Range("198.18.0.0/15", AddressKind.Benchmarking),
        Range("198.51.100.0/24", AddressKind.Documentation),
        Range("203.0.113.0/24", AddressKind.Documentation),
        Range("224.0.0.0/4", AddressKind.Multicast),
        Range("255.255.255.255/32", AddressKind.Broadcast),
        Range("240.0.0.0/4", AddressKind.Reserved),

        // IPv6 outside of 2000::/3; the rest of it is reserved.
        Range("::/128", AddressKind.Unspecified),
        Range("::1/128", AddressKind.Loopback),
        Range("::/96", AddressKind.Compatible),
        Range("64:ff9b::/96", AddressKind.Translated),
        Range("64:ff9b:1::/48", AddressKind.Translated),
        Range("100::/63", AddressKind.Discard),
        Range("fc00::/7", AddressKind.UniqueLocal),
        Range("fe80::/10", AddressKind.LinkLocal),
        Range("fec0::/10", AddressKind.SiteLocal),
        Range("ff00::/8", AddressKind.Multicast),

        // IPv6 inside of it.
        Range("2001::/32", AddressKind.Teredo),
        Range("2001:2::/48", AddressKind.Benchmarking),
        Range("2001:10::/28", AddressKind.Orchid),
        Range("2001:20::/28", AddressKind.Orchid),
        Range("2001:30::/28", AddressKind.Orchid),
        Range("2001::/23", AddressKind.ProtocolAssignment),
        Range("2001:db8::/32", AddressKind.Documentation),
        Range("2002::/16", AddressKind.SixToFour),
        Range("3fff::/20", AddressKind.Documentation),
    ];

    /// <summary>Whether some addresses are open that are not global unicast.</summary>
    public bool HasExceptions { get; } = allowPrivate || allowed.Count > 0;

    /// <summary>What an address is for. One of IPv6 with a scope is only ever of a link or a site.</summary>
    public static AddressKind Classify(IPAddress address)
    {
        // First, since ranges take it for the IPv4 address in it.
        if (address.IsIPv4MappedToIPv6) return AddressKind.Mapped;
        foreach (var (range, kind) in Special)
        {
            if (range.Contains(address)) return kind;
        }

        if (address.AddressFamily == AddressFamily.InterNetwork) return AddressKind.Global;
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return AddressKind.Reserved;
        if (address.ScopeId != 0) return AddressKind.LinkLocal;
        return GlobalUnicast.Contains(address) ? AddressKind.Global : AddressKind.Reserved;
    }

    /// <summary>Why an address must not be connected to, or null if it may.</summary>
    public AddressKind? Refusal(IPAddress address)
    {
        var kind = Classify(address);
        if (kind == AddressKind.Global || (IsOpen(address, kind) && MayOpenInner(address, kind))) return null;
        return kind;
    }

    private bool IsOpen(IPAddress address, AddressKind kind) => kind switch
    {
        // No host's address: the system takes them for this machine, for many, or for another one.
        AddressKind.Unspecified or AddressKind.Multicast or AddressKind.Broadcast or AddressKind.Mapped => false,

        // Inside of the ranges that people open without a thought of them.
        AddressKind.Metadata => allowed.Any(range => range.Contains(address) && range.PrefixLength == range.BaseAddress.GetAddressBytes().Length * 8),
        AddressKind.Loopback or AddressKind.Private or AddressKind.LinkLocal or AddressKind.Shared or AddressKind.UniqueLocal
            or AddressKind.SiteLocal or AddressKind.Benchmarking => allowPrivate || IsAllowed(address),
        _ => IsAllowed(address),
    };

    private bool IsAllowed(IPAddress address) => allowed.Any(range => range.Contains(address));

    /// <summary>Where IPv6 leads to an IPv4 address, opening the one does not open the other.</summary>
    private bool MayOpenInner(IPAddress address, AddressKind kind)
    {
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return true;
        var bytes = address.GetAddressBytes();
        byte[]? inner = kind switch
        {
            AddressKind.Compatible or AddressKind.Translated => bytes[12..],
            AddressKind.SixToFour => bytes[2..6],
            AddressKind.Teredo => [.. bytes[12..].Select(static b => (byte)~b)],
            _ => null,
        };
        return inner is null || Refusal(new IPAddress(inner)) is null;
    }

    private static (IPNetwork Range, AddressKind Kind) Range(string range, AddressKind kind) => (IPNetwork.Parse(range), kind);
}

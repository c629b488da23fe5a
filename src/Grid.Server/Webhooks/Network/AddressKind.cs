namespace Grid.Server.Webhooks.Network;

/// <summary>What an address is for, by the special-purpose registries of IANA; only <see cref="Global"/> is an endpoint on the internet.</summary>
internal enum AddressKind
{
    /// <summary>Global unicast: any host on the internet.</summary>
    Global,

    /// <summary>No address, or "this network" (RFC 791, 4291); connecting to it reaches this machine.</summary>
    Unspecified,

    /// <summary>This machine (RFC 1122, 4291).</summary>
    Loopback,

    /// <summary>Private (RFC 1918).</summary>
    Private,

    /// <summary>The same link (RFC 3927, 4291).</summary>
    LinkLocal,

    /// <summary>Shared between a carrier and its customers (RFC 6598).</summary>
    Shared,

    /// <summary>Unique local (RFC 4193).</summary>
    UniqueLocal,

    /// <summary>Site-local, which unique local replaced (RFC 3879).</summary>
    SiteLocal,

    /// <summary>A group of hosts (RFC 5771, 4291).</summary>
    Multicast,

    /// <summary>All hosts of the link (RFC 919).</summary>
    Broadcast,

    /// <summary>For examples (RFC 5737, 3849, 9637).</summary>
    Documentation,

    /// <summary>For measuring devices (RFC 2544, 5180).</summary>
    Benchmarking,

    /// <summary>Reserved, or not given out as global unicast.</summary>
    Reserved,

    /// <summary>Assigned to protocols (RFC 6890, 2928).</summary>
    ProtocolAssignment,

    /// <summary>An IPv4 address written as IPv6 (RFC 4291).</summary>
    Mapped,

    /// <summary>The older way of writing IPv4 as IPv6 (RFC 4291).</summary>
    Compatible,

    /// <summary>Translated to IPv4 by NAT64 (RFC 6052, 8215).</summary>
    Translated,

    /// <summary>Tunnelled over IPv4 by 6to4 (RFC 3056), or its relays (RFC 7526).</summary>
    SixToFour,

    /// <summary>Tunnelled over UDP by Teredo (RFC 4380).</summary>
    Teredo,

    /// <summary>A hash of a key, not a place (RFC 4843, 7343).</summary>
    Orchid,

    /// <summary>To be dropped (RFC 6666).</summary>
    Discard,

    /// <summary>A service that gives a cloud's machines their credentials and settings.</summary>
    Metadata,
}

using System.Net;
using Grid.Server.Webhooks.Network;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class AddressRulesTests
{
    private static readonly AddressRules Strict = new([], false);

    /// <summary>The special ranges, each with an address before and after it that is global unicast, as far as there is one.</summary>
    [Theory]
    [InlineData("0.0.0.0/8", nameof(AddressKind.Unspecified), null, "1.0.0.0")]
    [InlineData("10.0.0.0/8", nameof(AddressKind.Private), "9.255.255.255", "11.0.0.0")]
    [InlineData("100.64.0.0/10", nameof(AddressKind.Shared), "100.63.255.255", "100.128.0.0")]
    [InlineData("127.0.0.0/8", nameof(AddressKind.Loopback), "126.255.255.255", "128.0.0.0")]
    [InlineData("169.254.0.0/16", nameof(AddressKind.LinkLocal), "169.253.255.255", "169.255.0.0")]
    [InlineData("172.16.0.0/12", nameof(AddressKind.Private), "172.15.255.255", "172.32.0.0")]
    [InlineData("192.0.0.0/24", nameof(AddressKind.ProtocolAssignment), "191.255.255.255", "192.0.1.0")]
    [InlineData("192.0.2.0/24", nameof(AddressKind.Documentation), "192.0.1.255", "192.0.3.0")]
    [InlineData("192.88.99.0/24", nameof(AddressKind.SixToFour), "192.88.98.255", "192.88.100.0")]
    [InlineData("192.168.0.0/16", nameof(AddressKind.Private), "192.167.255.255", "192.169.0.0")]
    [InlineData("198.18.0.0/15", nameof(AddressKind.Benchmarking), "198.17.255.255", "198.20.0.0")]
    [InlineData("198.51.100.0/24", nameof(AddressKind.Documentation), "198.51.99.255", "198.51.101.0")]
    [InlineData("203.0.113.0/24", nameof(AddressKind.Documentation), "203.0.112.255", "203.0.114.0")]
    [InlineData("224.0.0.0/4", nameof(AddressKind.Multicast), "223.255.255.255", null)]
    [InlineData("240.0.0.0/5", nameof(AddressKind.Reserved), null, null)]
    [InlineData("255.255.255.255/32", nameof(AddressKind.Broadcast), null, null)]
    [InlineData("::/128", nameof(AddressKind.Unspecified), null, null)]
    [InlineData("::1/128", nameof(AddressKind.Loopback), null, null)]
    [InlineData("::1:0:0/112", nameof(AddressKind.Reserved), null, null)]
    [InlineData("64:ff9b::/96", nameof(AddressKind.Translated), null, null)]
    [InlineData("64:ff9b:1::/48", nameof(AddressKind.Translated), null, null)]
    [InlineData("100::/64", nameof(AddressKind.Discard), null, null)]
    [InlineData("1000::/4", nameof(AddressKind.Reserved), null, "2000::")]
    [InlineData("2001::/32", nameof(AddressKind.Teredo), "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", null)]
    [InlineData("2001:2::/48", nameof(AddressKind.Benchmarking), null, null)]
    [InlineData("2001:10::/28", nameof(AddressKind.Orchid), null, null)]
    [InlineData("2001:20::/28", nameof(AddressKind.Orchid), null, null)]
    [InlineData("2001:100::/24", nameof(AddressKind.ProtocolAssignment), null, "2001:200::")]
    [InlineData("2001:db8::/32", nameof(AddressKind.Documentation), "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::")]
    [InlineData("2002::/16", nameof(AddressKind.SixToFour), "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::")]
    [InlineData("3fff::/20", nameof(AddressKind.Documentation), "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::")]
    [InlineData("4000::/2", nameof(AddressKind.Reserved), "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", null)]
    [InlineData("5f00::/16", nameof(AddressKind.Reserved), null, null)]
    [InlineData("8000::/2", nameof(AddressKind.Reserved), null, null)]
    [InlineData("fc00::/7", nameof(AddressKind.UniqueLocal), null, null)]
    [InlineData("fe80::/10", nameof(AddressKind.LinkLocal), null, null)]
    [InlineData("fec0::/10", nameof(AddressKind.SiteLocal), null, null)]
    [InlineData("ff00::/8", nameof(AddressKind.Multicast), null, null)]
    public void A_special_range_is_refused_from_end_to_end(string range, string kind, string? before, string? after)
    {
        var network = IPNetwork.Parse(range);
        var random = new Random(1);
        for (var i = 0; i < 200; i++)
        {
            // Both ends, and what is between.
            var address = Inside(network, i switch { 0 => _ => 0, 1 => _ => 0xFF, _ => _ => (byte)random.Next(256) });
            Assert.True(network.Contains(address));
            Assert.NotNull(Strict.Refusal(address));
            Assert.Contains(AddressRules.Classify(address), (AddressKind[])[Enum.Parse<AddressKind>(kind), AddressKind.Metadata]);
        }

        foreach (var neighbour in (string?[])[before, after])
        {
            if (neighbour is not null) Assert.Null(Strict.Refusal(IPAddress.Parse(neighbour)));
        }
    }

    [Theory]
    [InlineData("8.8.8.8")]
    [InlineData("1.1.1.1")]
    [InlineData("93.184.215.14")]
    [InlineData("2606:4700:4700::1111")]
    [InlineData("2a00:1450:4001:80b::200e")]
    public void Global_unicast_is_not_refused(string address) => Assert.Null(Strict.Refusal(IPAddress.Parse(address)));

    [Fact]
    public void An_address_with_a_scope_is_refused() => Assert.NotNull(Strict.Refusal(new IPAddress(IPAddress.Parse("2606:4700::1").GetAddressBytes(), 3)));

    [Theory]
    [InlineData("169.254.169.254")]
    [InlineData("168.63.129.16")]
    [InlineData("100.100.100.200")]
    [InlineData("192.0.0.192")]
    [InlineData("fd00:ec2::254")]
    [InlineData("fd20:ce::254")]
    public void A_metadata_service_is_opened_only_by_a_range_of_its_own(string text)
    {
        var address = IPAddress.Parse(text);
        Assert.Equal(AddressKind.Metadata, Strict.Refusal(address));
        Assert.Equal(AddressKind.Metadata, new AddressRules([], true).Refusal(address));
        Assert.Equal(AddressKind.Metadata, new AddressRules([IPNetwork.Parse("0.0.0.0/0"), IPNetwork.Parse("::/0")], true).Refusal(address));
        Assert.Null(new AddressRules([new IPNetwork(address, address.GetAddressBytes().Length * 8)], false).Refusal(address));
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("10.1.2.3")]
    [InlineData("192.168.0.1")]
    [InlineData("100.64.0.1")]
    [InlineData("::1")]
    [InlineData("fd00::1")]
    [InlineData("fe80::1%2")]
    public void Private_networks_can_be_opened_as_a_whole(string address) => Assert.Null(new AddressRules([], true).Refusal(IPAddress.Parse(address)));

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    [InlineData("224.0.0.1")]
    [InlineData("ff02::1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::ffff:8.8.8.8")]
    [InlineData("255.255.255.255")]
    public void What_is_no_hosts_address_stays_closed(string address) =>
        Assert.NotNull(new AddressRules([IPNetwork.Parse("0.0.0.0/0"), IPNetwork.Parse("::/0")], true).Refusal(IPAddress.Parse(address)));

    [Theory]
    [InlineData("10.20.0.0/16", "10.20.255.255", true)]
    [InlineData("10.20.0.0/16", "10.21.0.0", false)]
    [InlineData("10.20.0.0/16", "::ffff:10.20.0.1", false)]
    [InlineData("::/0", "::ffff:8.8.8.8", false)]
    [InlineData("::/0", "::ffff:10.20.0.1", false)]
    [InlineData("fd12:3456::/32", "fd12:3456::1", true)]
    [InlineData("fd12:3456::/32", "fd12:3457::1", false)]
    [InlineData("64:ff9b::/96", "64:ff9b::808:808", true)]
    [InlineData("64:ff9b::/96", "64:ff9b::a00:1", false)]
    [InlineData("64:ff9b::/96", "64:ff9b::a9fe:a9fe", false)]
    [InlineData("2002::/16", "2002:808:808::1", true)]
    [InlineData("2002::/16", "2002:7f00:1::1", false)]
    [InlineData("2001::/32", "2001:0:4136:e378:8000:63bf:80ff:fffe", false)]
    [InlineData("2001::/32", "2001:0:4136:e378:8000:63bf:f7f7:f7f7", true)]
    public void A_range_opens_what_is_in_it_but_not_what_that_leads_to(string range, string address, bool open) =>
        Assert.Equal(open, new AddressRules([IPNetwork.Parse(range)], false).Refusal(IPAddress.Parse(address)) is null);

    private static IPAddress Inside(IPNetwork network, Func<int, byte> fill)
    {
        var bytes = network.BaseAddress.GetAddressBytes();
        for (var i = 0; i < bytes.Length; i++)
        {
            var free = Math.Clamp(((i + 1) * 8) - network.PrefixLength, 0, 8);
            bytes[i] |= (byte)(fill(i) & ((1 << free) - 1));
        }

        return new IPAddress(bytes);
    }
}

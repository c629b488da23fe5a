using System.Net;
using System.Net.Sockets;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Net;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class GuardedConnectorTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>Rules that open this machine's first loopback address and one port, as an operator would for a receiver inside.</summary>
    private static WebhookNetworkOptions Open(int port) => new() { AllowedNetworks = { "127.0.0.1/32" }, AllowedPorts = { port } };

    private static Task<Stream> ConnectAsync(WebhookNetworkOptions options, IHostResolver resolver, string host, int port, CancellationToken cancellation = default) =>
        new GuardedConnector(options, resolver, TimeProvider.System).ConnectAsync(new DnsEndPoint(host, port), "acme", addresses: null, cancellation);

    [Fact]
    public async Task A_name_is_looked_up_once_and_its_address_connected_to()
    {
        await using var receiver = new TcpReceiver(static c => c.SendAsync("hello"));
        var resolver = new FakeResolver().With("hooks.example.com", "127.0.0.1", "127.0.0.9");
        await using var stream = await ConnectAsync(Open(receiver.Port), resolver, "hooks.example.com", receiver.Port);
        var buffer = new byte[5];
        await stream.ReadExactlyAsync(buffer).AsTask().WaitAsync(Patience);
        Assert.Equal("hello"u8.ToArray(), buffer);
        Assert.True(((NetworkStream)stream).Socket.NoDelay);
        Assert.Equal(["hooks.example.com"], resolver.Asked);
    }

    [Fact]
    public async Task A_name_that_changes_to_an_address_inside_is_refused_from_then_on_and_while_it_changes_back()
    {
        await using var receiver = new TcpReceiver(static c => c.HangAsync());
        var resolver = new FakeResolver().With("rebind.example.com", "127.0.0.1", "127.0.0.2", "127.0.0.1", "169.254.169.254", "127.0.0.1 10.0.0.1", "::ffff:127.0.0.1");
        var open = Open(receiver.Port);
        foreach (var refused in (AddressKind?[])[null, AddressKind.Loopback, null, AddressKind.Metadata, AddressKind.Private, AddressKind.Mapped])
        {
            var connect = ConnectAsync(open, resolver, "rebind.example.com", receiver.Port);
            if (refused is null)
            {
                await (await connect).DisposeAsync();
                continue;
            }

            var e = await Assert.ThrowsAsync<AddressRefusedException>(() => connect);
            Assert.Equal(refused, e.Kind);
            Assert.Equal(WebhookErrorClass.RefusedAddress, e.Error);
            Assert.DoesNotContain(e.Address!.ToString(), e.Message, StringComparison.Ordinal);
        }

        Assert.Equal(6, resolver.Asked.Count);
    }

    [Theory]
    [InlineData("127.0.0.1 127.0.0.2")]
    [InlineData("127.0.0.2 127.0.0.1")]
    [InlineData("127.0.0.1 127.0.0.1 127.0.0.1 127.0.0.1 127.0.0.1 127.0.0.1 127.0.0.1 ::1")]
    public async Task One_refused_address_refuses_the_host_and_nothing_is_tried(string addresses)
    {
        await using var receiver = new TcpReceiver(static c => c.HangAsync());
        var resolver = new FakeResolver().With("hooks.example.com", addresses);
        await Assert.ThrowsAsync<AddressRefusedException>(() => ConnectAsync(Open(receiver.Port), resolver, "hooks.example.com", receiver.Port));
        Assert.Equal(0, receiver.Connections);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("2130706433")]
    [InlineData("0x7f.1")]
    [InlineData("::1")]
    [InlineData("[::1]")]
    public async Task An_address_in_any_form_is_judged_as_the_system_reads_it(string host)
    {
        var resolver = new FakeResolver();
        await Assert.ThrowsAsync<AddressRefusedException>(() => ConnectAsync(new WebhookNetworkOptions(), resolver, host, 443));
        Assert.Empty(resolver.Asked);
    }

    [Fact]
    public async Task A_port_that_is_not_allowed_is_refused_before_anything()
    {
        var resolver = FakeResolver.Loopback;
        await Assert.ThrowsAsync<AddressRefusedException>(() => ConnectAsync(Open(443), resolver, "hooks.example.com", 22));
        Assert.Empty(resolver.Asked);
    }

    [Fact]
    public async Task The_next_address_is_tried_when_one_refuses()
    {
        await using var receiver = new TcpReceiver(static c => c.SendAsync("!"));
        var options = new WebhookNetworkOptions { AllowedNetworks = { "127.0.0.0/24" }, AllowedPorts = { receiver.Port } };
        var resolver = new FakeResolver().With("hooks.example.com", "127.0.0.9 127.0.0.8 127.0.0.1");
        await using var stream = await ConnectAsync(options, resolver, "hooks.example.com", receiver.Port);

        // The system connects before the receiver has accepted: its first byte says that it has.
        await stream.ReadExactlyAsync(new byte[1]).AsTask().WaitAsync(Patience);
        Assert.Equal(1, receiver.Connections);
    }

    [Fact]
    public async Task When_all_refuse_the_failure_tells_no_address()
    {
        int port;
        await using (var receiver = new TcpReceiver(static c => c.HangAsync())) port = receiver.Port;
        var e = await Assert.ThrowsAsync<WebhookConnectException>(() => ConnectAsync(Open(port), FakeResolver.Loopback, "hooks.example.com", port));
        Assert.Equal(WebhookErrorClass.Connect, e.Error);
        Assert.DoesNotContain("127.", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_without_address_or_answer_is_a_failure_of_its_own()
    {
        var options = new WebhookNetworkOptions { ResolveTimeout = TimeSpan.FromMilliseconds(50) };
        foreach (var resolver in (IHostResolver[])[new FakeResolver(), new FakeResolver().With("hooks.example.com", ""), new HangingResolver()])
        {
            var e = await Assert.ThrowsAsync<WebhookConnectException>(() => ConnectAsync(options, resolver, "hooks.example.com", 443)).WaitAsync(Patience);
            Assert.Equal(WebhookErrorClass.Dns, e.Error);
        }
    }

    [Fact]
    public async Task It_can_be_cancelled_while_a_name_is_looked_up()
    {
        using var cancel = new CancellationTokenSource();
        var connect = ConnectAsync(new WebhookNetworkOptions(), new HangingResolver(), "hooks.example.com", 443, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connect.WaitAsync(Patience));
    }

    [Fact]
    public async Task Look_ups_of_one_name_are_shared_and_their_number_is_limited()
    {
        using var answer = new ManualResetEventSlim();
        var asked = new List<string>();
        using var resolver = new SystemHostResolver(1, 1, TimeSpan.FromMilliseconds(50), host =>
        {
            lock (asked) asked.Add(host);
            answer.Wait();
            return [IPAddress.Loopback];
        });
        var first = resolver.ResolveAsync("a.example.com", "acme");
        var second = resolver.ResolveAsync("A.example.com", "acme");
        await AssertBusyAsync(resolver.ResolveAsync("b.example.com", "acme"));
        await AssertBusyAsync(resolver.ResolveAsync("b.example.com", "other"));
        answer.Set();
        Assert.Same(await first.WaitAsync(Patience), await second.WaitAsync(Patience));
        Assert.Equal(["a.example.com"], asked);
        Assert.Single(await resolver.ResolveAsync("b.example.com", "acme").WaitAsync(Patience));
        Assert.Single(await resolver.ResolveAsync("a.example.com", "acme").WaitAsync(Patience));
        Assert.Equal(3, asked.Count);
    }

    [Fact]
    public async Task Names_that_never_answer_hold_up_their_tenant_alone()
    {
        using var answer = new ManualResetEventSlim();
        using var resolver = new SystemHostResolver(4, 2, TimeSpan.FromMilliseconds(50), host =>
        {
            if (host.EndsWith(".void.example", StringComparison.Ordinal)) answer.Wait();
            return [IPAddress.Loopback];
        });
        var hanging = Enumerable.Range(1, 50).Select(i => resolver.ResolveAsync($"a{i}.void.example", "hostile")).ToList();
        Assert.Single(await resolver.ResolveAsync("good.example", "acme").WaitAsync(Patience));

        // Who does not wait is told at once.
        await AssertBusyAsync(resolver.ResolveAtOnceAsync("good.example", "hostile"));
        foreach (var waiting in hanging.Skip(2)) await AssertBusyAsync(waiting);
        await AssertBusyAsync(resolver.ResolveAsync("good.example", "hostile"));

        // The same name waits for its turn for one tenant and is looked up at once for another.
        Assert.Single(await resolver.ResolveAsync("good.example", "other").WaitAsync(Patience));
        Assert.Single(await resolver.ResolveAtOnceAsync("good.example", "other").WaitAsync(Patience));
        answer.Set();
        Assert.Single(await hanging[0].WaitAsync(Patience));
        Assert.Single(await hanging[1].WaitAsync(Patience));
        Assert.Single(await resolver.ResolveAsync("good.example", "hostile").WaitAsync(Patience));
    }

    [Fact]
    public async Task The_systems_resolver_knows_this_machine()
    {
        using var resolver = new SystemHostResolver(4, 4, Patience);
        Assert.Contains(await resolver.ResolveAsync("localhost", "acme").WaitAsync(Patience), IPAddress.IsLoopback);
    }

    private static async Task AssertBusyAsync(Task lookUp) =>
        Assert.Equal(WebhookErrorClass.Busy, (await Assert.ThrowsAsync<WebhookConnectException>(() => lookUp.WaitAsync(Patience))).Error);

    private sealed class HangingResolver : IHostResolver
    {
        public Task<IPAddress[]> ResolveAsync(string host, string tenant) => new TaskCompletionSource<IPAddress[]>().Task;
    }
}

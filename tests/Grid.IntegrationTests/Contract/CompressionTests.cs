using System.IO.Compression;
using System.Text;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

/// <summary>One host whose tenant <c>default</c> may compress; the tenant of the playground may not.</summary>
public sealed class CompressingHost : IAsyncLifetime
{
    public HostProcess Process { get; } = new(new Dictionary<string, string?>
    {
        ["Grid__Compression__Tenants__0"] = "default",
        ["Grid__Playground__Enabled"] = "true",
    });

    public GridHttp Http { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        await Process.StartAsync();
        Http = Process.Http();
    }

    public async Task DisposeAsync()
    {
        Http.Dispose();
        await Process.DisposeAsync();
    }
}

/// <summary>permessage-deflate (RFC 7692): who gets it, what is compressed, and what a bomb does.</summary>
public class CompressionTests(CompressingHost host) : IClassFixture<CompressingHost>
{
    private const string Offer = "permessage-deflate; client_max_window_bits";
    private static readonly string Large = $"\"{string.Concat(Enumerable.Repeat("the same again, ", 250))}\"";

    [Fact]
    public async Task It_is_off_by_default()
    {
        await using var plain = await HostProcess.RunAsync([]);
        using var http = plain.Http();
        using var socket = await RawSocket.UpgradeAsync(plain.Address, await http.TokenAsync("ana"), extensions: Offer);
        Assert.Equal(101, socket.Status);
        Assert.DoesNotContain("permessage-deflate", socket.ResponseHead, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_token_of_a_tenant_without_it_gets_none()
    {
        using var anyone = new GridHttp(host.Process.Address, null);
        var token = (await anyone.PostAsync("/playground/token", "{}")).Ok().Json.GetProperty("token").GetString()!;
        using var socket = await RawSocket.UpgradeAsync(host.Process.Address, token, extensions: Offer);
        Assert.DoesNotContain("permessage-deflate", socket.ResponseHead, StringComparison.OrdinalIgnoreCase);

        // One that says only in hello who it is gets its messages as they are.
        using var late = await RawSocket.UpgradeAsync(host.Process.Address, null, extensions: Offer);
        await late.SendAsync(ClientFrames.Hello(token));
        await late.SendAsync(ClientFrames.Subscribe(1, "chat:plain"));
        Assert.NotNull(await late.ReadUntilAsync("subscribed"));
        await late.SendAsync(ClientFrames.Publish(2, "chat:plain", Large));
        Assert.Equal(0, (await MessageAsync(late)).Reserved);
    }

    [Theory]
    [InlineData(Subprotocols.Json)]
    [InlineData(Subprotocols.Proto)]
    public async Task Large_messages_are_deflated_and_nothing_else(string subprotocol)
    {
        var channel = ContractHost.NewChannel();
        using var socket = await RawSocket.UpgradeAsync(
            host.Process.Address, await host.Http.TokenAsync("ana"), subprotocol, extensions: Offer);
        Assert.Contains("permessage-deflate", socket.ResponseHead, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("server_no_context_takeover", socket.ResponseHead, StringComparison.OrdinalIgnoreCase);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.Equal(0, (await socket.ReadUntilAsync("welcome"))!.Reserved);
        await socket.SendAsync(ClientFrames.Subscribe(1, channel));
        Assert.NotNull(await socket.ReadUntilAsync("subscribed"));

        await host.Http.PublishAsync(channel, "1");
        Assert.Equal(0, (await MessageAsync(socket)).Reserved);
        for (var i = 0; i < 2; i++)
        {
            await host.Http.PublishAsync(channel, Large);
            var message = await MessageAsync(socket);
            Assert.Equal(4, message.Reserved);
            Assert.InRange(message.Payload.Length, 1, Large.Length / 10);

            // Each by itself: no window from the one before.
            var inflated = Inflate(message.Payload);
            var frame = new RawFrame(0, subprotocol == Subprotocols.Proto ? ProtoFrames.ToJson(inflated) : Encoding.UTF8.GetString(inflated));
            Assert.Equal((channel, Large), (frame.Channel, frame.Payload));
        }
    }

    [Fact]
    public async Task A_client_with_a_small_window_gets_messages_as_they_are()
    {
        var channel = ContractHost.NewChannel();
        using var socket = await RawSocket.UpgradeAsync(
            host.Process.Address, await host.Http.TokenAsync("ana"), extensions: "permessage-deflate; server_max_window_bits=10");
        await socket.SendAsync(ClientFrames.Hello());
        await socket.SendAsync(ClientFrames.Subscribe(1, channel));
        Assert.NotNull(await socket.ReadUntilAsync("subscribed"));
        await host.Http.PublishAsync(channel, Large);
        Assert.Equal(0, (await MessageAsync(socket)).Reserved);
    }

    [Theory]
    [InlineData(Subprotocols.Json)]
    [InlineData(Subprotocols.Proto)]
    public async Task A_library_that_compresses_sends_and_receives(string subprotocol)
    {
        var channel = ContractHost.NewChannel();
        var options = new RawClientOptions { Token = await host.Http.TokenAsync("ana"), Subprotocol = subprotocol, Compression = true };
        await using var client = await RawClient.OpenAsync(host.Process.Address, options);
        await client.SubscribeAsync(channel);
        string[] payloads = ["1", Large, "\"é 😀\"", $"\"{new string('x', 30_000)}\"", "base64:AAEC/w==", Large];
        var answers = await Task.WhenAll(payloads.Select(p => client.PublishAsync(channel, p)));
        Assert.All(answers, a => Assert.Equal("published", a.Type));
        await client.MessageAsync(channel, payloads.Length);
        Assert.Equal(payloads, client.Messages(channel).Select(m => m.Payload));
        await client.PingAsync();
    }

    [Theory]
    [InlineData(60_000, 0)]
    [InlineData(70_000, 4504)]
    [InlineData(64 * 1024 * 1024, 4504)]
    public async Task What_inflates_past_the_limit_is_4504(int bytes, int code)
    {
        using var socket = await RawSocket.UpgradeAsync(host.Process.Address, await host.Http.TokenAsync("ana"), extensions: Offer);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
        var before = host.Process.ResidentBytes();
        await socket.SendFrameAsync(1, Deflate($$"""{"type":"ping","x":"{{new string('x', bytes)}}"}"""), reserved: 4);
        if (code == 0) Assert.NotNull(await socket.ReadUntilAsync("pong"));
        else Assert.Equal(code, await socket.ReadToCloseAsync());
        Assert.InRange(host.Process.ResidentBytes() - before, long.MinValue, 32L << 20);
        Assert.Empty(host.Process.Output.Errors);
    }

    [Fact]
    public async Task A_block_that_ends_the_stream_and_holds_nothing_does_not_keep_the_server_busy()
    {
        // Before the hello, where anybody may send it: RFC 7692 allows it, inflaters that find no end in it are known.
        using var socket = await RawSocket.UpgradeAsync(host.Process.Address, await host.Http.TokenAsync("ana"), extensions: Offer);
        await socket.SendFrameAsync(1, new byte[] { 0x03, 0x00 }, reserved: 4);
        Assert.Equal(4502, await socket.ReadToCloseAsync());
        Assert.Empty(host.Process.Output.Errors);
    }

    [Fact]
    public async Task Garbage_that_claims_to_be_deflated_is_4502()
    {
        using var socket = await RawSocket.UpgradeAsync(host.Process.Address, await host.Http.TokenAsync("ana"), extensions: Offer);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
        await socket.SendFrameAsync(1, new byte[] { 0xFF, 0xFF, 0xFF, 0xFF, 0x00 }, reserved: 4);
        Assert.Equal(4502, await socket.ReadToCloseAsync());
        Assert.Empty(host.Process.Output.Errors);
    }

    private static async Task<WireFrame> MessageAsync(RawSocket socket)
    {
        var frame = await socket.ReadUntilAsync(f => f.Opcode == socket.DataOpcode && (f.Reserved == 4 || IsMessage(socket, f)));
        return frame ?? throw new Testing.TestFailedException("The socket ended before a message.");
    }

    private static bool IsMessage(RawSocket socket, WireFrame frame) =>
        new RawFrame(0, socket.DataOpcode == 2 ? ProtoFrames.ToJson(frame.Payload) : frame.Text).Type == "message";

    private static byte[] Inflate(byte[] payload)
    {
        // RFC 7692, 7.2.2.
        using var input = new MemoryStream([.. payload, 0x00, 0x00, 0xFF, 0xFF]);
        using var inflater = new DeflateStream(input, CompressionMode.Decompress);
        using var output = new MemoryStream();
        inflater.CopyTo(output);
        return output.ToArray();
    }

    private static byte[] Deflate(string text)
    {
        using var output = new MemoryStream();
        using var deflater = new DeflateStream(output, CompressionLevel.Optimal);
        deflater.Write(Encoding.UTF8.GetBytes(text));
        deflater.Flush();
        return output.ToArray()[..^4];
    }
}

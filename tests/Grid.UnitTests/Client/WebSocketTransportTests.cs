using System.Net.WebSockets;
using Grid.Client;
using Grid.Protocol;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Grid.UnitTests.Client;

/// <summary>The real transport against a real socket.</summary>
public sealed class WebSocketTransportTests : IAsyncLifetime
{
    private readonly WebApplication _app;

    public WebSocketTransportTests()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.UseWebSockets();
        _app.Map("/v1/ws", (HttpContext context) => EchoAsync(context));
    }

    public Task InitializeAsync() => _app.StartAsync();

    public async Task DisposeAsync() => await _app.DisposeAsync();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(5000)]
    [InlineData(300_000)]
    public async Task Frames_of_any_size_come_whole(int size)
    {
        await using var connection = await ConnectAsync(new WebSocketTransport());
        var frame = new byte[size];
        new Random(size).NextBytes(frame);
        await connection.SendAsync(frame, isText: false, default);
        Assert.Equal(frame, (await connection.ReceiveAsync(default)).Frame.ToArray());
    }

    [Fact]
    public async Task A_frame_over_the_limit_breaks_the_connection()
    {
        await using var connection = await ConnectAsync(new WebSocketTransport { MaxReceiveBytes = 10_000 });
        await connection.SendAsync(new byte[10_001], isText: false, default);
        await Assert.ThrowsAsync<InvalidDataException>(async () => await connection.ReceiveAsync(default));
    }

    [Fact]
    public async Task The_close_code_and_reason_of_the_server_arrive()
    {
        await using var connection = await ConnectAsync(new WebSocketTransport());
        await connection.SendAsync("close"u8.ToArray(), isText: true, default);
        var incoming = await connection.ReceiveAsync(default);
        Assert.Equal((4503, "bye"), (incoming.CloseCode, incoming.CloseReason));
    }

    [Fact]
    public async Task A_close_by_the_client_is_echoed()
    {
        await using var connection = await ConnectAsync(new WebSocketTransport());
        await connection.CloseAsync(CloseCode.Normal, "done", default);
        Assert.Equal(1000, (await connection.ReceiveAsync(default)).CloseCode);
    }

    private static async Task EchoAsync(HttpContext context)
    {
        using var socket = await context.WebSockets.AcceptWebSocketAsync("grid.v1.json");
        var buffer = new byte[1_000_000];
        while (true)
        {
            var length = 0;
            ValueWebSocketReceiveResult result;
            do
            {
                result = await socket.ReceiveAsync(buffer.AsMemory(length), context.RequestAborted);
                length += result.Count;
            }
            while (!result.EndOfMessage);
            if (result.MessageType == WebSocketMessageType.Close)
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "echo", context.RequestAborted);
                return;
            }

            if (result.MessageType == WebSocketMessageType.Text)
            {
                await socket.CloseAsync((WebSocketCloseStatus)4503, "bye", context.RequestAborted);
                return;
            }

            await socket.SendAsync(buffer.AsMemory(0, length), result.MessageType, true, context.RequestAborted);
        }
    }

    private Task<IGridConnection> ConnectAsync(WebSocketTransport transport)
    {
        var address = new UriBuilder(_app.Urls.Single()) { Scheme = "ws", Path = "/v1/ws" }.Uri;
        return transport.ConnectAsync(address, "grid.v1.json", default).WaitAsync(Harness.Patience);
    }
}

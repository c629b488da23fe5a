using System.Globalization;
using System.Net.WebSockets;
using Grid.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Grid.ClusterTests.Deploy;

/// <summary>What a balancer sees of a silo: readiness, requests that tell who answered, a WebSocket that repeats what it hears.</summary>
internal sealed class StubSilo : IAsyncDisposable
{
    private readonly WebApplication _app;
    private int _requests;

    private StubSilo(int number, int port)
    {
        (Number, Port) = (number, port);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        _app = builder.Build();
        _app.UseWebSockets();
        _app.Run(AnswerAsync);
    }

    /// <summary>Its number.</summary>
    public int Number { get; }

    /// <summary>Its port.</summary>
    public int Port { get; }

    /// <summary>Whether it says that it is ready.</summary>
    public bool Ready { get; set; } = true;

    /// <summary>Whether it answers everything but its readiness with 503.</summary>
    public bool Unavailable { get; set; }

    /// <summary>Requests that reached it, readiness aside.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>The last request's headers that tell about the client.</summary>
    public IReadOnlyDictionary<string, string> Forwarded { get; private set; } = new Dictionary<string, string>();

    /// <summary>Starts one.</summary>
    public static async Task<StubSilo> RunAsync(int number)
    {
        var silo = new StubSilo(number, FreePort.Next());
        await silo._app.StartAsync();
        return silo;
    }

    /// <summary>Ends it, its connections included.</summary>
    public async Task StopAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task AnswerAsync(HttpContext context)
    {
        if (context.Request.Path == "/readyz")
        {
            context.Response.StatusCode = Ready ? 200 : 503;
            return;
        }

        Interlocked.Increment(ref _requests);
        Forwarded = context.Request.Headers.Where(h => h.Key.Contains("Forwarded", StringComparison.OrdinalIgnoreCase))
            .ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase);
        if (Unavailable)
        {
            context.Response.StatusCode = 503;
            return;
        }

        if (!context.WebSockets.IsWebSocketRequest)
        {
            await context.Response.WriteAsync(Number.ToString(CultureInfo.InvariantCulture));
            return;
        }

        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        var buffer = new byte[256];
        while (await socket.ReceiveAsync(buffer, context.RequestAborted) is { MessageType: not WebSocketMessageType.Close } received)
            await socket.SendAsync(buffer.AsMemory(0, received.Count), received.MessageType, received.EndOfMessage, context.RequestAborted);
    }
}

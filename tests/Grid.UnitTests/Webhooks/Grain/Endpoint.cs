using System.Threading.Channels;
using Grid.Abstractions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>A request that an endpoint got.</summary>
internal sealed record Delivery(IHeaderDictionary Headers, byte[] Body, string Method)
{
    public string Id => Headers["webhook-id"].ToString();

    public string Attempt => Headers["grid-attempt"].ToString();

    public long Offset => long.Parse(Headers["grid-offset"].ToString(), System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>A web server on loopback that answers deliveries as a test says.</summary>
internal sealed class Endpoint : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stop = new();

    private Endpoint(WebApplication app) => _app = app;

    /// <summary>The requests, in the order in which they came.</summary>
    public Channel<Delivery> Requests { get; } = Channel.CreateUnbounded<Delivery>();

    /// <summary>How many came.</summary>
    public int Count => _count;

    private int _count;

    /// <summary>Answers; the default is 204.</summary>
    public Func<HttpContext, Delivery, Task> Answer { get; set; } = static (context, _) =>
    {
        context.Response.StatusCode = 204;
        return Task.CompletedTask;
    };

    /// <summary>A subscription to <c>orders</c>.</summary>
    public WebhookDefinition Definition => new() { Url = Url, Channels = ["orders"] };

    public string Url => _app.Urls.First() + "/in";

    public static async Task<Endpoint> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var endpoint = new Endpoint(app);
        app.Run(endpoint.TakeAsync);
        await app.StartAsync();
        return endpoint;
    }

    public async Task<Delivery> NextAsync() => await Requests.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));

    /// <summary>Leaves a request unanswered until the test is over, or its sender gives it up.</summary>
    public async Task HangAsync(HttpContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stop.Token);
        await Task.Delay(Timeout.Infinite, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _app.DisposeAsync();
        _stop.Dispose();
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        var copy = new HeaderDictionary();
        foreach (var (name, value) in context.Request.Headers) copy[name] = value;
        var delivery = new Delivery(copy, body.ToArray(), context.Request.Method);
        Interlocked.Increment(ref _count);
        Requests.Writer.TryWrite(delivery);
        await Answer(context, delivery);
    }
}

/// <summary>What endpoints answer.</summary>
internal static class Answers
{
    public static Task Status(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    }

    /// <summary>An answer to the first request; 204 to all others.</summary>
    public static Func<HttpContext, Delivery, Task> Once(int status, params (string Name, string Value)[] headers)
    {
        var first = 1;
        return (context, _) =>
        {
            if (Interlocked.Exchange(ref first, 0) == 0) return Status(context, 204);
            foreach (var (name, value) in headers) context.Response.Headers[name] = value;
            return Status(context, status);
        };
    }
}

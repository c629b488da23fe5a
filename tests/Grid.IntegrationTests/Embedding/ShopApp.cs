using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Security.Claims;
using System.Text.Encodings.Web;
using Grid.Server.Hosting;
using Grid.Testing;
using Grid.Testing.Hosting;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.IntegrationTests.Embedding;

/// <summary>
/// Somebody else's application, into which Grid is put: controllers and minimal APIs, a default authentication scheme of its own, a
/// fallback policy that lets no stranger in, WebSockets of its own, and a grain.
/// </summary>
public class ShopApp : IAsyncLifetime
{
    public const string ApiKey = "embedding-test-key-0123456789";

    private readonly string _folder = Directory.CreateTempSubdirectory("grid-shop-").FullName;
    private WebApplication _app = null!;

    public Uri Address { get; private set; } = null!;

    public IServiceProvider Services => _app.Services;

    /// <summary>What was logged as a warning or worse.</summary>
    public ConcurrentQueue<string> Log { get; } = new();

    /// <summary>What was logged as an error or worse.</summary>
    public IEnumerable<string> Errors => Log.Where(line => !line.StartsWith(nameof(LogLevel.Warning), StringComparison.Ordinal));

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders().AddProvider(new QueueLog(Log));
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(FreePort.Next(), FreePort.Next())
            .AddGrid(options =>
            {
                options.DataDirectory = Path.Combine(_folder, "grid");
                options.Bootstrap.ApiKey = ApiKey;
                options.ResumeWindow = TimeSpan.FromSeconds(1);
                options.CheckpointInterval = TimeSpan.FromMilliseconds(200);
            }));
        builder.Services.AddControllers().AddApplicationPart(typeof(ShopApp).Assembly);
        builder.Services.AddAuthentication(ShopHandler.SchemeName).AddScheme<AuthenticationSchemeOptions, ShopHandler>(ShopHandler.SchemeName, null);
        builder.Services.AddAuthorization(o => o.FallbackPolicy = new AuthorizationPolicyBuilder().RequireAuthenticatedUser().Build());
        _app = builder.Build();
        _app.UseWebSockets();
        _app.UseAuthentication();
        _app.UseAuthorization();
        _app.MapControllers();
        _app.MapGet("/hello", (ClaimsPrincipal user) => $"hello {user.Identity!.Name}");
        _app.MapGet("/echo", EchoAsync);
        Map(_app);
        await _app.StartAsync();
        Address = new Uri(Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
    }

    public async Task DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Grid's HTTP endpoints with its API key.</summary>
    public GridHttp Http() => new(Address, ApiKey);

    /// <summary>Puts Grid's endpoints into the application.</summary>
    protected virtual void Map(WebApplication app) => app.MapGrid();

    private static async Task EchoAsync(HttpContext context)
    {
        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        var buffer = new byte[256];
        var received = await socket.ReceiveAsync(buffer.AsMemory(), context.RequestAborted);
        await socket.SendAsync(buffer.AsMemory(0, received.Count), received.MessageType, true, context.RequestAborted);
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, context.RequestAborted);
    }

    private sealed class QueueLog(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) lines.Enqueue($"{logLevel} {formatter(state, exception)} {exception}");
        }

        public void Dispose()
        {
        }
    }
}

/// <summary>The same application with Grid below a path of its own.</summary>
public sealed class PrefixedShopApp : ShopApp
{
    public const string Prefix = "/realtime";

    /// <inheritdoc/>
    protected override void Map(WebApplication app) => app.MapGroup(Prefix).MapGrid();
}

/// <summary>The shop's own scheme: a header names the user.</summary>
internal sealed class ShopHandler(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
{
    public const string SchemeName = "Shop";
    public const string Header = "X-Shop-User";

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (Request.Headers[Header] is not [{ Length: > 0 } name]) return Task.FromResult(AuthenticateResult.NoResult());
        var identity = new ClaimsIdentity([new Claim(ClaimTypes.Name, name)], SchemeName);
        return Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), SchemeName)));
    }

    protected override Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        Response.StatusCode = StatusCodes.Status401Unauthorized;
        Response.Headers.WWWAuthenticate = SchemeName;
        return Task.CompletedTask;
    }
}

/// <summary>The shop's own controller.</summary>
[ApiController]
[Route("shop")]
public sealed class ShopController(IGrainFactory grains) : ControllerBase
{
    /// <summary>Places an order.</summary>
    [HttpPost("{shop}/orders/{item}")]
    public async Task<long> Place(string shop, string item) => await grains.GetGrain<IOrderGrain>(shop).PlaceAsync(item);

    /// <summary>The orders so far.</summary>
    [HttpGet("{shop}/orders")]
    public async Task<string[]> Orders(string shop) => await grains.GetGrain<IOrderGrain>(shop).GetHistoryAsync();
}

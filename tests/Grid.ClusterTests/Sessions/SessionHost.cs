using System.Collections.Concurrent;
using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Sessions;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Servers;
using Grid.Testing.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.ClusterTests.Sessions;

/// <summary>One silo in this process: sessions in a real Redis, by the real provider; messages and configuration embedded.</summary>
internal sealed class SessionHost : IAsyncDisposable
{
    public const string ApiKey = "redis-test-key-0123456789";

    private readonly TestFolder _folder = new("sessions");
    private WebApplication _app = null!;

    public Uri Address { get; private set; } = null!;

    public GridHttp Http { get; private set; } = null!;

    public IServiceProvider Services => _app.Services;

    /// <summary>What was logged as a warning or worse.</summary>
    public ConcurrentQueue<string> Log { get; } = new();

    /// <summary>What was logged as an error or worse.</summary>
    public IEnumerable<string> Errors => Log.Where(line => !line.StartsWith(nameof(LogLevel.Warning), StringComparison.Ordinal));

    public static async Task<SessionHost> RunAsync(RedisServer redis, Action<GridOptions>? configure = null)
    {
        var host = new SessionHost();
        await host.StartAsync(redis, configure);
        return host;
    }

    /// <summary>Opens a client with a token of this user.</summary>
    public async Task<RawClient> OpenAsync(string user, RawResume? resume = null, TimeSpan? timeout = null)
    {
        var options = new RawClientOptions { Token = await Http.TokenAsync(user), Name = user };
        return await RawClient.OpenAsync(Address, timeout is { } longest ? options with { Timeout = longest } : options, resume);
    }

    /// <summary>The grain of a session of the tenant.</summary>
    public ISessionGrain Session(string session) => Services.GetRequiredService<IGrainFactory>().GetGrain<ISessionGrain>($"default/{session}");

    /// <summary>Ends all activations that are idle, as time does.</summary>
    public Task CollectAsync() => Services.GetRequiredService<IGrainFactory>().GetGrain<IManagementGrain>(0).ForceActivationCollection(TimeSpan.Zero);

    public async ValueTask DisposeAsync()
    {
        Http?.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        _folder.Dispose();
    }

    private async Task StartAsync(RedisServer redis, Action<GridOptions>? configure)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders().AddProvider(new QueueLog(Log));
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(FreePort.Next(), FreePort.Next(), serviceId: "grid", clusterId: "test");
            silo.AddGridRedisSessions(new GridClusterOptions { Redis = redis.ConnectionString });
            silo.Services.AddGridEmbeddedStore();
            silo.AddGridGrainStorage(StorageNames.Config, synced: true);
            silo.Services.AddSingleton<ISiloRelays, SiloRelays>();
            silo.AddGridParts(options =>
            {
                options.DataDirectory = _folder["data"];
                options.Bootstrap.ApiKey = ApiKey;
                options.CheckpointInterval = TimeSpan.FromMilliseconds(200);
                options.DrainSpan = TimeSpan.Zero;
                configure?.Invoke(options);
            });
        });
        _app = builder.Build();
        await Services.OpenGridStoreAsync();
        _app.MapGrid();
        await _app.StartAsync();
        Address = new Uri(Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Http = new GridHttp(Address, ApiKey);
    }

    private sealed class QueueLog(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => new Named(lines, categoryName);

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => false;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
        }

        public void Dispose()
        {
        }

        private sealed class Named(ConcurrentQueue<string> lines, string category) : ILogger
        {
            public IDisposable? BeginScope<TState>(TState state)
                where TState : notnull => null;

            public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

            public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
            {
                if (IsEnabled(logLevel)) lines.Enqueue($"{logLevel} {category}: {formatter(state, exception)} {exception}");
            }
        }
    }
}

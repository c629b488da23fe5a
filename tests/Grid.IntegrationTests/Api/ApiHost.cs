using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Grid.Server.Tenancy;
using Grid.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.IntegrationTests.Api;

/// <summary>A real server on a free port: identity and API over a silo, with channels in memory that can be made to fail.</summary>
public sealed class ApiHost : IAsyncLifetime
{
    public const string ApiKey = "integration-test-key";

    private WebApplication _app = null!;

    internal FakeChannels Channels { get; } = new();

    internal BootstrapResult Bootstrap { get; private set; } = null!;

    public IServiceProvider Services => _app.Services;

    public Uri Address { get; private set; } = null!;

    public ConcurrentQueue<string> Log { get; } = new();

    public HttpClient Anonymous { get; private set; } = null!;

    public HttpClient Server { get; private set; } = null!;

    /// <summary>Called when an answer begins to be written; null: nothing is.</summary>
    public Action<string>? Answering { get; set; }

    public HttpClient With(string credential)
    {
        var client = new HttpClient { BaseAddress = Address };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        return client;
    }

    /// <summary>A client with a token of these capabilities.</summary>
    public async Task<HttpClient> ClientAsync(string capabilities, string user = "ana") => With(await TokenAsync(capabilities, user));

    public async Task<string> TokenAsync(string capabilities, string user = "ana")
    {
        var made = await Http.JsonAsync(await Server.PostAsync("/v1/tokens", Http.Body($$"""{"user":"{{user}}","capabilities":{{capabilities}}}""")));
        return (string)made["token"]!;
    }

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders().AddProvider(new QueueLoggers(Log));
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(FreePort.Next(), FreePort.Next())
            .AddMemoryGrainStorage("config")
            .AddGridDashboard());
        builder.Services.Configure<GridOptions>(o =>
        {
            o.Bootstrap.ApiKey = ApiKey;
            o.Namespaces["secret"] = new NamespacePolicy { History = false };
            o.Namespaces["small"] = new NamespacePolicy { MaxMessageBytes = 16 };
        });
        builder.Services.AddGridApi();
        builder.Services.AddSingleton<ISecretStore, MemorySecrets>();
        builder.Services.AddSingleton<IChannelPublisher>(Channels);
        builder.Services.AddSingleton<IChannelReader>(Channels);
        builder.Services.AddSingleton<IGridDirectory>(Channels);
        _app = builder.Build();
        _app.Use((context, next) =>
        {
            context.Response.OnStarting(() =>
            {
                Answering?.Invoke(context.Request.Path);
                return Task.CompletedTask;
            });
            return next(context);
        });
        _app.MapGridApi();
        _app.MapGridDashboard();
        await _app.StartAsync();
        Bootstrap = await Services.GetRequiredService<TenancyBootstrap>().EnsureAsync();
        Address = new Uri(Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Anonymous = new HttpClient { BaseAddress = Address };
        Server = With(ApiKey);
    }

    public async Task DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private sealed class MemorySecrets : ISecretStore
    {
        private readonly ConcurrentDictionary<string, byte[]> _secrets = new();

        public byte[] GetOrCreate(string name) => _secrets.GetOrAdd(name, _ => RandomNumberGenerator.GetBytes(32));
    }

    private sealed class QueueLoggers(ConcurrentQueue<string> lines) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue($"{logLevel} {formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}

/// <summary>One server for all tests of the API.</summary>
[CollectionDefinition("api")]
public sealed class ApiCollection : ICollectionFixture<ApiHost>;

/// <summary>Channels and sessions in memory. A channel named <c>fault:…</c> fails the way its name says.</summary>
internal sealed class FakeChannels : IChannelPublisher, IChannelReader, IGridDirectory
{
    private readonly Lock _lock = new();
    private readonly Dictionary<ChannelId, List<Message>> _channels = [];

    public HashSet<string> Sessions { get; } = ["s_1"];

    public List<PublishBatch> Batches { get; } = [];

    public ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch)
    {
        ThrowFor(channel.Name);
        lock (_lock)
        {
            Batches.Add(batch);
            var stored = Of(channel);
            return new([.. batch.Drafts.Select(draft => Publish(stored, draft, batch.From))]);
        }
    }

    public ValueTask<ChannelPage> ReadAsync(ChannelId channel, long after, int maxMessages, int maxBytes, CancellationToken cancellationToken)
    {
        ThrowFor(channel.Name);
        lock (_lock)
        {
            // Small pages, so that a history takes several.
            var messages = Of(channel).Where(m => m.Offset > after).Take(Math.Min(maxMessages, 7)).ToList();
            return new(new ChannelPage(HeadOf(channel), messages));
        }
    }

    public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken) =>
        GetHeadAsync(channel, cancellationToken);

    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken)
    {
        ThrowFor(channel.Name);
        lock (_lock) return new(HeadOf(channel));
    }

    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken)
    {
        lock (_lock) return new([.. channels.Select(HeadOf)]);
    }

    public Task<long> CountSubscribersAsync(ChannelId channel, CancellationToken cancellationToken) => Task.FromResult(3L);

    public Task<IReadOnlyList<SessionInfo>> ListSessionsAsync(string tenant, string user, int limit, CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<SessionInfo>>(user == "ana" && tenant == "default" ? [new("s_1", "ana", false, null, ["room:1"])] : []);

    public Task<bool> CloseSessionAsync(string tenant, string session, CancellationToken cancellationToken) =>
        Task.FromResult(tenant == "default" && Sessions.Remove(session));

    private static PublishReceipt Publish(List<Message> stored, MessageDraft draft, string? from)
    {
        if (draft.Key is { } key && stored.Find(m => m.Key == key) is { } first) return new(new Position("e1", first.Offset), true);
        if (draft.IfOffset is { } expected && expected != stored.Count) return PublishReceipt.Refused(ErrorCode.Conflict);
        stored.Add(new Message
        {
            Offset = stored.Count + 1,
            At = 1_795_452_674_123,
            Payload = new Payload(draft.Data, draft.IsBinary),
            Key = draft.Key,
            Event = draft.Event,
            From = from,
        });
        return new(new Position("e1", stored.Count), false);
    }

    private static void ThrowFor(string channel)
    {
        Exception? fault = channel switch
        {
            "fault:timeout" => new TimeoutException("secret details"),
            "fault:log" => new Server.Log.LogUnavailableException("secret details"),
            "fault:silo" => new Orleans.Runtime.SiloUnavailableException("secret details"),
            "fault:bug" => new InvalidOperationException("secret details"),
            _ => null,
        };
        if (fault is not null) throw fault;
    }

    private List<Message> Of(ChannelId channel) => _channels.TryGetValue(channel, out var stored) ? stored : _channels[channel] = [];

    private ChannelHead HeadOf(ChannelId channel) => new("e1", 1, Of(channel).Count);
}

using System.Diagnostics.Metrics;
using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Grid.Testing.Webhooks;
using Grid.UnitTests.Webhooks.Network;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>A store, a sender, and grains on them. Grains have a clock that the test moves; requests have the real one.</summary>
internal sealed class WebhookFixture : IChannelPublisher, IPublishBarrier, IAsyncDisposable
{
    private readonly List<(GrainHost Host, WebhookGrain Grain)> _active = [];
    private readonly Lock _publishing = new();
    private readonly SometimesAway _keys = new(new EphemeralDataProtectionProvider());
    private readonly WebhookHttp _http;
    private readonly WebhookMetrics _metrics;

    public WebhookFixture(Action<WebhookOptions>? configure = null)
    {
        configure?.Invoke(Options);
        var network = new WebhookNetworkOptions { AllowPrivateNetworks = true, RequestTimeout = TimeSpan.FromMinutes(2) };
        _http = new WebhookHttp(network, FakeResolver.Loopback, TimeProvider.System);
        _metrics = new WebhookMetrics(Meters);
        Budget = new ReadAheadBudget(Microsoft.Extensions.Options.Options.Create(Options), _metrics);
        Sender = new WebhookSender(
            Store, Microsoft.Extensions.Options.Options.Create(Options), Microsoft.Extensions.Options.Options.Create(network), _http,
            FakeResolver.Loopback, _metrics, TimeProvider.System, NullLogger<WebhookSender>.Instance);
    }

    /// <summary>Makes the meters, which name it as their scope.</summary>
    public IMeterFactory Meters { get; } = new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<IMeterFactory>();

    public WebhookOptions Options { get; } = new() { DrainTime = TimeSpan.Zero };

    /// <summary>The grains' clock; it begins with a whole millisecond, as the times of messages are.</summary>
    public FakeTimeProvider Time { get; } = new(DateTimeOffset.FromUnixTimeMilliseconds(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()));

    public ReadAheadBudget Budget { get; }

    public long NowMs => Time.GetUtcNow().ToUnixTimeMilliseconds();

    public FakeWebhookStore Store { get; } = new();

    public WebhookSender Sender { get; }

    public WebhookId Id { get; } = WebhookId.New("t");

    /// <summary>The activation that the directory knows.</summary>
    public WebhookGrain Grain => _active[^1].Grain;

    public GrainHost Host => _active[^1].Host;

    /// <summary>Events about webhooks that were published, by name.</summary>
    public List<string> Events { get; } = [];

    /// <summary>What is waited for before a subscription's making, or the change of its channels, is answered.</summary>
    public Func<Task> Barrier { get; set; } = () => Task.CompletedTask;

    /// <summary>Whether what is secret can be decrypted.</summary>
    public bool KeysAreAway
    {
        get => _keys.IsAway;
        set => _keys.IsAway = value;
    }

    /// <summary>Makes an activation; those before it live on, and know nothing of it.</summary>
    public async Task ActivateAsync(WebhookId? id = null)
    {
        var host = new GrainHost(Time, GrainId.Create("webhook", (id ?? Id).ToString()));
        var policies = new NamespacePolicies(Microsoft.Extensions.Options.Options.Create(new GridOptions()));
        var grain = host.Make(() => new WebhookGrain(
            Store, new MessageLogs(Store, Store, policies), Sender, this, this, new SecretVault(_keys), new WebhookFormats(), _metrics, Budget,
            Microsoft.Extensions.Options.Options.Create(Options), Time, NullLogger<WebhookGrain>.Instance));
        await host.CallAsync(() => grain.OnActivateAsync(CancellationToken.None));
        _active.Add((host, grain));
    }

    public async Task<WebhookCreated> CreateAsync(WebhookDefinition definition, bool fromStart = false)
    {
        await ActivateAsync();
        return (await CallAsync(g => g.CreateAsync(definition, fromStart)))!;
    }

    public Task<T> CallAsync<T>(Func<WebhookGrain, Task<T>> call) => Host.CallAsync(() => call(Grain));

    /// <summary>Publishes a message, and wakes who is to be woken, as the channel's grain does.</summary>
    public async Task<Position> PublishAsync(string channel, string json = "1", string? eventName = null, bool wake = true)
    {
        var id = new ChannelId(Id.Tenant, channel);
        AppendResult result;
        lock (_publishing)
        {
            var head = Store.MessagesOf(id).Count;
            var message = new Message { Offset = head + 1, At = NowMs, Event = eventName, Payload = Payload.Json(System.Text.Encoding.UTF8.GetBytes(json)) };
            var append = new AppendRequest { Channel = id, ExpectedHead = new Position("e1", head), Messages = [message], KeyWindow = TimeSpan.Zero };
            result = Store.AppendAsync(append).AsTask().GetAwaiter().GetResult();
        }

        if (wake && result.Woken is not null) await WakeForAsync(channel);
        return result.Head;
    }

    public Task WakeAsync() => Host.CallAsync(() => Grain.WakeAsync());

    /// <summary>As the channel's grain wakes it.</summary>
    public Task WakeForAsync(string channel) => Host.CallAsync(() => Grain.WakeForAsync(channel));

    /// <summary>Lets time pass until something is so.</summary>
    public Task UntilAsync(Func<bool> condition, int stepMs = 50) => UntilAsync(() => Task.FromResult(condition()), stepMs);

    /// <summary>Lets time pass until so many attempts wait for their turn or are on their way.</summary>
    public Task UntilInFlightAsync(int count) => UntilAsync(async () => (await CallAsync(g => g.GetAsync()))!.InFlight == count, stepMs: 10);

    private async Task UntilAsync(Func<Task<bool>> condition, int stepMs)
    {
        var limit = DateTime.UtcNow.AddSeconds(20);
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < limit, "It did not happen.");
            Time.Advance(TimeSpan.FromMilliseconds(stepMs));
            await Task.Delay(1);
        }
    }

    /// <summary>The next request of an endpoint; lets time pass until it is there.</summary>
    public async Task<ReceivedWebhook> NextAsync(WebhookReceiver endpoint)
    {
        ReceivedWebhook? next = null;
        await UntilAsync(() => (next ??= endpoint.Inbox.TryNext()) is not null, stepMs: 10);
        return next!;
    }

    /// <summary>Lets time pass until the sweep would find nothing to wake.</summary>
    public Task UntilNothingIsDueAsync() => UntilAsync(() => Store.SnapshotOf(Id) is not null && !Store.IsDue(Id, NowMs));

    /// <summary>Lets the activation end as Orleans does.</summary>
    public Task DeactivateAsync() =>
        Host.CallAsync(() => Grain.OnDeactivateAsync(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "test"), CancellationToken.None));

    async ValueTask<PublishReceipt[]> IChannelPublisher.PublishAsync(ChannelId channel, PublishBatch batch)
    {
        var receipts = new PublishReceipt[batch.Drafts.Length];
        for (var i = 0; i < receipts.Length; i++)
        {
            lock (Events) Events.Add(batch.Drafts[i].Event!);

            // Not awaited: the grain that publishes is not called back from within.
            var draft = batch.Drafts[i];
            receipts[i] = new PublishReceipt(await PublishAsync(channel.Name, System.Text.Encoding.UTF8.GetString(draft.Data.Span), draft.Event, wake: false), false);
            _ = WakeAsync();
        }

        return receipts;
    }

    Task IPublishBarrier.PassAsync() => Barrier();

    public async ValueTask DisposeAsync()
    {
        await Sender.StoppingAsync(CancellationToken.None);
        Sender.Dispose();
        _http.Dispose();
    }

    /// <summary>Keys that decrypt nothing while they are away.</summary>
    private sealed class SometimesAway(IDataProtectionProvider keys, SometimesAway? root = null) : IDataProtectionProvider, IDataProtector
    {
        public bool IsAway { get; set; }

        public IDataProtector CreateProtector(string purpose) => new SometimesAway(keys.CreateProtector(purpose), root ?? this);

        public byte[] Protect(byte[] plaintext) => ((IDataProtector)keys).Protect(plaintext);

        public byte[] Unprotect(byte[] protectedData) =>
            root!.IsAway ? throw new CryptographicException("The keys are away.") : ((IDataProtector)keys).Unprotect(protectedData);
    }
}

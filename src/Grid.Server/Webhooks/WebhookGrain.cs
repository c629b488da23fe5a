using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Concurrency;

namespace Grid.Server.Webhooks;

/// <summary>One webhook subscription: reads the log, hands out attempts, writes how far it is.</summary>
/// <remarks>
/// <para>All decisions are <see cref="WebhookMachine"/>'s; after anything happened <see cref="Run"/> asks it for what there is to do:</para>
/// <list type="number">
/// <item>reads of the log, whose pages go back to the machine;</item>
/// <item>attempts, which <see cref="WebhookSender"/> makes. The grain awaits no request: outcomes come as turns of their own;</item>
/// <item>failed messages that are due in the store;</item>
/// <item>one write at a time; then marks of channels that are settled are cleared;</item>
/// <item>one timer, for what is due next. Without anything to do for a while, the activation goes.</item>
/// </list>
/// <para>Whoever polls takes the sender's place: attempts are leased, and a lease that ends gives its message back. Nothing is read then
/// but for a poll.</para>
/// <para>Reentrant, because everything is awaited beside everything else. If two activations ever exist, the store refuses the writes of
/// the one that is older, and it goes; what it delivered and could not write is delivered again.</para>
/// <para>Not collected by Orleans, which sees calls only: requests on their way, and what is due soon, keep it.</para>
/// </remarks>
[Reentrant, KeepAlive]
internal sealed partial class WebhookGrain(
    IWebhookStore store,
    MessageLogs logs,
    WebhookSender sender,
    IChannelPublisher publisher,
    IPublishBarrier barrier,
    SecretVault vault,
    WebhookFormats formats,
    WebhookMetrics metrics,
    ReadAheadBudget budget,
    IOptions<WebhookOptions> options,
    TimeProvider time,
    ILogger<WebhookGrain> logger) : Grain, IWebhookGrain, IAppendListener, IOutcomes
{
    /// <summary>How long an activation that goes waits for requests on their way, so that they need not be made again.</summary>
    private static readonly TimeSpan LastWait = TimeSpan.FromSeconds(5);

    private WebhookId _id;
    private WebhookSecrets _secrets = null!;
    private TaskScheduler _scheduler = null!;
    private ITimer? _timer;
    private Task? _starting;

    /// <summary>Marks that are read before the store has made the subscription may still move back.</summary>
    private Task _creating = Task.CompletedTask;

    /// <summary>Null until it was read, and for a subscription that does not exist.</summary>
    private WebhookMachine? _machine;
    private StoredWebhook _stored = null!;
    private WebhookDocument _document = null!;

    /// <summary>Null while what signs cannot be decrypted, and for one that is polled.</summary>
    private WebhookTarget? _target;
    private SecretSet? _signing;

    /// <summary>Null while they cannot be decrypted.</summary>
    private IReadOnlyDictionary<string, string>? _headers;

    private bool _isUnreadable;

    private bool _stopped;

    private long NowMs => time.GetUtcNow().ToUnixTimeMilliseconds();

    private bool IsPull => _document.IsPull;

    private bool HasSecrets => _signing is not null && _headers is not null;

    /// <summary>The version as it is told. It is another one while headers cannot be shown, so that nobody's change means these by none.</summary>
    private long ShownVersion => HasSecrets ? _stored.Version : -_stored.Version;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _id = WebhookId.Parse(this.GetPrimaryKeyString());
        _secrets = new WebhookSecrets(vault, _id);
        _scheduler = TaskScheduler.Current;
        _marked = new MarkedChannels(logs.Notices, _id.Tenant, this);

        // Set anew after almost everything that happens, which this kind of timer does without an allocation.
        _timer = time.CreateTimer(static grain => ((WebhookGrain)grain!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        metrics.Activated();
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        metrics.Deactivated();
        if (_timer is not null) await _timer.DisposeAsync();
        if (_machine is not null && !_stopped) await EndAsync(cancellationToken);
        _stopped = true;
        _marked.End();
        budget.Return(ref _budgeted);
    }

    public Task WakeAsync() => WakeAsync(channel: null);

    public Task WakeForAsync(string channel) => WakeAsync(channel);

    private async Task WakeAsync(string? channel)
    {
        try
        {
            var awake = _machine is not null;
            if (!await ExistsAsync()) return;
            if (awake) TryTakeSecrets();
            _wakeIsSuspect |= !awake;
            if (channel is not null) await FindMarkAsync(channel);
            else LookForMarks();
        }
        catch (Exception e) when (Outage.Is(e))
        {
            // The sweep comes again.
            var level = Outage.LevelOf(e);
            LogWakeFailed(level, _id, e);
            if (_machine is null) Leave();
            return;
        }

        Run();
    }

    /// <summary>Makes sure that the subscription was read. Every call begins with it.</summary>
    /// <returns>False: there is none.</returns>
    /// <exception cref="LogUnavailableException">The store is away, or this activation was overtaken.</exception>
    /// <remarks>Not a part of the activation, which would else be made anew for every call while the store is away.</remarks>
    private async ValueTask<bool> ExistsAsync()
    {
        try
        {
            if (await IsReadAsync()) return true;
        }
        catch
        {
            // Nothing else would have it go.
            if (_machine is null) Leave();
            throw;
        }

        Leave();
        return false;
    }

    private async ValueTask<bool> IsReadAsync()
    {
        if (_machine is null && !_stopped)
        {
            await _creating;
            if (_machine is null && (_starting is null or { IsCompleted: true })) _starting = StartAsync();
            if (_starting is not null) await _starting;
        }

        return _stopped ? throw Moves() : _machine is not null;
    }

    private static LogUnavailableException Moves() => new("The webhook moves to another activation.");

    private async Task StartAsync()
    {
        // First: an older activation that still goes on clears marks only after it has written what they are about, and from here on it
        // can neither write nor clear any more. So whatever it cleared is in the progress that is read now.
        if (await store.ClaimAsync(_id) is not { } generation || await store.GetAsync(_id) is not { } stored) return;
        var snapshot = await store.ReadProgressAsync(_id) ?? new WebhookSnapshot();
        var parked = await store.ReadParkedAsync(_id, 0, 1);
        var marks = await FindMarksAsync([.. snapshot.Channels.Select(static c => c.Channel)]);
        if (_stopped) return;
        Take(stored);
        string[] former = [.. snapshot.Channels.Select(static c => c.Channel).Where(c => !Matches(c))];
        snapshot = snapshot with { Generation = generation - 1, Channels = [.. snapshot.Channels.Where(c => Matches(c.Channel))] };
        var now = NowMs;

        // Older programs cleared the marks of who polls before what they were about was fetched: once, everything is looked at.
        var sleeps = snapshot.HeldUntil == WebhookWake.Never;
        if (snapshot.HeldSince == WebhookWake.Never) snapshot = snapshot with { HeldUntil = 0, HeldSince = 0 };
        var machine = new WebhookMachine(_document.Settings(options.Value), snapshot, Random.Shared, now, looks: IsPull && !sleeps);
        if (sleeps != IsPull) machine.Touch(now);

        // Somebody may have put rows there that the snapshot knows nothing of.
        if (parked is [var first, ..] && !(snapshot.StoredDue > 0 && snapshot.StoredDue <= first.Due)) machine.NoticeParked(first.Due, now);

        // A crash came between a change of channels and the write that forgets them.
        foreach (var channel in former) machine.Remove(channel, now);
        _machine = machine;
        NoteMarks(marks);
        foreach (var channel in machine.Channels.Where(c => !_marked.Contains(c)).ToList()) machine.Unmarked(channel, now);

        // The others as they are wanted.
        LookForMarks();

        // Whatever call it was read for: without a round it would have no timer, and never go.
        QueueTurn(static grain => ((WebhookGrain)grain!).Run());
    }

    /// <summary>Takes a definition over, as it is stored.</summary>
    private void Take(StoredWebhook stored)
    {
        (_stored, _document) = (stored, WebhookDocument.Read(stored.Definition));
        TakeSecrets();
    }

    /// <summary>Decrypts what is secret, if it could not be before; then what waited for it is sent.</summary>
    /// <returns>Whether it is there.</returns>
    private bool TryTakeSecrets()
    {
        if (HasSecrets) return true;
        TakeSecrets();
        if (HasSecrets) Run();
        return HasSecrets;
    }

    /// <summary>
    /// Decrypts what is secret. While it cannot be (the keys are away, or gone) nothing is sent and the definition cannot be changed, so that
    /// what is stored stays as it is; everything else works. Tried again whenever the sweep comes by, or somebody looks at the subscription.
    /// If the keys are gone, rotating the secret begins anew.
    /// </summary>
    private void TakeSecrets()
    {
        (_target, _signing, _headers) = (null, null, null);
        try
        {
            _signing = _secrets.Unprotect(_stored.Secrets);
            _headers = _secrets.UnprotectHeaders(_document.Headers);
        }
        catch (CryptographicException e)
        {
            // Once: it is tried again every few seconds.
            if (!_isUnreadable) LogSecretsUnreadable(_id, e);
            _isUnreadable = true;
            return;
        }

        _isUnreadable = false;
        if (_document.Definition.Url is not { } url) return;
        EndpointConsent? consent = null;
        if (_document.Definition.Handshake)
        {
            consent = new EndpointConsent(options.Value.Origin);
            if (_document.HasConsent) consent.Give(_document.ConsentedPerMinute);
        }

        _target = new WebhookTarget
        {
            Webhook = _id,
            Url = new Uri(url),
            Format = formats.Find(_document.Definition.Format) ?? WebhookFormats.Default,
            Secrets = _signing,
            Headers = [.. _headers],
            Consent = consent,
        };
    }

    private bool Matches(string channel) => ChannelPatterns.Match(_stored.Channels, channel);

    private ChannelId ChannelOf(string name) => new(_id.Tenant, name);

    private void OnTimer() => QueueTurn(static grain => ((WebhookGrain)grain!).Run());

    /// <summary>Has something done as a turn of the activation, from wherever it is called.</summary>
    /// <param name="turn">What; it is given the grain.</param>
    private void QueueTurn(Action<object?> turn) =>
        Task.Factory.StartNew(turn, this, CancellationToken.None, TaskCreationOptions.DenyChildAttach, _scheduler);

    private void Leave()
    {
        try
        {
            DeactivateOnIdle();
        }
        catch (InvalidOperationException)
        {
            // It was ended meanwhile.
        }
    }

    /// <summary>This activation must not write any more.</summary>
    private void Abandon()
    {
        _stopped = true;
        Leave();
    }

    [LoggerMessage("Webhook {Webhook} could not be woken; the next sweep tries again")]
    private partial void LogWakeFailed(LogLevel level, WebhookId webhook, Exception exception);

    [LoggerMessage(LogLevel.Error, "The secrets of webhook {Webhook} cannot be decrypted: nothing is sent until they can, or its secret is rotated, which drops its headers")]
    private partial void LogSecretsUnreadable(WebhookId webhook, Exception exception);
}

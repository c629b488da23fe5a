using Grid.Protocol;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks.Sending;

/// <summary>
/// Makes the requests of a silo's subscriptions, in turn (<see cref="TurnTaking{T}"/>), outside of their grains.
/// </summary>
/// <remarks>
/// <para>An attempt goes this way: (1) it waits for its turn; (2) the message is brought into its form and signed; (3) it is sent, to slow
/// endpoints over connections of their own; (4) its slot is free for the next; (5) the attempt is written; (6) the grain learns the
/// outcome.</para>
/// <para>A stop of the host: nothing more begins, requests on their way have <see cref="WebhookOptions.DrainTime"/> to end, and of all
/// others the outcome is <see cref="OutcomeKind.Lost"/>. It runs before the silo stops, so that grains can write what they learned.</para>
/// </remarks>
internal sealed partial class WebhookSender : IHostedLifecycleService, IDisposable
{
    /// <summary>Tests that are under way at once. They take no turns, so they are counted.</summary>
    private const int MaxTests = 128;

    /// <summary>Those of one tenant, so that endpoints that hang do not take them from all others.</summary>
    private const int MaxTestsOfTenant = 8;

    private static readonly TimeSpan OverdueInterval = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// How long a request may keep its slot while slots are getting short. Endpoints that hang would else hold all of their tenant's when
    /// they are met, until each counts as slow.
    /// </summary>
    private static readonly TimeSpan CrowdingLimit = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LastWrite = TimeSpan.FromSeconds(3);

    private readonly Lock _gate = new();
    private readonly TurnTaking<SendJob> _turns;
    private readonly HashSet<TurnTaking<SendJob>.Turn> _flights = [];
    private readonly Dictionary<string, int> _testsOf = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _abort = new();
    private readonly CancellationTokenSource _stopTicking = new();
    private readonly WebhookHttp _fast;
    private readonly WebhookHttp _slow;
    private readonly WebhookHttp? _own;
    private readonly OwnReceiver? _receiver;
    private readonly AttemptWriter _attempts;
    private readonly IWebhookStore _store;
    private readonly WebhookOptions _options;
    private readonly WebhookMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<WebhookSender> _logger;
    private TaskCompletionSource? _idle;
    private Task _ticking = Task.CompletedTask;
    private readonly ITimer _crowding;
    private int _tests;
    private bool _looksAtCrowding;
    private bool _stopping;
    private bool _disposed;

    public WebhookSender(
        IWebhookStore store,
        IOptions<WebhookOptions> options,
        IOptions<WebhookNetworkOptions> network,
        WebhookHttp http,
        IHostResolver resolver,
        WebhookMetrics metrics,
        TimeProvider time,
        ILogger<WebhookSender> logger,
        OwnReceiver? receiver = null)
    {
        (_store, _options, _metrics, _time, _logger) = (store, options.Value, metrics, time, logger);
        _turns = new TurnTaking<SendJob>(_options.Turns);
        (_fast, _slow) = (http, new WebhookHttp(network.Value, resolver, time));
        if (receiver is not null) (_receiver, _own) = (receiver, new WebhookHttp(network.Value, receiver, time));
        _attempts = new AttemptWriter(store, time, logger);
        _crowding = time.CreateTimer(static sender => ((WebhookSender)sender!).LookAtCrowding(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Makes an attempt when its turn comes. Never throws.</summary>
    /// <param name="target">Where to.</param>
    /// <param name="attempt">What.</param>
    /// <param name="usualMs">How long the endpoint usually takes, in milliseconds; 0: not known.</param>
    /// <param name="asker">Who learns the outcome; maybe before this returns.</param>
    public void Send(WebhookTarget target, WebhookAttempt attempt, int usualMs, IOutcomes asker)
    {
        var job = new SendJob(target, attempt, asker);
        Outcome refused;
        lock (_gate)
        {
            if (_stopping)
            {
                refused = new Outcome(OutcomeKind.Lost);
            }
            else if (_turns.TryAdd(target.Webhook.Tenant, target.Endpoint, attempt.Kind, usualMs, job))
            {
                BeginAll();
                return;
            }
            else
            {
                refused = new Outcome(OutcomeKind.LocalFault, Failure: "busy");
            }
        }

        job.Tell(refused);
    }

    /// <summary>Sends a <c>grid.test</c> event at once, beside all turns. Null: too many tests are under way.</summary>
    public Task<StoredAttempt?> TestAsync(WebhookTarget target) => Task.Run(() => TestNowAsync(target));

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _metrics.Announce(() => _turns.Waiting, () => _turns.InFlight);
        _ticking = TickAsync();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        Task idle;
        lock (_gate)
        {
            _stopping = true;
            _idle = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            idle = _idle.Task;
            if (_turns is { InFlight: 0, Waiting: 0 }) _idle.TrySetResult();
        }

        Pump();
        try
        {
            await idle.WaitAsync(_options.DrainTime, _time, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogCutShort(_turns.InFlight);
            await _abort.CancelAsync();
            await idle;
        }

        await _attempts.EndAsync(LastWrite);
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _stopTicking.CancelAsync();
        await _ticking;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Twice: as a service, and as a hosted one.
        if (Interlocked.Exchange(ref _disposed, true)) return;
        _stopTicking.Cancel();
        _abort.Cancel();
        _slow.Dispose();
        _own?.Dispose();
        _attempts.Dispose();
        _crowding.Dispose();
        _abort.Dispose();
        _stopTicking.Dispose();
    }

    /// <summary>Begins the requests whose turn it is. They do not run on the scheduler of whoever called.</summary>
    private void Pump()
    {
        lock (_gate) BeginAll();
    }

    /// <summary>Begins the requests whose turn it is; under the lock.</summary>
    private void BeginAll()
    {
        while (Next() is { } turn)
            ThreadPool.UnsafeQueueUserWorkItem(static run => _ = run.Sender.RunAsync(run.Turn), (Sender: this, Turn: turn), preferLocal: false);
    }

    /// <summary>
    /// The next request to make; null: none may be made now. Under the lock. Those that are not wanted any more are given back; while the host
    /// stops all that wait are lost.
    /// </summary>
    private TurnTaking<SendJob>.Turn? Next()
    {
        while (_turns.TryNext(out var turn))
        {
            if (!_stopping && turn.Item.IsWanted)
            {
                turn.Item.StartedAt = _time.GetTimestamp();
                _flights.Add(turn);
                WatchCrowding(turn);
                return turn;
            }

            _turns.Done(turn, turn.Endpoint.UsualMs);
            if (_turns is { InFlight: 0, Waiting: 0 }) _idle?.TrySetResult();
            turn.Item.Tell(new Outcome(_stopping ? OutcomeKind.Lost : OutcomeKind.Returned));
        }

        return null;
    }

    /// <summary>A request is over.</summary>
    /// <returns>One whose turn it is now, for whoever made the first: to begin it elsewhere would cost a change of threads. Null: none.</returns>
    private TurnTaking<SendJob>.Turn? End(TurnTaking<SendJob>.Turn turn, TimeSpan took)
    {
        lock (_gate)
        {
            _flights.Remove(turn);
            _turns.Done(turn, (long)took.TotalMilliseconds);
            if (_turns is { InFlight: 0, Waiting: 0 }) _idle?.TrySetResult();
            var next = Next();
            if (next is not null) BeginAll();
            return next;
        }
    }

    private async Task<StoredAttempt?> TestNowAsync(WebhookTarget target)
    {
        var tenant = target.Webhook.Tenant;
        lock (_gate)
        {
            var own = _testsOf.GetValueOrDefault(tenant);
            if (own == MaxTestsOfTenant || _tests == MaxTests) return null;
            (_tests, _testsOf[tenant]) = (_tests + 1, own + 1);
        }

        try
        {
            var now = _time.GetUtcNow().ToUnixTimeMilliseconds();
            var payload = Payload.Json("""{"test":true}"""u8.ToArray());
            var test = new Message { Offset = 0, At = now, Event = WebhookEvents.Test, Payload = payload };
            var message = new WebhookMessage(WebhookMessageId.Random(), WebhookEvents.Channel, string.Empty, test);
            var response = await ExchangeAsync(target, message, number: 1, _slow);
            var attempt = Row(target, message.Id, default, number: 1, response);
            await _store.AddAttemptsAsync([attempt]);
            return attempt;
        }
        finally
        {
            lock (_gate)
            {
                _tests--;
                if (--_testsOf[tenant] == 0) _testsOf.Remove(tenant);
            }
        }
    }

    /// <summary>Makes a request, and then others, as long as it is somebody's turn when one is over.</summary>
    private async Task RunAsync(TurnTaking<SendJob>.Turn? turn)
    {
        while (turn is not null)
        {
            var (job, isSlow) = (turn.Item, turn.IsSlow);
            var (target, attempt) = (job.Target, job.Attempt);
            WebhookResponse? response = null;
            WebhookMessage message = default;
            try
            {
                message = WebhookMessage.At(attempt.Ref.Channel, attempt.Ref.Epoch, attempt.Message);
                response = await ExchangeAsync(target, message, attempt.Attempt, isSlow ? _slow : _fast);
            }
            catch (Exception e)
            {
                // No endpoint can cause this: the message could not be brought into its form, or signed.
                LogFault(target.Webhook.Tenant, target.Webhook.Id, e);
            }

            var took = _time.GetElapsedTime(job.StartedAt);
            var outcome = response is null ? new Outcome(OutcomeKind.LocalFault, Failure: "internal") : OutcomeOf.Response(response);
            _metrics.Ended(outcome.Kind, attempt.Kind, took, _time.GetUtcNow().ToUnixTimeMilliseconds() - attempt.Message.At);

            // Handed on before its slot is free: a stop that finds no request on its way waits for those writes that it can see.
            if (response is null) job.Tell(outcome);
            else _attempts.Add(Row(target, message.Id, attempt.Ref, attempt.Attempt, response), outcome, job);
            turn = End(turn, took);
        }
    }

    /// <summary>Moves requests that take long to the slow ones, so that those that hang leave the others their slots.</summary>
    private async Task TickAsync()
    {
        using var timer = new PeriodicTimer(OverdueInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopTicking.Token))
            {
                lock (_gate)
                {
                    foreach (var turn in _flights)
                    {
                        if (!turn.IsSlow && _time.GetElapsedTime(turn.Item.StartedAt) > _options.SlowAfter) _turns.Overdue(turn);
                    }
                }

                Pump();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private void WatchCrowding(TurnTaking<SendJob>.Turn turn)
    {
        if (_looksAtCrowding || !_turns.IsCrowding(turn)) return;
        _looksAtCrowding = true;
        _crowding.Change(CrowdingLimit, Timeout.InfiniteTimeSpan);
    }

    /// <summary>While slots are getting short: moves requests that take longer than most to the slow ones.</summary>
    private void LookAtCrowding()
    {
        lock (_gate)
        {
            _looksAtCrowding = false;
            var crowding = _flights.Where(_turns.IsCrowding).ToList();
            foreach (var turn in crowding)
            {
                if (_time.GetElapsedTime(turn.Item.StartedAt) > CrowdingLimit) _turns.Overdue(turn);
            }

            foreach (var turn in crowding) WatchCrowding(turn);
        }

        Pump();
    }

    [LoggerMessage(LogLevel.Warning, "{Count} webhook requests did not end in time; they are sent again by another silo")]
    private partial void LogCutShort(int count);

    [LoggerMessage(LogLevel.Error, "A message for the webhook {Tenant}/{Webhook} could not be made")]
    private partial void LogFault(string tenant, string webhook, Exception exception);
}

using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks;

// The round: what the machine wants done, and what it learns of it.
internal sealed partial class WebhookGrain
{
    private const int MaxEventsKept = 100;
    private static readonly TimeSpan EventPatience = TimeSpan.FromSeconds(2);

    private readonly List<MessageDraft> _events = [];
    private readonly HashSet<WebhookEffect> _untold = new(ReferenceEqualityComparer.Instance);

    /// <summary>Outcomes that came and are not taken yet; under its own lock.</summary>
    private readonly List<(WebhookTarget Target, WebhookAttempt Attempt, Outcome Outcome)> _outcomes = [];
    private readonly List<(WebhookTarget Target, WebhookAttempt Attempt, Outcome Outcome)> _taken = [];
    private Task<bool?> _write = Task.FromResult<bool?>(true);
    private int _reads;

    /// <summary>How much of <see cref="ReadAheadBudget"/> is taken for it.</summary>
    private int _budgeted;
    private bool _loading;
    private bool _running;
    private bool _again;

    /// <summary>Whether anything but messages of <see cref="WebhookEvents.Channel"/> failed since the last success.</summary>
    private bool _othersFailed;
    private bool _openedUntold;

    /// <summary>The last replay that ended here, which may not be in the document yet.</summary>
    private WebhookReplay? _endedReplay;
    private TaskCompletionSource? _step;

    private bool IsWriting => !_write.IsCompleted;

    /// <summary>Does what there is to do, until there is no more. Called after everything that happens.</summary>
    private void Run()
    {
        _again = true;

        // What ends at once comes back here from within.
        if (_running || _stopped || _machine is null) return;
        _running = true;
        try
        {
            while (_again && !_stopped)
            {
                _again = false;
                Step(_machine, NowMs);
                if (!_again && !_stopped) Rest(_machine, NowMs);
            }
        }
        catch (Exception e)
        {
            // Nothing above should throw. If it does, the next activation starts with what is stored.
            LogRoundFailed(_id, e);
            Abandon();
        }
        finally
        {
            _running = false;
        }
    }

    private void Step(WebhookMachine machine, long now)
    {
        TakeOutcomes(machine, now);
        ReturnEnded(now);
        LookAgain(machine, now);
        if (!IsPull || _polls > 0)
        {
            machine.IsFrugal = budget.IsSpent;
            foreach (var read in machine.NextReads(now)) _ = ReadAsync(machine, read);
            if (machine.NextParkedLoad(now) is > 0 and var limit) _ = LoadParkedAsync(machine, limit, now);
        }

        _ = ReadOnAsync(machine);
        while (_target is { } target && MaySend(machine, target) && machine.NextDelivery(now) is { } attempt) sender.Send(target, attempt, machine.UsualMs, this);
        budget.Note(ref _budgeted, machine.QueuedBytes);
        if (!IsWriting && machine.BeginWrite(now) is { } write) _write = WriteAsync(machine, write);
    }

    /// <summary>An endpoint that has to agree first is sent nothing more until it has: to how many requests a minute it agrees is known then.</summary>
    private bool MaySend(WebhookMachine machine, WebhookTarget target) =>
        target.Consent is not { } consent || _document.HasConsent || (!consent.IsGiven && machine.InFlight == 0);

    private async Task ReadAsync(WebhookMachine machine, ReadRequest request)
    {
        _reads++;
        ChannelPage? page = null;
        try
        {
            page = await logs.Durable.ReadAsync(ChannelOf(request.Channel), request.After, request.MaxMessages);
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogReadFailed(level, _id, request.Channel, e);
        }

        _reads--;
        if (page is null) machine.OnReadFailed(request.Number, NowMs);
        else machine.OnRead(request.Number, page, NowMs);
        if (page is not null && !IsPull) OnLooked(machine, request.Channel, page.Messages.Count > 0);
        OnStep();
    }

    private async Task LoadParkedAsync(WebhookMachine machine, int limit, long now)
    {
        _loading = true;
        IReadOnlyList<ParkedRow>? rows = null;
        try
        {
            // One more, for when the next is due.
            rows = await store.ReadParkedAsync(_id, 0, limit + 1);
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogLoadFailed(level, _id, e);
        }

        _loading = false;
        if (rows is null)
        {
            machine.OnParkedLoadFailed(NowMs);
        }
        else
        {
            var due = rows.Take(limit).TakeWhile(r => r.Due <= now).ToList();

            // Of channels that are not the subscription's any more nothing is sent. What is forgotten here makes the machine ask for rows again.
            foreach (var row in due.Where(r => !Matches(r.Ref.Channel))) machine.Skip(row.Ref, NowMs);
            machine.OnParkedLoaded(due, due.Count < rows.Count ? rows[due.Count].Due : null, NowMs);
        }

        OnStep();
    }

    /// <inheritdoc/>
    bool IOutcomes.IsWanted(WebhookTarget target) => target == Volatile.Read(ref _target) && _machine is { Status: WebhookStatus.Active };

    /// <inheritdoc/>
    /// <remarks>Those that were written together come at once, and have one round.</remarks>
    void IOutcomes.OnOutcome(WebhookTarget target, WebhookAttempt attempt, Outcome outcome)
    {
        lock (_outcomes)
        {
            _outcomes.Add((target, attempt, outcome));
            if (_outcomes.Count > 1) return;
        }

        QueueTurn(static grain => ((WebhookGrain)grain!).OnStep());
    }

    private void TakeOutcomes(WebhookMachine machine, long now)
    {
        lock (_outcomes)
        {
            _taken.AddRange(_outcomes);
            _outcomes.Clear();
        }

        foreach (var (target, attempt, outcome) in _taken)
        {
            OnOutcome(machine, attempt, outcome, now);
            if (target == _target && target.Consent is { IsGiven: true } && !_document.HasConsent) _ = KeepConsentAsync(target);
        }

        _taken.Clear();
    }

    private void OnOutcome(WebhookMachine machine, WebhookAttempt attempt, Outcome outcome, long now)
    {
        var own = attempt.Ref.Channel == WebhookEvents.Channel;
        if (!own && outcome.Kind is OutcomeKind.Failed or OutcomeKind.Rejected) _othersFailed = true;
        var before = machine.PendingEffects.Count;
        machine.OnOutcome(attempt.Number, outcome, now);

        // What comes of messages about webhooks alone is not told by another such message: it would feed itself.
        for (var i = before; i < machine.PendingEffects.Count; i++)
        {
            var effect = machine.PendingEffects[i];
            if (effect is WebhookEffect.CircuitOpened) _openedUntold = !_othersFailed;
            if (!_othersFailed && effect is WebhookEffect.Failing or WebhookEffect.CircuitOpened) _untold.Add(effect);
            if (_openedUntold && effect is WebhookEffect.Recovered) _untold.Add(effect);
        }

        if (outcome.Kind == OutcomeKind.Delivered) _othersFailed = false;
    }

    /// <summary>Carries a write out. Null: it failed, or nobody knows.</summary>
    private async Task<bool?> WriteAsync(WebhookMachine machine, WebhookWrite write)
    {
        var wake = IsPull ? null : machine.NextWake(NowMs);
        bool? written = null;
        try
        {
            await PublishAsync(write.Effects);
            if (QuietUntil(machine) is > 0 and var quiet)
                write = write with { Snapshot = write.Snapshot with { HeldUntil = quiet, HeldSince = WebhookWake.Never } };
            written = await store.WriteAsync(_id, write, wake);
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogWriteFailed(level, _id, e);
        }

        if (written == false)
        {
            GiveWay(machine);
            return false;
        }

        machine.EndWrite(written == true, NowMs);
        if (written == true)
        {
            (_storedWake, _wakeIsKnown, _wakeIsSuspect) = (wake, true, false);
            metrics.Stored(write.Effects);
            foreach (var effect in write.Effects) _untold.Remove(effect);
            if (write.Effects.OfType<WebhookEffect.ReplayEnded>().LastOrDefault() is { } ended)
            {
                _endedReplay = WebhookViews.Describe(ended);
                _ = KeepReplayAsync(_endedReplay);
            }
        }

        // On its own turn, when this write is known to be over.
        _ = AfterWriteAsync();
        return written;
    }

    /// <summary>A later activation has the subscription.</summary>
    private void GiveWay(WebhookMachine machine)
    {
        if (_stopped) return;
        LogOvertaken(_id, machine.Generation);
        Abandon();
    }

    private async Task AfterWriteAsync()
    {
        await Task.Yield();
        if (_stopped || _machine is null) return;
        if (!IsWriting && ClearableMarks(_machine, leaving: false) is { } settled) _ = ClearAsync(_machine, settled);
        OnStep();
    }

    /// <summary>Stores what is not stored. To be called before a person's change is answered.</summary>
    /// <exception cref="LogUnavailableException">It could not be, or nobody knows.</exception>
    private async Task FlushAsync(WebhookMachine machine)
    {
        // One that began before may lack the change; one that begins when it ends has it.
        if (IsWriting) await _write;
        if (!IsWriting && machine.BeginWrite(NowMs, force: true) is { } write) _write = WriteAsync(machine, write);
        if (await _write != true) throw new LogUnavailableException("The webhook could not be stored.");
        Run();
    }

    /// <summary>Stores what is not stored, if something of a kind is among it: what is asked for counts as soon as it is settled.</summary>
    private async ValueTask FlushIfPendingAsync<TEffect>(WebhookMachine machine)
        where TEffect : WebhookEffect
    {
        if (machine.PendingEffects.Any(static e => e is TEffect)) await FlushAsync(machine);
    }

    /// <summary>
    /// Tells what is to be told. What the channel does not take in time is told with a later write: deliveries do not wait for it, so
    /// that a crash can lose it.
    /// </summary>
    private async Task PublishAsync(IReadOnlyList<WebhookEffect> effects)
    {
        foreach (var effect in effects)
        {
            if (_untold.Contains(effect) || WebhookEvents.Of(_id, effect) is not { } draft) continue;
            if (_events.Count < MaxEventsKept && !_events.Any(e => e.Key == draft.Key)) _events.Add(draft);
        }

        if (_events.Count == 0) return;
        MessageDraft[] drafts = [.. _events];
        try
        {
            var receipts = await publisher.PublishAsync(ChannelOf(WebhookEvents.Channel), new PublishBatch { Drafts = drafts })
                .AsTask().WaitAsync(EventPatience, time);
            for (var i = 0; i < drafts.Length; i++)
            {
                if (receipts[i].Error is not ErrorCode.Unavailable) _events.Remove(drafts[i]);
            }
        }
        catch (Exception e)
        {
            LogNotTold(_id, e);
        }
    }

    /// <summary>
    /// The activation goes: nothing new begins; requests on their way may end, for a moment; then everything is written, if the store is
    /// there.
    /// </summary>
    private async Task EndAsync(CancellationToken cancellationToken)
    {
        var machine = _machine!;
        _target = null;
        ReturnAll();
        var until = time.GetUtcNow() + LastWait;
        try
        {
            while (machine.InFlight > 0 && until - time.GetUtcNow() is var left && left > TimeSpan.Zero)
                await NextStepAsync().WaitAsync(left, time, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogSentAgain(_id, machine.InFlight);
        }

        if (IsWriting) await _write;
        if (_stopped || machine.BeginWrite(NowMs, force: true) is not { } write) return;
        _write = WriteAsync(machine, write);
        await _write;
    }

    /// <summary>Something that was awaited is there.</summary>
    private void OnStep()
    {
        Run();
        var step = _step;
        _step = null;
        step?.TrySetResult();
    }

    /// <summary>Ends with the next thing that was awaited.</summary>
    private Task NextStepAsync() => (_step ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    [LoggerMessage(LogLevel.Error, "The round of webhook {Webhook} failed")]
    private partial void LogRoundFailed(WebhookId webhook, Exception exception);

    [LoggerMessage("Webhook {Webhook} could not read {Channel}; trying again")]
    private partial void LogReadFailed(LogLevel level, WebhookId webhook, string channel, Exception exception);

    [LoggerMessage("Webhook {Webhook} could not read its failed messages; trying again")]
    private partial void LogLoadFailed(LogLevel level, WebhookId webhook, Exception exception);

    [LoggerMessage("Webhook {Webhook} could not be written; trying again")]
    private partial void LogWriteFailed(LogLevel level, WebhookId webhook, Exception exception);

    [LoggerMessage(LogLevel.Information, "This activation of webhook {Webhook} (generation {Generation}) was overtaken, or the webhook is gone")]
    private partial void LogOvertaken(WebhookId webhook, long generation);

    [LoggerMessage(LogLevel.Debug, "What happened to webhook {Webhook} could not be published; trying again with the next write")]
    private partial void LogNotTold(WebhookId webhook, Exception exception);

    [LoggerMessage(LogLevel.Information, "Webhook {Webhook} leaves {Count} requests on their way; their messages are sent again")]
    private partial void LogSentAgain(WebhookId webhook, int count);
}

namespace Grid.Server.Webhooks.Delivery;

// What an attempt's end means for the message, its lane, and the endpoint.
internal sealed partial class WebhookMachine
{
    private const long FirstFaultMs = 1_000;
    private const long MaxFaultMs = 300_000;

    private long _ranges;
    private int _blocks;
    private long _faultUntil;
    private bool _letGo;
    private bool _draining;

    /// <summary>The last attempt that a former endpoint may have got; 0: there was none.</summary>
    private long _formerTo;

    /// <summary>An attempt ended. One that is not known (told twice, or of an earlier activation) is ignored.</summary>
    public void OnOutcome(long number, Outcome outcome, long nowMs)
    {
        if (!_flights.Remove(number, out var entry)) return;
        var wasOpen = _circuit.IsOpen;
        var probe = entry == _probe && wasOpen;
        if (entry == _probe) _probe = null;
        if (_flights.Count == 0) _draining = false;
        if (entry.Lane is { } lane) lane.Busy--;
        if (entry.Replay is { } replay) replay.InFlight--;
        var closed = entry.State == EntryState.Closed;
        var former = number <= _formerTo;
        if (former && outcome.Kind != OutcomeKind.Delivered) outcome = new Outcome(OutcomeKind.Returned);
        switch (outcome.Kind)
        {
            case OutcomeKind.Delivered:
                if (!former) OnEndpointWorks(number, outcome, nowMs);
                if (!closed) Deliver(entry, nowMs);
                break;
            case OutcomeKind.Failed or OutcomeKind.Rejected:
                OnEndpointFails(number, outcome, probe, nowMs);

                // A dead endpoint uses up no attempts of what waits for it. A message's first attempt counts all the same, as does one
                // that was refused for itself: else the next probe would be made with the same message.
                if (closed) break;
                if (!wasOpen || (probe && (entry.Attempts == 0 || outcome.Kind == OutcomeKind.Rejected))) Fail(entry, outcome, nowMs);
                else Return(entry, nowMs);
                break;
            default:
                OnNoVerdict(number, outcome, probe, nowMs);
                if (!closed) Return(entry, nowMs);
                break;
        }

        Unretry(entry);
        if (entry.Lane is { } left)
        {
            Line(left);
            left.Channel.Drop(left);
        }

        if (_letGo) LetGo();
    }

    private void OnEndpointWorks(long number, Outcome outcome, long nowMs)
    {
        _failingTold = false;
        (_faultMs, _heldSince) = (0, 0);

        // The window was in use if it filled up while this one was on its way.
        _window.OnDelivered(_lastFull >= number, outcome.TookMs);
        if (!_circuit.OnDelivered(nowMs)) return;
        _window.SlowStart();
        _writes.Add(new WebhookEffect.Recovered(nowMs), nowMs);
    }

    private void OnEndpointFails(long number, Outcome outcome, bool probe, long nowMs)
    {
        if (outcome.Kind == OutcomeKind.Failed) _window.OnOverload(number, _lastNumber + 1);
        _writes.Changed(nowMs);
        if (probe)
        {
            _circuit.OnProbeFailed(nowMs, Chance());
            if (_circuit.IsDead(nowMs)) Disable(DisabledReason.NoSuccess, nowMs);

            // What else was read for the probe is not kept until the next one.
            _letGo = true;
            return;
        }

        if (_circuit.OnFailed(nowMs, Chance()))
        {
            _writes.Add(new WebhookEffect.CircuitOpened(nowMs), nowMs);
            _letGo = true;
        }

        if (_failingTold || _circuit.Consecutive < FailuresToTell) return;
        _failingTold = true;
        _writes.Add(new WebhookEffect.Failing(nowMs, outcome.Failure), nowMs);
    }

    private void OnNoVerdict(long number, Outcome outcome, bool probe, long nowMs)
    {
        switch (outcome.Kind)
        {
            case OutcomeKind.Hold:
                _heldUntil = Math.Max(_heldUntil, nowMs + Math.Clamp(outcome.RetryAfterMs, 0, MaxHoldMs));
                if (_heldSince == 0) _heldSince = nowMs;

                // One that only ever asks for patience is as dead as one that fails.
                else if (nowMs - _heldSince >= _settings.Circuit.DeadAfterMs) Disable(DisabledReason.NoSuccess, nowMs);
                _window.OnOverload(number, _lastNumber + 1);
                _writes.Changed(nowMs);
                _letGo |= _heldUntil - nowMs > ShortHoldMs;
                break;
            case OutcomeKind.Gone:
                Disable(DisabledReason.Gone, nowMs);
                break;
            case OutcomeKind.LocalFault or OutcomeKind.Lost when nowMs >= _faultUntil:
                // Many attempts can fail by one fault: it counts once until it was waited out.
                _faultMs = Math.Clamp(_faultMs * 2, FirstFaultMs, MaxFaultMs);
                _faultUntil = nowMs + RetrySchedule.Spread(_faultMs, Chance());
                _letGo |= _faultMs > ShortHoldMs;
                break;
        }

        if (probe) _circuit.OnProbeUndecided(nowMs, Chance());
    }

    private void Deliver(DeliveryEntry entry, long nowMs)
    {
        if (entry.Replay is { } replay) replay.Delivered++;
        if (entry.IsStored) AddRowEffect(new WebhookEffect.ForgetParked(entry.Ref, entry.StoredDue), nowMs);
        Settle(entry, nowMs);
    }

    private void Fail(DeliveryEntry entry, Outcome outcome, long nowMs)
    {
        entry.Message = null;
        if (entry is { Replay: { } replay, Attempts: 0 }) replay.Failed++;
        entry.Attempts++;
        if (_settings.Schedule.DelayMs(entry.Attempts, Chance()) is { } delay) Park(entry, nowMs + delay, nowMs);
        else Exhaust(entry, outcome, nowMs);
    }

    private void Exhaust(DeliveryEntry entry, Outcome outcome, long nowMs)
    {
        if (Ordered && entry is { IsStored: false, Replay: null } && _settings.OnExhausted != ExhaustionRule.DeadLetter)
        {
            if (_settings.OnExhausted == ExhaustionRule.Pause)
            {
                // Resuming tries it anew, with all its attempts.
                entry.Attempts = 0;
                Park(entry, nowMs, nowMs);
                Status = WebhookStatus.Paused;
                _letGo = true;
                _writes.Add(new WebhookEffect.PausedAt(entry.Ref, nowMs), nowMs, atOnce: true);
                return;
            }

            Park(entry, nowMs + _settings.Schedule.LastDelayMs(Chance()), nowMs);
            return;
        }

        AddRowEffect(new WebhookEffect.DeadLetter(entry.Ref, entry.Attempts, nowMs, outcome.Failure, entry.StoredDue), nowMs);
        Settle(entry, nowMs);
    }

    /// <summary>An attempt that does not count: the message is as it was before it.</summary>
    private void Return(DeliveryEntry entry, long nowMs)
    {
        entry.Message = null;
        if (entry.IsStored || entry.Attempts > 0)
        {
            // Behind the others that are due by then, so that the next probe is made with another one.
            Repark(entry, _circuit.IsOpen ? _circuit.ProbeAt : nowMs);
            return;
        }

        // Neither settled nor open: it is read again. What waits behind it is let go of as well, or would overtake it.
        Close(entry);
        if (entry.Replay is { } replay)
        {
            LetReplayGo(replay);
            entry.Channel.Rewind(entry.Ref.Offset - 1);
            return;
        }

        if (!Parallel && entry.Lane is { } lane) Empty(lane);
        entry.Channel.Rewind(entry.Ref.Offset - 1);
        Line(entry.Channel);
    }

    /// <summary>Never again: settles an open message.</summary>
    private void Settle(DeliveryEntry entry, long nowMs)
    {
        _writes.Acknowledged(nowMs);
        if (entry.IsStored)
        {
            Close(entry);
            return;
        }

        // Settled before it is closed: closing lets its lane go on with what comes next.
        SettleOffset(entry.Channel, entry.Ref.Offset, nowMs);
        Close(entry);
    }

    private void SettleOffset(ChannelProgress channel, long offset, long nowMs)
    {
        var runs = channel.Ranges.Runs;
        channel.Settle(offset, offset);
        if (channel.Replay is not null)
        {
            if (channel.Backlog == 0) EndReplayIfDone(nowMs);
            return;
        }

        _ranges += channel.Ranges.Runs - runs;
        if (RangesAreFull) Relieve(nowMs);
    }

    /// <summary>
    /// Takes a message out of all that is open. Not its attempt, if one is under way: that keeps its slot until its outcome is there.
    /// </summary>
    private void Close(DeliveryEntry entry)
    {
        var state = entry.State;
        entry.Channel.Remove(entry);
        if (state == EntryState.Queued && entry.Replay is null) Unqueue(entry);
        if (state == EntryState.Parked) _parked.Remove(entry);
        entry.State = EntryState.Closed;
        entry.Message = null;
        if (state != EntryState.InFlight) Unretry(entry);
        if (!entry.IsKept) return;
        entry.IsKept = false;
        entry.Channel.MarkChanged();
        if (entry.Replay is { } replay)
        {
            replay.Blocks--;
            return;
        }

        _kept--;
        Unblock(entry);
    }

    private void CloseAll(ChannelProgress channel)
    {
        foreach (var entry in channel.Open.ToList()) Close(entry);
        if (channel.Replay is not null) return;
        foreach (var lane in channel.Lanes.ToList()) channel.Drop(lane);
    }

    private void Unretry(DeliveryEntry entry)
    {
        if (!entry.Retrying || entry.State is EntryState.Fetching or EntryState.Ready or EntryState.InFlight) return;
        entry.Retrying = false;
        _retriesOut--;
    }
}

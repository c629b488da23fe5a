namespace Grid.Server.Webhooks.Delivery;

// What is sent next: new messages first, then what failed, then replays; none of them starved.
internal sealed partial class WebhookMachine
{
    private const int FreshPerRetry = 3;
    private const int FreshPerReplay = 7;

    private readonly Queue<Lane> _lanes = new();
    private readonly Queue<DeliveryEntry> _readyRetries = new();
    private DeliveryEntry? _probe;
    private long _probes;
    private long _lastFull;
    private int _retriesOut;
    private int _sinceRetry;
    private int _sinceReplay;
    private long _waitsFor;

    /// <summary>How many retries may be read, waiting or on their way at once: so new messages always have most of the window.</summary>
    private int RetryCap => Ordered ? 1 : Math.Max(1, _window.Size / 4);

    /// <summary>How many messages of a replay may be on their way. Where order counts, one.</summary>
    private int ReplayCap => Parallel ? Math.Max(1, _window.Size / 4) : 1;

    /// <summary>Whether an ordered subscription may go on to a new message.</summary>
    private bool FreshIsFree => !Ordered || _blocks == 0;

    /// <summary>The next attempt to make, or null when none can be made now.</summary>
    public WebhookAttempt? NextDelivery(long nowMs)
    {
        if (Status != WebhookStatus.Active || StoreIsBehind || nowMs < HeldUntil) return null;
        if (_bucket?.HasToken(nowMs) == false) return null;
        var probing = _circuit.IsOpen;
        if (probing ? _probe is not null || nowMs < _circuit.ProbeAt : _draining || _flights.Count >= Window) return null;
        if (Pick(nowMs, probing) is not { } entry) return null;
        _bucket?.TryTake(nowMs);
        var number = ++_lastNumber;
        if (probing) (_probe, _probes) = (entry, _probes + 1);
        _flights.Add(number, entry);
        entry.State = EntryState.InFlight;
        if (_flights.Count >= _window.Size) _lastFull = number;
        if (entry.Lane is { } lane)
        {
            lane.Busy++;
            Line(lane);
        }

        var kind = entry.Replay is not null ? DeliveryKind.Replay : entry.Retrying ? DeliveryKind.Retry : DeliveryKind.Fresh;
        return new WebhookAttempt(number, entry.Ref, entry.Message!, entry.Attempts + 1, kind, probing);
    }

    private DeliveryEntry? Pick(long nowMs, bool probing)
    {
        var retry = HasReadyRetry;
        var replay = HasReadyReplay(nowMs);
        if (probing) return (_probes % 2 == 1 && retry ? TakeRetry() : null) ?? TakeFresh() ?? TakeRetry() ?? (replay ? TakeReplay(nowMs) : null);
        if (retry && _sinceRetry >= FreshPerRetry) return TakeRetry();
        if (replay && _sinceReplay >= FreshPerReplay) return TakeReplay(nowMs);
        if (TakeFresh() is { } fresh)
        {
            _sinceRetry++;
            _sinceReplay++;
            return fresh;
        }

        return retry ? TakeRetry() : replay ? TakeReplay(nowMs) : null;
    }

    private bool HasReadyRetry
    {
        get
        {
            while (_readyRetries.TryPeek(out var entry))
            {
                if (entry.State == EntryState.Ready) return true;
                _readyRetries.Dequeue();
            }

            return false;
        }
    }

    private DeliveryEntry? TakeRetry()
    {
        if (!HasReadyRetry) return null;
        _sinceRetry = 0;
        var entry = _readyRetries.Dequeue();
        if (entry.Replay is { } replay) replay.InFlight++;
        return entry;
    }

    private bool HasReadyReplay(long nowMs)
    {
        if (_replay is not { Blocks: 0 } replay || !FreshIsFree || replay.InFlight >= ReplayCap || !replay.Bucket.HasToken(nowMs)) return false;
        while (replay.Ready.TryPeek(out var entry))
        {
            if (entry.State == EntryState.Queued) return true;
            replay.Ready.Dequeue();
        }

        return false;
    }

    private DeliveryEntry TakeReplay(long nowMs)
    {
        _sinceReplay = 0;
        _replay!.Bucket.TryTake(nowMs);
        _replay.InFlight++;
        return _replay.Ready.Dequeue();
    }

    private DeliveryEntry? TakeFresh()
    {
        if (!FreshIsFree) return null;
        var entry = Ordered ? TakeOldest() : TakeInTurn();
        if (entry is not null) Unqueue(entry);
        return entry;
    }

    private DeliveryEntry? TakeInTurn()
    {
        while (_lanes.TryDequeue(out var lane))
        {
            lane.InLine = false;
            if (!MaySend(lane)) continue;
            var entry = lane.Take();
            Line(lane);
            return entry;
        }

        return null;
    }

    /// <summary>
    /// The oldest message of all channels that were read, by the time at which the channel took it. Channels have no common order, so
    /// this is as near to one as there is; within a channel the order is strict. It waits for the reads that were under way when it was asked
    /// first, since an older message may be in them.
    /// </summary>
    private DeliveryEntry? TakeOldest()
    {
        if (_scans > 0)
        {
            if (_waitsFor == 0) _waitsFor = _lastNumber;
            if (_reads.Any(r => r.Key <= _waitsFor && r.Value is { Entry: null, Channel.Replay: null })) return null;
        }

        _waitsFor = 0;
        Lane? oldest = null;
        for (var rest = _lanes.Count; rest > 0; rest--)
        {
            var lane = _lanes.Dequeue();
            lane.InLine = false;
            if (lane.Head is not { Message: { } message }) continue;
            Line(lane);
            if (oldest?.Head?.Message is not { } best || message.At < best.At
                || (message.At == best.At && string.CompareOrdinal(lane.Channel.Name, oldest.Channel.Name) < 0))
                oldest = lane;
        }

        return oldest?.Take();
    }

    private bool MaySend(Lane lane) => lane.Head is not null && (Parallel || (lane.Busy == 0 && lane.Blocks == 0));

    private void Line(Lane lane)
    {
        if (lane.InLine || lane.Head is null || (!Ordered && !MaySend(lane))) return;
        lane.InLine = true;
        _lanes.Enqueue(lane);
    }

    private void Unqueue(DeliveryEntry entry)
    {
        _queued--;
        _queuedBytes -= entry.Message!.Payload.Bytes.Length;
        entry.Channel.Queued--;
        Line(entry.Channel);
    }
}

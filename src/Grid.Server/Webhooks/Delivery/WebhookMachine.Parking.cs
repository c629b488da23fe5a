using Grid.Abstractions;

namespace Grid.Server.Webhooks.Delivery;

// Failed messages: in the state until their time comes, in lanes that wait for them, and, when there are too many, in the store.
internal sealed partial class WebhookMachine
{
    private const int MaxLoad = 64;

    private readonly ParkedSet _parked = new();
    private readonly Dictionary<MessageRef, DeliveryEntry> _loaded = [];
    private int _kept;
    private long _storedDue;
    private long _loadingFrom;
    private long _loadAfter;
    private bool _loading;
    private bool _loadIsVoid;
    private int _rowEffects;
    private bool _relieving;

    private bool ParkedAreFull => !Parallel && _kept >= Limits.MaxParked;

    /// <summary>
    /// No row is asked for while one that was asked for is open, or while changes of rows are not stored: else what comes back could
    /// be older than what is known here.
    /// </summary>
    private bool MayLoadParked => !_loading && _loaded.Count == 0 && _rowEffects == 0;

    /// <summary>Asks for durably parked messages that are due: returns how many at most, or 0 for none.</summary>
    public int NextParkedLoad(long nowMs)
    {
        if (Status != WebhookStatus.Active || StoreIsBehind || nowMs < HeldUntil || nowMs < _loadAfter) return 0;
        if (_storedDue == 0 || nowMs < _storedDue || !MayLoadParked) return 0;
        if (_circuit.IsOpen && (nowMs < _circuit.ProbeAt || _probe is not null || HasWork || _reads.Count > 0)) return 0;
        (_loading, _loadIsVoid, _loadingFrom, _storedDue) = (true, false, _storedDue, 0);
        return _circuit.IsOpen ? 1 : MaxLoad;
    }

    /// <summary>Takes the rows that were asked for: those that are due first.</summary>
    /// <param name="rows">The rows; none of them is due later than now.</param>
    /// <param name="restDue">When the first of the others is due; null when there is none.</param>
    /// <param name="nowMs">The time.</param>
    public void OnParkedLoaded(IReadOnlyList<ParkedRow> rows, long? restDue, long nowMs)
    {
        if (!_loading) return;
        if (_loadIsVoid || Status != WebhookStatus.Active)
        {
            OnParkedLoadFailed(nowMs);
            return;
        }

        _loading = false;
        if (restDue is { } rest) DueInStore(rest);
        foreach (var row in rows)
        {
            var channel = new ChannelProgress(row.Ref.Channel, new(row.Ref.Epoch, row.Ref.Offset - 1));
            var entry = new DeliveryEntry(channel, row.Ref, ++_lastNumber)
            {
                State = EntryState.Parked, Attempts = row.Attempts, Due = row.Due, StoredDue = Math.Max(1, row.Due),
            };
            if (_loaded.TryAdd(row.Ref, entry)) _parked.Add(entry);
        }
    }

    /// <summary>The rows could not be read. They are asked for again in a second.</summary>
    public void OnParkedLoadFailed(long nowMs)
    {
        if (!_loading) return;
        _loading = false;
        _loadAfter = nowMs + ReadRetryMs;
        DueInStore(_loadingFrom);
    }

    /// <summary>Takes note that somebody else put a row into the store: to resend a message, or to redrive dead letters.</summary>
    /// <param name="due">When it is due, in Unix milliseconds.</param>
    /// <param name="nowMs">The time.</param>
    public void NoticeParked(long due, long nowMs)
    {
        DueInStore(due);
        _writes.Changed(nowMs);
    }

    private void DueInStore(long due) => _storedDue = _storedDue == 0 ? Math.Max(1, due) : Math.Min(_storedDue, Math.Max(1, due));

    private void AddRowEffect(WebhookEffect effect, long nowMs)
    {
        _rowEffects++;
        _writes.Add(effect, nowMs);
    }

    private static bool ChangesRows(WebhookEffect effect) => effect
        is WebhookEffect.ParkDurably or WebhookEffect.ForgetParked or WebhookEffect.DeadLetter;

    /// <summary>A message failed: it waits for its time.</summary>
    private void Park(DeliveryEntry entry, long due, long nowMs)
    {
        if (entry.IsStored || (entry.Replay is not null && Parallel))
        {
            ParkDurably(entry, due, nowMs);
            return;
        }

        Repark(entry, due);
        entry.Channel.MarkChanged();
        _writes.Changed(nowMs);
        if (entry.IsKept) return;
        entry.IsKept = true;
        if (entry.Replay is { } replay)
        {
            replay.Blocks++;
            return;
        }

        _kept++;
        Block(entry);
        if (Parallel && _kept > Limits.MaxParked) Relieve(nowMs);
    }

    private void Repark(DeliveryEntry entry, long due)
    {
        (entry.State, entry.Due, entry.Message) = (EntryState.Parked, due, null);
        _parked.Add(entry);
    }

    private void Unfetch(DeliveryEntry entry)
    {
        Repark(entry, entry.Due);
        Unretry(entry);
    }

    private void ParkDurably(DeliveryEntry entry, long due, long nowMs)
    {
        AddRowEffect(new WebhookEffect.ParkDurably(new ParkedRow(entry.Ref, entry.Attempts, due), entry.StoredDue), nowMs);
        DueInStore(due);
        Settle(entry, nowMs);
    }

    /// <summary>
    /// Moves the oldest failures into the store, a quarter of them at once, so that floors move up. Not where others wait for them:
    /// those would have to follow.
    /// </summary>
    private void Relieve(long nowMs)
    {
        if (!Parallel || _relieving) return;
        _relieving = true;
        var kept = _parked.All.Where(e => e.IsKept && e.Replay is null).OrderBy(e => e.Number).ToList();
        foreach (var entry in kept.Take((kept.Count / 4) + 1)) ParkDurably(entry, entry.Due, nowMs);
        _relieving = false;
    }

    private void Block(DeliveryEntry entry)
    {
        if (Parallel || entry.Lane is not { } lane) return;
        entry.Blocks = true;
        _blocks++;
        lane.Blocks++;
        lane.RewindTo = Math.Min(lane.RewindTo, entry.Ref.Offset);
        if (_queued == 0) return;
        if (Ordered)
        {
            EmptyAll();
            return;
        }

        // After a change of lanes what waits may be older than what failed.
        var first = Empty(lane);
        if (first < long.MaxValue) lane.RewindTo = Math.Min(lane.RewindTo, first - 1);
    }

    private void Unblock(DeliveryEntry entry)
    {
        if (!entry.Blocks) return;
        entry.Blocks = false;
        _blocks--;
        var lane = entry.Lane!;
        if (--lane.Blocks > 0) return;
        lane.Channel.Rewind(lane.RewindTo);
        lane.RewindTo = long.MaxValue;
        Line(lane);
        Line(lane.Channel);
        lane.Channel.Drop(lane);
    }

    private void OnFetched(DeliveryEntry entry, ChannelPage page, long nowMs)
    {
        var found = page.Head.Epoch == entry.Ref.Epoch && page.Messages is [var first, ..] && first.Offset == entry.Ref.Offset
            ? page.Messages[0] : null;
        if (found is not null)
        {
            (entry.Message, entry.State) = (found, EntryState.Ready);
            _readyRetries.Enqueue(entry);
            return;
        }

        if (!entry.IsStored)
        {
            if (!Reconcile(entry.Channel, page.Head, nowMs)) Line(entry.Channel);
            if (entry.State == EntryState.Closed) return;
        }

        _writes.Add(
            new WebhookEffect.Truncated(
                entry.Ref.Channel, entry.Ref.Epoch, entry.Ref.Offset, entry.Ref.Offset, 1,
                page.Head.Epoch == entry.Ref.Epoch ? TruncationReason.Retention : TruncationReason.Epoch, entry.Replay?.Id),
            nowMs);
        if (entry.IsStored) AddRowEffect(new WebhookEffect.ForgetParked(entry.Ref, entry.StoredDue), nowMs);
        Settle(entry, nowMs);
    }

    /// <summary>Lets go of what waits in a lane; returns the first offset of it.</summary>
    private long Empty(Lane lane)
    {
        var first = long.MaxValue;
        while (lane.Take() is { } entry)
        {
            first = Math.Min(first, entry.Ref.Offset);
            Close(entry);
        }

        return first;
    }

    private void EmptyAll()
    {
        foreach (var channel in _channels.Values)
        {
            if (channel.Queued == 0) continue;
            var first = long.MaxValue;
            foreach (var lane in channel.Lanes.ToList())
            {
                first = Math.Min(first, Empty(lane));
                channel.Drop(lane);
            }

            channel.Rewind(first - 1);
            Line(channel);
        }
    }

    /// <summary>
    /// Lets go of all that is in memory only. What is on its way is judged when its outcome comes; the rest is read again when it is
    /// wanted.
    /// </summary>
    private void LetGo()
    {
        _letGo = false;
        EmptyAll();
        while (_readyRetries.TryDequeue(out var entry))
        {
            if (entry.State == EntryState.Ready) Unfetch(entry);
        }

        foreach (var (_, entry) in _reads.Values.Where(r => r.Entry is { State: EntryState.Fetching }).ToList()) Unfetch(entry!);
        foreach (var entry in _loaded.Values.Where(e => e.State == EntryState.Parked).ToList())
        {
            DueInStore(entry.StoredDue);
            _loaded.Remove(entry.Ref);
            Close(entry);
        }

        if (_replay is { } replay) LetReplayGo(replay);
    }
}

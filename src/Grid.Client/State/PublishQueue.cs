using System.Diagnostics.CodeAnalysis;

namespace Grid.Client;

/// <summary>
/// The publishes of a client that are not answered yet, bounded by count and bytes. What it promises:
/// <list type="bullet">
/// <item>Within a channel they are sent in the order of the calls, each once per connection. After a disconnect all that have no
/// answer are sent again, unchanged and in order, so with their keys none lands twice.</item>
/// <item>One refused for a while (<c>unavailable</c>, <c>rate_limited</c>) holds its channel back. It is sent again when nothing of
/// the channel is under way any more. If a later one was stored meanwhile, or may have been, sending it would turn the order
/// around: it is rejected instead.</item>
/// </list>
/// Not thread-safe; no I/O, no clock.
/// </summary>
internal sealed class PublishQueue(int maxCount, long maxBytes, Random random)
{
    /// <summary>The bounds of the backoff between two attempts of a refused publish.</summary>
    public static readonly TimeSpan RetryMin = TimeSpan.FromMilliseconds(250), RetryMax = TimeSpan.FromSeconds(10);

    private readonly LinkedList<PendingPublish> _entries = new();
    private readonly Dictionary<long, LinkedListNode<PendingPublish>> _byId = [];
    private readonly Dictionary<string, Lane> _lanes = new(StringComparer.Ordinal);
    private readonly SortedDictionary<long, PendingPublish> _ready = [];
    private readonly Queue<PendingPublish> _rejected = new();

    /// <summary>How many wait for an answer, sent or not.</summary>
    public int Count => _byId.Count;

    /// <summary>The bytes of their frames.</summary>
    public long Bytes { get; private set; }

    /// <summary>The answers awaited by callers, oldest first.</summary>
    public IEnumerable<Task<PublishReceipt>> Answers => _entries.Select(publish => publish.Answer.Task);

    /// <summary>Whether one can be sent now.</summary>
    public bool HasReady => _ready.Count > 0;

    /// <summary>When the oldest times out; null when empty. All have the same timeout, so the oldest is the first.</summary>
    public TimeSpan? NextDeadline => _entries.First?.Value.Deadline;

    /// <summary>When <see cref="Release"/> has something to do next; null when nothing is held back.</summary>
    public TimeSpan? NextRetryAt
    {
        get
        {
            TimeSpan? next = null;
            foreach (var lane in _lanes.Values)
                if (lane.RetryAt is { } at && (next is null || at < next))
                    next = at;
            return next;
        }
    }

    /// <summary>Adds a publish at the end; false when it would exceed a bound, and nothing was changed.</summary>
    public bool TryAdd(PendingPublish publish)
    {
        if (Count >= maxCount || Bytes + publish.Frame.Length > maxBytes) return false;
        _byId.Add(publish.Id, _entries.AddLast(publish));
        Bytes += publish.Frame.Length;
        if (!_lanes.TryGetValue(publish.Channel, out var lane))
            _lanes.Add(publish.Channel, lane = new Lane(new Backoff(RetryMin, RetryMax, random)));
        lane.Entries.Add(publish.Id, publish);
        if (lane.Refused == 0) _ready.Add(publish.Id, publish);
        return true;
    }

    /// <summary>The oldest publish that may be sent now; it counts as sent.</summary>
    public bool TryTakeNext([NotNullWhen(true)] out PendingPublish? publish)
    {
        publish = null;
        foreach (var (_, first) in _ready)
        {
            publish = first;
            break;
        }

        if (publish is null) return false;
        _ready.Remove(publish.Id);
        publish.State = PublishState.Sent;
        publish.WasSent = true;
        return true;
    }

    /// <summary>The publish with this number, if it waits here.</summary>
    public PendingPublish? Find(long id) => _byId.TryGetValue(id, out var node) ? node.Value : null;

    /// <summary>The server stored it, or found its key.</summary>
    public bool TryStored(long id, TimeSpan now, [NotNullWhen(true)] out PendingPublish? publish)
    {
        if (!_byId.TryGetValue(id, out var node))
        {
            publish = null;
            return false;
        }

        var lane = _lanes[node.Value.Channel];
        lane.LastStored = Math.Max(lane.LastStored, id);
        lane.Attempts.Reset();
        return TryRemove(id, now, out publish);
    }

    /// <summary>
    /// The server refused it for a while. It is kept, or appears at <see cref="TryTakeRejected"/> when it can't be sent in order any
    /// more. False when it is not here.
    /// </summary>
    public bool TryRefuse(long id, GridException error, TimeSpan now)
    {
        if (!_byId.TryGetValue(id, out var node)) return false;
        var publish = node.Value;
        if (publish.State != PublishState.Sent) return true;
        if (publish.Abandoned) return TryRemove(id, now, out _);
        var lane = _lanes[publish.Channel];
        publish.State = PublishState.Refused;
        publish.Refusal = error;
        lane.Refused++;
        foreach (var later in lane.Entries.Values)
            if (later.State == PublishState.Waiting)
                _ready.Remove(later.Id);
        Settle(lane, now);
        return true;
    }

    /// <summary>
    /// The caller gave it up. One on its way stays, unseen, until its answer comes or the connection ends: it still counts for the
    /// order of its channel and for the bound, but is not sent again.
    /// </summary>
    public bool TryAbandon(long id, TimeSpan now, [NotNullWhen(true)] out PendingPublish? publish)
    {
        publish = null;
        if (!_byId.TryGetValue(id, out var node) || node.Value.Abandoned) return false;
        if (node.Value.State != PublishState.Sent) return TryRemove(id, now, out publish);
        publish = node.Value;
        publish.Abandoned = true;
        _entries.Remove(node);
        return true;
    }

    /// <summary>Takes out the publish with this number: it was refused for good.</summary>
    public bool TryRemove(long id, TimeSpan now, [NotNullWhen(true)] out PendingPublish? publish)
    {
        publish = null;
        if (!_byId.Remove(id, out var node)) return false;
        publish = node.Value;
        if (!publish.Abandoned) _entries.Remove(node);
        _ready.Remove(id);
        Bytes -= publish.Frame.Length;
        var lane = _lanes[publish.Channel];
        lane.Entries.Remove(id);
        if (lane.Entries.Count == 0)
        {
            _lanes.Remove(publish.Channel);
            return true;
        }

        if (publish.State == PublishState.Refused)
        {
            lane.Refused--;
            // With the refused one gone, what it held back may go.
            if (lane.Refused == 0) Free(lane);
        }

        Settle(lane, now);
        return true;
    }

    /// <summary>Makes what was held back until <paramref name="now"/> ready again.</summary>
    public void Release(TimeSpan now)
    {
        foreach (var lane in _lanes.Values)
            if (lane.RetryAt <= now)
                Free(lane);
    }

    /// <summary>The connection is gone: everything unanswered is ready again, in order.</summary>
    public void Disconnected(TimeSpan now)
    {
        foreach (var lane in _lanes.Values.ToList())
        {
            var laterUnderWay = false;
            foreach (var publish in lane.Entries.Values.Reverse().ToList())
            {
                if (publish.State == PublishState.Sent) laterUnderWay = true;
                else if (publish.State == PublishState.Refused && laterUnderWay) Reject(publish, now);
            }

            foreach (var publish in lane.Entries.Values.ToList())
            {
                publish.State = PublishState.Waiting;
                if (publish.Abandoned) TryRemove(publish.Id, now, out _);
            }

            Free(lane);
        }
    }

    /// <summary>Takes out one publish that was refused for a while and can't be sent in order any more.</summary>
    public bool TryTakeRejected([NotNullWhen(true)] out PendingPublish? publish) => _rejected.TryDequeue(out publish);

    /// <summary>Gives up the oldest publish if its time is up at <paramref name="now"/>: see <see cref="TryAbandon"/>.</summary>
    public bool TryExpire(TimeSpan now, [NotNullWhen(true)] out PendingPublish? publish)
    {
        publish = null;
        return _entries.First is { } first && first.Value.Deadline <= now && TryAbandon(first.Value.Id, now, out publish);
    }

    /// <summary>Takes out the oldest publish.</summary>
    public bool TryRemoveFirst(TimeSpan now, [NotNullWhen(true)] out PendingPublish? publish)
    {
        publish = null;
        return _entries.First is { } first && TryRemove(first.Value.Id, now, out publish);
    }

    private void Settle(Lane lane, TimeSpan now)
    {
        if (lane.Refused == 0) return;
        var underWay = false;
        var retryAfter = TimeSpan.Zero;
        foreach (var publish in lane.Entries.Values.ToList())
        {
            if (publish.State == PublishState.Sent)
            {
                underWay = true;
            }
            else if (publish.State == PublishState.Refused)
            {
                if (publish.Id < lane.LastStored)
                {
                    // Settles the lane again, with one refused fewer.
                    Reject(publish, now);
                    return;
                }

                if (publish.Refusal?.RetryAfter is { } after && after > retryAfter) retryAfter = after;
            }
        }

        if (underWay || lane.RetryAt is not null) return;
        var delay = lane.Attempts.Next(now);
        lane.RetryAt = now + (delay > retryAfter ? delay : retryAfter);
    }

    private void Reject(PendingPublish publish, TimeSpan now)
    {
        _rejected.Enqueue(publish);
        TryRemove(publish.Id, now, out _);
    }

    private void Free(Lane lane)
    {
        lane.Refused = 0;
        lane.RetryAt = null;
        foreach (var publish in lane.Entries.Values)
        {
            if (publish.State == PublishState.Sent) continue;
            publish.State = PublishState.Waiting;
            _ready[publish.Id] = publish;
        }
    }

    /// <summary>The unanswered publishes of one channel.</summary>
    private sealed class Lane(Backoff attempts)
    {
        public SortedDictionary<long, PendingPublish> Entries { get; } = [];

        public Backoff Attempts { get; } = attempts;

        public long LastStored { get; set; } = -1;

        public int Refused { get; set; }

        public TimeSpan? RetryAt { get; set; }
    }
}

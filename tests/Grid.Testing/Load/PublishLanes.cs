using System.Diagnostics;
using Grid.Testing.History;

namespace Grid.Testing.Load;

/// <summary>A publish that its publisher has not done with.</summary>
public sealed class PendingPublish(PublishRecord record)
{
    /// <summary>Its record.</summary>
    public PublishRecord Record => record;

    /// <summary>The request that is on its way; null while none is.</summary>
    public long? Id { get; set; }

    /// <summary>Whether the last attempt was answered by <c>unavailable</c>.</summary>
    public bool Refused { get; set; }

    /// <summary>When it was sent first; 0 before.</summary>
    public long FirstSentAt { get; set; }

    /// <summary>When it was last sent.</summary>
    public long SentAt { get; set; }
}

/// <summary>
/// What a publisher has not done with, by channel, and which of it may be sent now without turning the order around. One that was
/// answered by <c>unavailable</c> holds its channel back until all answers are in; then it goes out again, with what waits behind it,
/// unless a later one was stored meanwhile, or may have been: then it is given up, its outcome unknown for good.
/// Not thread-safe; no I/O.
/// </summary>
public sealed class PublishLanes
{
    private readonly Dictionary<string, Lane> _lanes = new(StringComparer.Ordinal);
    private readonly Dictionary<long, PendingPublish> _byId = [];

    /// <summary>How many are not done with.</summary>
    public int Count { get; private set; }

    /// <summary>How many were given up.</summary>
    public int GivenUp { get; private set; }

    /// <summary>How many attempts were answered by <c>unavailable</c>.</summary>
    public int Refusals { get; private set; }

    /// <summary>When the oldest request that is on its way was sent; null when none is.</summary>
    public long? OldestSentAt => _byId.Count == 0 ? null : _byId.Values.Min(p => p.SentAt);

    /// <summary>Adds one behind all others of its channel.</summary>
    public void Add(PublishRecord record)
    {
        if (!_lanes.TryGetValue(record.Channel, out var lane)) _lanes.Add(record.Channel, lane = new Lane());
        lane.Pending.AddLast(new PendingPublish(record));
        Count++;
    }

    /// <summary>Those that may be sent now, in order; the caller sends each and calls <see cref="Sent"/>.</summary>
    public List<PendingPublish> Due(long now)
    {
        List<PendingPublish> due = [];
        foreach (var lane in _lanes.Values)
        {
            if (lane.RetryAt is { } at)
            {
                if (now < at || lane.Pending.Any(p => p.Id is not null)) continue;
                GiveUp(lane, p => p.Refused && p.Record.Sequence < lane.Stored);
                lane.RetryAt = null;
            }

            due.AddRange(lane.Pending.Where(p => p.Id is null));
        }

        return due;
    }

    /// <summary>One was sent.</summary>
    public void Sent(PendingPublish pending, long id)
    {
        pending.Id = id;
        pending.Refused = false;
        pending.SentAt = Stopwatch.GetTimestamp();
        if (pending.FirstSentAt == 0) pending.FirstSentAt = pending.SentAt;
        _byId.Add(id, pending);
    }

    /// <summary>A request was answered; null when there is no such request.</summary>
    public PendingPublish? Answered(long id) => _byId.Remove(id, out var pending) ? pending : null;

    /// <summary>One was stored.</summary>
    public void Stored(PendingPublish pending)
    {
        var lane = _lanes[pending.Record.Channel];
        lane.Stored = Math.Max(lane.Stored, pending.Record.Sequence);
        lane.Pending.Remove(pending);
        Count--;
    }

    /// <summary>One was answered by <c>unavailable</c>; its channel is held back until <paramref name="retryAt"/>.</summary>
    public void Refused(PendingPublish pending, long retryAt)
    {
        pending.Id = null;
        pending.Refused = true;
        pending.Record.OutcomeUnknown();
        Refusals++;
        var lane = _lanes[pending.Record.Channel];
        lane.RetryAt = Math.Max(lane.RetryAt ?? 0, retryAt);
    }

    /// <summary>The socket is gone: whatever is on its way has an unknown outcome and is sent again on the next one.</summary>
    public void Disconnected()
    {
        foreach (var lane in _lanes.Values)
        {
            // What was answered by "unavailable" can't go out in order any more if a later one may have been stored.
            var unknown = lane.Pending.LastOrDefault(p => p.Id is not null)?.Record.Sequence ?? -1;
            GiveUp(lane, p => p.Refused && p.Record.Sequence < Math.Max(unknown, lane.Stored));
            lane.RetryAt = null;
            foreach (var pending in lane.Pending)
            {
                if (pending.Id is not null) pending.Record.OutcomeUnknown();
                (pending.Id, pending.Refused) = (null, false);
            }
        }

        _byId.Clear();
    }

    private void GiveUp(Lane lane, Func<PendingPublish, bool> which)
    {
        foreach (var pending in lane.Pending.Where(which).ToList())
        {
            lane.Pending.Remove(pending);
            Count--;
            GivenUp++;
        }
    }

    private sealed class Lane
    {
        public LinkedList<PendingPublish> Pending { get; } = new();

        public long Stored { get; set; } = -1;

        public long? RetryAt { get; set; }
    }
}

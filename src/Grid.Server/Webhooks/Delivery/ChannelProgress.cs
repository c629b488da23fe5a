using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// A subscription's place in one channel: everything up to the floor is settled (delivered, unwanted, a dead letter, durably parked,
/// recorded as truncated, skipped), and above it what the ranges say. What is neither settled nor open is read (again) when its turn
/// comes: after a restart, and after the machine let go of what it had read.
/// </summary>
/// <param name="name">The channel's name.</param>
/// <param name="floor">Where it starts.</param>
/// <param name="changed">To where it adds itself when it changes, once until <see cref="TakeChanged"/>.</param>
internal sealed class ChannelProgress(string name, Position floor, List<ChannelProgress>? changed = null)
{
    private Dictionary<long, DeliveryEntry>? _open;
    private Dictionary<string, Lane>? _lanes;

    /// <summary>The channel's name.</summary>
    public string Name => name;

    /// <summary>The epoch of all offsets here.</summary>
    public string Epoch { get; private set; } = floor.Epoch;

    /// <summary>Everything up to here is settled.</summary>
    public long Floor { get; private set; } = floor.Offset;

    /// <summary>What is settled above the floor.</summary>
    public OffsetRanges Ranges { get; } = new();

    /// <summary>The last offset that was read, or needs no reading.</summary>
    public long ReadTo { get; private set; } = floor.Offset;

    /// <summary>How far the channel is known to reach.</summary>
    public long Head { get; set; } = floor.Offset;

    /// <summary>Whether the channel is to be looked at although nothing is known to be there.</summary>
    public bool Look { get; set; }

    /// <summary>
    /// Whether what comes after its floor may have no mark, since its cursor was moved by hand, or it waits for another channel's failed
    /// message: until all of it is settled, the record says so.
    /// </summary>
    public bool IsBehind { get; private set; }

    /// <summary>The read under way; 0 for none.</summary>
    public long Read { get; set; }

    /// <summary>The offset after which that read began.</summary>
    public long ReadAfter { get; set; }

    /// <summary>Whether it stands in the line of channels to read.</summary>
    public bool InLine { get; set; }

    /// <summary>How many messages are read ahead.</summary>
    public int Queued { get; set; }

    /// <summary>Numbers the last time at which it came to rest; 0: it did not.</summary>
    public long Rest { get; set; }

    /// <summary>Whether nothing is to be done and nothing to be remembered but where it is.</summary>
    public bool IsAtRest => !Look && !IsBehind && !IsChanged && Read == 0 && Ranges.Runs == 0 && Open.Count == 0 && Head == Floor;

    /// <summary>Whether something changed since the last write.</summary>
    public bool IsChanged { get; private set; }

    /// <summary>For a replay: the replay, and the last offset of it.</summary>
    public (ReplayJob Job, long To)? Replay { get; init; }

    /// <summary>How many messages are not settled, as far as is known.</summary>
    public long Backlog => Math.Max(0, Head - Floor - Ranges.Count);

    /// <summary>Whether there is something to read.</summary>
    public bool HasUnread => Read == 0 && (Look || Ranges.SkipFrom(ReadTo) < Head);

    /// <summary>The messages that the machine holds, waits for, or tries again.</summary>
    public IReadOnlyCollection<DeliveryEntry> Open => (IReadOnlyCollection<DeliveryEntry>?)_open?.Values ?? [];

    /// <summary>Whether an offset is open.</summary>
    public bool IsOpen(long offset) => _open?.ContainsKey(offset) == true;

    /// <summary>Finds an open message.</summary>
    public DeliveryEntry? Find(long offset) => _open?.GetValueOrDefault(offset);

    /// <summary>Adds an open message.</summary>
    public void Add(DeliveryEntry entry) => (_open ??= []).Add(entry.Ref.Offset, entry);

    /// <summary>Takes an open message away, if it is this one.</summary>
    public void Remove(DeliveryEntry entry)
    {
        if (Find(entry.Ref.Offset) == entry) _open!.Remove(entry.Ref.Offset);
    }

    /// <summary>Whether an offset is settled.</summary>
    public bool IsSettled(long offset) => offset <= Floor || Ranges.Contains(offset);

    /// <summary>Settles offsets, and moves the floor as far as it goes. What is settled needs no reading.</summary>
    public void Settle(long from, long to)
    {
        from = Math.Max(from, Floor + 1);
        if (from > to) return;
        MarkChanged();
        if (from > Floor + 1) Ranges.Add(from, to);
        else Floor = Math.Max(to, Ranges.SkipFrom(to));
        while (Ranges.Runs > 0 && Ranges.AsList[0].From <= Floor + 1) Floor = Math.Max(Floor, Ranges.TakeFrom(Floor + 1));
        ReadTo = Math.Max(ReadTo, Floor);
        Head = Math.Max(Head, Floor);
    }

    /// <summary>Moves on to what was read, or found settled.</summary>
    public void MoveReadTo(long offset) => ReadTo = Math.Max(ReadTo, offset);

    /// <summary>Notes that it is to be written.</summary>
    public void MarkChanged()
    {
        if (IsChanged) return;
        IsChanged = true;
        changed?.Add(this);
    }

    /// <summary>It is being written.</summary>
    public void TakeChanged() => IsChanged = false;

    /// <summary>Its cursor is moved by hand.</summary>
    public void Move(Position position)
    {
        Restart(position);
        IsBehind = true;
        Look = true;
    }

    /// <summary>Has the record say that it is behind.</summary>
    public void StayBehind()
    {
        if (IsBehind) return;
        IsBehind = true;
        MarkChanged();
    }

    /// <summary>Ends <see cref="IsBehind"/>, if all that is known to be there is settled.</summary>
    public void Arrive()
    {
        if (!IsBehind || Look || Read != 0 || Backlog > 0 || Open.Count > 0) return;
        IsBehind = false;
        MarkChanged();
    }

    /// <summary>Goes back, so that what follows an offset is read again where it is not settled or open. A read under way is void.</summary>
    public void Rewind(long offset)
    {
        if (offset >= ReadTo) return;
        ReadTo = Math.Max(Floor, offset);
        Read = 0;
    }

    /// <summary>Starts anew elsewhere; the caller has seen to what was open.</summary>
    public void Restart(Position position)
    {
        if (position.Epoch != Epoch) Head = position.Offset;
        (Epoch, Floor, ReadTo, Read) = (position.Epoch, position.Offset, position.Offset, 0);
        MarkChanged();
        Head = Math.Max(Head, Floor);
        Ranges.Clear();
        _open?.Clear();
    }

    /// <summary>Takes over what was stored.</summary>
    public void Restore(IReadOnlyList<OffsetRange> ranges, bool behind)
    {
        IsBehind = behind;
        foreach (var range in ranges) Settle(range.From, range.To);
        Head = Math.Max(Head, Ranges.Last);
    }

    /// <summary>
    /// Settles what retention took, but for the messages that are in memory and can still be delivered. Returns it, for the record.
    /// </summary>
    /// <param name="oldest">The oldest offset kept.</param>
    public List<OffsetRange> Truncate(long oldest)
    {
        var taken = new List<OffsetRange>();
        if (oldest <= Floor + 1) return taken;
        var held = Open.Where(e => e.Message is not null && e.Ref.Offset < oldest).Select(e => e.Ref.Offset).Order().ToList();
        foreach (var hole in Ranges.Holes(Floor + 1, oldest - 1))
        {
            var from = hole.From;
            foreach (var offset in held)
            {
                if (offset < hole.From || offset > hole.To) continue;
                if (offset > from) taken.Add(new OffsetRange(from, offset - 1));
                from = offset + 1;
            }

            if (from <= hole.To) taken.Add(hole with { From = from });
        }

        foreach (var range in taken) Settle(range.From, range.To);
        MoveReadTo(oldest - 1);
        return taken;
    }

    /// <summary>The lane of a key; made if need be.</summary>
    public Lane LaneOf(string key)
    {
        _lanes ??= new Dictionary<string, Lane>(StringComparer.Ordinal);
        if (!_lanes.TryGetValue(key, out var lane)) _lanes[key] = lane = new Lane(this, key);
        return lane;
    }

    /// <summary>The lane of a key, if there is something in it.</summary>
    public Lane? FindLane(string key) => _lanes?.GetValueOrDefault(key);

    /// <summary>Forgets a lane in which nothing is.</summary>
    public void Drop(Lane lane)
    {
        if (lane.IsIdle && FindLane(lane.Key) == lane) _lanes!.Remove(lane.Key);
    }

    /// <summary>The lanes in which something is.</summary>
    public IReadOnlyCollection<Lane> Lanes => (IReadOnlyCollection<Lane>?)_lanes?.Values ?? [];

    /// <summary>Forgets all lanes: the rule that made them has changed.</summary>
    public void DropLanes() => _lanes = null;
}

/// <summary>Messages of a channel that are delivered in their order. In parallel mode they only wait together.</summary>
/// <param name="channel">The channel.</param>
/// <param name="key">Names it within the channel.</param>
internal sealed class Lane(ChannelProgress channel, string key)
{
    private readonly Queue<DeliveryEntry> _queue = new();

    /// <summary>The channel.</summary>
    public ChannelProgress Channel => channel;

    /// <summary>Names it within the channel.</summary>
    public string Key => key;

    /// <summary>Requests on their way.</summary>
    public int Busy { get; set; }

    /// <summary>Failed messages that those behind them wait for.</summary>
    public int Blocks { get; set; }

    /// <summary>From where its channel is read again when it is free: what came after was let go.</summary>
    public long RewindTo { get; set; } = long.MaxValue;

    /// <summary>Whether it stands in the line of lanes to send from.</summary>
    public bool InLine { get; set; }

    /// <summary>Whether nothing is in it.</summary>
    public bool IsIdle => Busy == 0 && Blocks == 0 && Head is null;

    /// <summary>The first message that waits.</summary>
    public DeliveryEntry? Head
    {
        get
        {
            while (_queue.TryPeek(out var entry))
            {
                if (entry.State == EntryState.Queued) return entry;
                _queue.Dequeue();
            }

            return null;
        }
    }

    /// <summary>Puts a message behind those that wait.</summary>
    public void Enqueue(DeliveryEntry entry) => _queue.Enqueue(entry);

    /// <summary>Takes the first message.</summary>
    public DeliveryEntry? Take()
    {
        var head = Head;
        if (head is not null) _queue.Dequeue();
        return head;
    }
}

/// <summary>Where an open message stands.</summary>
internal enum EntryState
{
    /// <summary>Read, and waits for its first attempt.</summary>
    Queued,

    /// <summary>An attempt is under way.</summary>
    InFlight,

    /// <summary>Failed, and waits for its time; its content was let go.</summary>
    Parked,

    /// <summary>Its time has come, and it is being read.</summary>
    Fetching,

    /// <summary>Read, and waits for its next attempt.</summary>
    Ready,

    /// <summary>No longer open; if an attempt is under way, its outcome no longer matters to the message.</summary>
    Closed,
}

/// <summary>An open message.</summary>
/// <param name="channel">Its channel; for a durably parked one, only where to read it.</param>
/// <param name="message">Names it.</param>
/// <param name="number">Rises with each that is made, so that those that are due together have an order.</param>
internal sealed class DeliveryEntry(ChannelProgress channel, MessageRef message, long number)
{
    /// <summary>Its channel.</summary>
    public ChannelProgress Channel => channel;

    /// <summary>Names it.</summary>
    public MessageRef Ref => message;

    /// <summary>Orders those that are due together.</summary>
    public long Number => number;

    /// <summary>Where it stands.</summary>
    public EntryState State { get; set; }

    /// <summary>Its content, while it is in memory.</summary>
    public Message? Message { get; set; }

    /// <summary>How many attempts it had.</summary>
    public int Attempts { get; set; }

    /// <summary>When the next attempt is due, in Unix milliseconds.</summary>
    public long Due { get; set; }

    /// <summary>Its lane; null for one that nothing waits for.</summary>
    public Lane? Lane { get; set; }

    /// <summary>Whether it failed and is part of the state, and not only of what is in memory.</summary>
    public bool IsKept { get; set; }

    /// <summary>Whether the lane is blocked by it.</summary>
    public bool Blocks { get; set; }

    /// <summary>Whether it counts among the retries that are being made.</summary>
    public bool Retrying { get; set; }

    /// <summary>The due time under which its row of parked messages stands; 0: it has none, and its offset is not settled.</summary>
    public long StoredDue { get; init; }

    /// <summary>Whether it has a row of parked messages.</summary>
    public bool IsStored => StoredDue > 0;

    /// <summary>The replay that it is part of.</summary>
    public ReplayJob? Replay => channel.Replay?.Job;
}

/// <summary>Failed messages by the time at which they are due.</summary>
internal sealed class ParkedSet
{
    private readonly SortedSet<DeliveryEntry> _byDue = new(Comparer<DeliveryEntry>.Create(
        static (a, b) => a.Due != b.Due ? a.Due.CompareTo(b.Due) : a.Number.CompareTo(b.Number)));

    /// <summary>How many there are.</summary>
    public int Count => _byDue.Count;

    /// <summary>The one that is due first.</summary>
    public DeliveryEntry? First => _byDue.Min;

    /// <summary>All of them.</summary>
    public IEnumerable<DeliveryEntry> All => _byDue;

    /// <summary>Adds one.</summary>
    public void Add(DeliveryEntry entry) => _byDue.Add(entry);

    /// <summary>Takes one away; its due time has not changed since it was added.</summary>
    public void Remove(DeliveryEntry entry) => _byDue.Remove(entry);
}

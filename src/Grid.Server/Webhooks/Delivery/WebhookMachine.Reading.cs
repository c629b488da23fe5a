using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

// Reading ahead: which channels are read from where, and what becomes of a page.
internal sealed partial class WebhookMachine
{
    private const long ReadRetryMs = 1_000;
    private const int ReplayAhead = 16;
    private const int ProbeAhead = 8;
    private const int LaneAhead = 4;
    private const int FrugalPage = 8;

    /// <summary>For how many seconds of its rate a subscription with a limit reads ahead: more would only lie in memory.</summary>
    private const int RateAheadSeconds = 10;

    /// <summary>Channels in line to be read at which no more are wanted.</summary>
    private const int LineEnough = 64;

    private readonly Dictionary<long, (ChannelProgress Channel, DeliveryEntry? Entry)> _reads = [];
    private readonly Queue<ChannelProgress> _line = new();
    private int _queued;
    private int _queuedBytes;
    private int _scans;
    private long _readsAfter;

    /// <summary>The payload bytes read ahead and not sent.</summary>
    public int QueuedBytes => _queuedBytes;

    /// <summary>Whether memory is short: then only as much is read as can be sent.</summary>
    public bool IsFrugal { get; set; }

    /// <summary>What may be read ahead while memory is short. Where messages of a page may be of lanes that are busy, it takes more to find others.</summary>
    private int FrugalTarget => LanesAreKeys ? UsualTarget : Window - InFlight;

    private int UsualTarget => Math.Max(16, 2 * Window);

    private bool LanesAreChannels => _settings is { Mode: WebhookMode.Keyed, KeySeparator: null };

    /// <summary>Whether it could do something with channels that it does not know yet (<see cref="Add"/>).</summary>
    public bool WantsChannels => Status == WebhookStatus.Active && Unstored < Limits.MaxRestingChannels
        && (_circuit.IsOpen ? !HasWork && _storedDue == 0 : FreshIsFree && !IsStalled && _line.Count < LineEnough);

    /// <summary>Channels that cannot be forgotten before a write: without a bound there would be any number where no message is wanted.</summary>
    private int Unstored => _changed.Count + (_writes.IsUnderWay ? _underWay.Count : 0);

    private bool RangesAreFull => _ranges >= Limits.MaxRanges;

    /// <summary>Takes note that a channel reaches further. One that is not known is ignored: see <see cref="Add"/>.</summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="head">How far it reaches.</param>
    public void Notice(string channel, Position head)
    {
        if (!_channels.TryGetValue(channel, out var progress)) return;
        if (head.Epoch != progress.Epoch) (progress.Look, progress.Rest) = (true, 0);
        else if (head.Offset > progress.Head) (progress.Head, progress.Rest) = (head.Offset, 0);
        Line(progress);
    }

    /// <summary>The reads to make now.</summary>
    public IReadOnlyList<ReadRequest> NextReads(long nowMs)
    {
        if (Status != WebhookStatus.Active || StoreIsBehind || nowMs < _readsAfter || nowMs < HeldUntil) return [];
        if (_circuit.IsOpen) return _probe is null && nowMs >= _circuit.ProbeAt ? ReadForProbe() : [];
        List<ReadRequest>? reads = null;
        while (_reads.Count < Limits.MaxReads && _retriesOut < RetryCap && _parked.First is { } parked && parked.Due <= nowMs)
            (reads ??= []).Add(Fetch(parked));

        if (FreshIsFree && !ParkedAreFull)
        {
            var target = Math.Min(Limits.MaxQueued, UsualTarget);
            if (_settings.PerSecond is { } rate) target = (int)Math.Min(target, Math.Ceiling(rate * RateAheadSeconds));
            var page = Math.Min(Limits.PageMessages, target);
            if (IsFrugal) (target, page) = (Math.Max(1, FrugalTarget), LanesAreChannels ? 1 : FrugalPage);
            for (var tries = _line.Count; tries > 0 && _reads.Count < Limits.MaxReads; tries--)
            {
                if (_queued + (IsFrugal ? _scans * page : _scans) >= target || _queuedBytes >= Limits.MaxQueuedBytes) break;
                if (ReadNext(page) is { } read) (reads ??= []).Add(read);
            }
        }

        if (_replay is { Blocks: 0 } replay && replay.Ready.Count < ReplayAhead && _reads.Count < Limits.MaxReads
            && replay.NextToRead is { } old)
        {
            var read = Read(old, ReplayAhead);
            replay.Read = read.Number;
            (reads ??= []).Add(read);
        }

        return (IReadOnlyList<ReadRequest>?)reads ?? [];
    }

    /// <summary>Takes what a read gave.</summary>
    public void OnRead(long number, ChannelPage page, long nowMs)
    {
        if (!Finish(number, out var channel, out var entry)) return;
        if (entry is not null)
        {
            OnFetched(entry, page, nowMs);
            return;
        }

        channel.Look = false;

        // Where it begins anew, or a lane became free by what retention took, the page is not what comes next.
        if (!Reconcile(channel, page.Head, nowMs) || channel.ReadTo < channel.ReadAfter)
        {
            Line(channel);
            return;
        }

        if (channel.Replay is null) channel.Head = Math.Max(channel.Head, page.Head.Head);
        var before = channel.ReadTo;
        foreach (var message in page.Messages) Take(channel, message, nowMs);

        if (channel.ReadTo == before && page.Messages.Count == 0 && channel.Head > before) PassEnd(channel, page.Head.Head, nowMs);
        Line(channel);
        if (!channel.IsBehind) return;
        channel.Arrive();
        if (!channel.IsBehind) _writes.Changed(nowMs);
    }

    /// <summary>A read failed: the log is away. It is read again in a second.</summary>
    public void OnReadFailed(long number, long nowMs)
    {
        if (!Finish(number, out var channel, out var entry)) return;
        _readsAfter = nowMs + ReadRetryMs;
        if (entry is { State: EntryState.Fetching }) Unfetch(entry);
        else Line(channel);
    }

    private bool Finish(long number, out ChannelProgress channel, out DeliveryEntry? entry)
    {
        if (!_reads.Remove(number, out var read))
        {
            (channel, entry) = (null!, null);
            return false;
        }

        (channel, entry) = read;
        if (entry is not null) return entry.State == EntryState.Fetching;
        if (channel.Replay is { } replay)
        {
            if (replay.Job.Read == number) replay.Job.Read = 0;
        }
        else
        {
            _scans--;
        }

        // Void if the channel was rewound, or started elsewhere, since: what it brings is not what comes next.
        if (channel.Read != number) return false;
        channel.Read = 0;
        return true;
    }

    /// <summary>Puts a channel into the line of those to read, if there is something to read now.</summary>
    private void Line(ChannelProgress channel)
    {
        if (channel.Replay is not null || channel.InLine || !MayRead(channel)) return;
        channel.InLine = true;
        _line.Enqueue(channel);
    }

    private bool MayRead(ChannelProgress channel)
    {
        if (!channel.HasUnread) return false;
        if (LanesAreChannels)
            return channel.Queued < LaneAhead && channel.FindLane(string.Empty) is not { Blocks: > 0 };
        return channel.Queued < Limits.MaxQueued / 4;
    }

    /// <summary>Reads from the next channel in line; null if that cannot be read now after all.</summary>
    private ReadRequest? ReadNext(int max)
    {
        var channel = _line.Dequeue();
        channel.InLine = false;
        if (_channels.GetValueOrDefault(channel.Name) != channel || !MayRead(channel)) return null;
        channel.MoveReadTo(channel.Ranges.SkipFrom(channel.ReadTo));

        // With little memory: what is read of it could not be sent now, and would keep others from being read.
        var isBusy = IsFrugal && LanesAreChannels && (channel.Queued > 0 || channel.FindLane(string.Empty) is { Busy: > 0 });
        if (isBusy || (RangesAreFull && channel.ReadTo > channel.Floor && channel.ReadTo >= channel.Ranges.Last))
        {
            // So is what is beyond everything settled, until holes are filled: it waits at the end of the line.
            channel.InLine = true;
            _line.Enqueue(channel);
            return null;
        }

        _scans++;
        return Read(channel, max);
    }

    private ReadRequest Read(ChannelProgress channel, int max)
    {
        channel.MoveReadTo(channel.Ranges.SkipFrom(channel.ReadTo));
        var hole = channel.Ranges.NextAfter(channel.ReadTo) - channel.ReadTo - 1;
        channel.Read = ++_lastNumber;
        channel.ReadAfter = channel.ReadTo;
        _reads[channel.Read] = (channel, null);
        return new ReadRequest(channel.Read, channel.Name, channel.ReadTo, (int)Math.Clamp(hole, 1, max));
    }

    private ReadRequest Fetch(DeliveryEntry entry)
    {
        _parked.Remove(entry);
        entry.State = EntryState.Fetching;
        entry.Retrying = true;
        _retriesOut++;
        _reads[++_lastNumber] = (entry.Channel, entry);
        return new ReadRequest(_lastNumber, entry.Ref.Channel, entry.Ref.Offset - 1, 1);
    }

    /// <summary>
    /// One message to try a dead endpoint with: in turn a new one and one that failed, so that a message which is itself the cause
    /// does not keep the circuit open.
    /// </summary>
    private List<ReadRequest> ReadForProbe()
    {
        if (_reads.Count > 0 || _readyRetries.Count > 0 || (_queued > 0 && FreshIsFree)) return [];
        if (_parked.First is { } parked && (_probes % 2 == 1 || !FreshIsFree || _line.Count == 0)) return [Fetch(parked)];
        for (var tries = _line.Count; tries > 0 && FreshIsFree; tries--)
        {
            if (ReadNext(ProbeAhead) is { } read) return [read];
        }

        if (_parked.First is { } late) return [Fetch(late)];
        if (_replay is not { Blocks: 0, Ready.Count: 0 } replay || replay.NextToRead is not { } old) return [];
        var last = Read(old, 1);
        replay.Read = last.Number;
        return [last];
    }

    /// <summary>Compares a channel with what the log says of it. False: it begins anew.</summary>
    private bool Reconcile(ChannelProgress channel, ChannelHead head, long nowMs)
    {
        if (head.Epoch != channel.Epoch)
        {
            EnterEpoch(channel, head, nowMs);
            return false;
        }

        if (head.Oldest > channel.Floor + 1) Truncate(channel, head.Oldest, nowMs);
        return true;
    }

    private void EnterEpoch(ChannelProgress channel, ChannelHead head, long nowMs)
    {
        var (lost, epoch, floor, known) = (channel.Backlog, channel.Epoch, channel.Floor, channel.Head);
        CloseAll(channel);

        // Also where nothing was known to be there: the epoch may have gone on unseen.
        _writes.Add(
            new WebhookEffect.Truncated(channel.Name, epoch, floor + 1, known, lost, TruncationReason.Epoch, channel.Replay?.Job.Id), nowMs);
        if (channel.Replay is { } replay)
        {
            channel.Settle(channel.Floor + 1, replay.To);
            EndReplayIfDone(nowMs);
            return;
        }

        _ranges -= channel.Ranges.Runs;
        channel.Restart(new Position(head.Epoch, 0));
        channel.Head = head.Head;

        // What retention took of the new epoch was never seen either.
        Truncate(channel, head.Oldest, nowMs);
    }

    private void Truncate(ChannelProgress channel, long oldest, long nowMs)
    {
        foreach (var entry in channel.Open.Where(e => e.Message is null && e.Ref.Offset < oldest).ToList()) Close(entry);
        var runs = channel.Ranges.Runs;
        var end = channel.Replay is { } limit ? Math.Min(oldest, limit.To + 1) : oldest;
        foreach (var (from, to) in channel.Truncate(end))
        {
            _writes.Add(
                new WebhookEffect.Truncated(
                    channel.Name, channel.Epoch, from, to, to - from + 1, TruncationReason.Retention, channel.Replay?.Job.Id),
                nowMs);
        }

        if (channel.Replay is null) _ranges += channel.Ranges.Runs - runs;
        else EndReplayIfDone(nowMs);
    }

    /// <summary>The log has nothing where something was thought to be.</summary>
    private void PassEnd(ChannelProgress channel, long head, long nowMs)
    {
        if (head > channel.ReadTo)
        {
            // It says itself that there is something, so it is asked again rather than passed over.
            _readsAfter = nowMs + ReadRetryMs;
            return;
        }

        if (channel.Replay is { } replay)
        {
            channel.Settle(channel.ReadTo + 1, replay.To);
            EndReplayIfDone(nowMs);
            return;
        }

        channel.Head = channel.ReadTo;
    }

    private void Take(ChannelProgress channel, Message message, long nowMs)
    {
        var offset = message.Offset;
        if (offset <= channel.ReadTo || (channel.Replay is { } limit && offset > limit.To)) return;
        channel.MoveReadTo(offset);
        if (channel.IsSettled(offset) || channel.IsOpen(offset)) return;
        if (!_settings.Events.Matches(message))
        {
            SettleOffset(channel, offset, nowMs);
            _writes.PassedOver(nowMs);
            return;
        }

        var entry = new DeliveryEntry(channel, new MessageRef(channel.Name, channel.Epoch, offset), ++_lastNumber)
        {
            Message = message, State = EntryState.Queued,
        };
        if (channel.Replay is { } replay)
        {
            channel.Add(entry);
            replay.Job.Ready.Enqueue(entry);
            return;
        }

        var lane = channel.LaneOf(LaneKey(message));

        // Behind a failed one: it is read again when its lane is free.
        if (!Parallel && lane.Blocks > 0)
        {
            lane.RewindTo = Math.Min(lane.RewindTo, offset - 1);
            return;
        }

        entry.Lane = lane;
        channel.Add(entry);
        channel.Queued++;
        _queued++;
        _queuedBytes += message.Payload.Bytes.Length;
        lane.Enqueue(entry);
        Line(lane);
    }

    private string LaneKey(Message message)
    {
        if (_settings is not { Mode: WebhookMode.Keyed, KeySeparator: { } separator } || message.Key is not { } key) return string.Empty;
        var end = key.IndexOf(separator, StringComparison.Ordinal);
        return end < 0 ? key : key[..end];
    }
}

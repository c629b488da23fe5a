using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

// What is stored, and when.
internal sealed partial class WebhookMachine
{
    private readonly List<ChannelProgress> _changed = [];
    private readonly List<ChannelProgress> _underWay = [];
    private readonly List<DeliveryEntry> _loadedUnderWay = [];

    /// <summary>Whether something is not stored yet.</summary>
    public bool HasUnwritten => _writes.IsUnderWay || _writes.Due != long.MaxValue;

    /// <summary>What is to be carried out, but was not yet.</summary>
    public IReadOnlyList<WebhookEffect> PendingEffects => _writes.Effects;

    /// <summary>The write to make now, or null. One at a time: it is over with <see cref="EndWrite"/>.</summary>
    /// <param name="nowMs">The time.</param>
    /// <param name="force">Whether to write what is not due yet, for a grain that deactivates.</param>
    public WebhookWrite? BeginWrite(long nowMs, bool force = false)
    {
        if (_writes.IsUnderWay || _writes.Due == long.MaxValue || (!force && _writes.Due > nowMs)) return null;
        var effects = _writes.Begin();
        foreach (var channel in _changed) channel.Arrive();
        var snapshot = Snapshot(changedOnly: true);
        _underWay.Clear();
        _underWay.AddRange(_changed);
        _changed.Clear();
        foreach (var channel in _underWay) channel.TakeChanged();

        _loadedUnderWay.Clear();
        _loadedUnderWay.AddRange(_loaded.Values.Where(e => e.State == EntryState.Closed));
        return new WebhookWrite(effects, snapshot) { IsAwaited = force };
    }

    /// <summary>A write is over.</summary>
    /// <param name="written">Whether everything is stored. If not, or nobody knows, it is all written again with the next.</param>
    /// <param name="nowMs">The time.</param>
    public void EndWrite(bool written, long nowMs)
    {
        if (!_writes.IsUnderWay) return;
        foreach (var effect in _writes.End(written, nowMs))
        {
            if (ChangesRows(effect)) _rowEffects--;
        }

        if (written)
        {
            foreach (var entry in _loadedUnderWay) _loaded.Remove(entry.Ref);
        }
        else
        {
            // But for those that were forgotten meanwhile: the next write deletes what is stored of them.
            foreach (var channel in _underWay.Where(c => _channels.GetValueOrDefault(c.Name) == c)) channel.MarkChanged();
        }
    }

    /// <summary>What is to be stored now.</summary>
    /// <param name="changedOnly">Whether to leave out channels that did not change since the last write.</param>
    public WebhookSnapshot Snapshot(bool changedOnly = false)
    {
        var stored = _storedDue;
        if (_loading) stored = stored == 0 ? _loadingFrom : Math.Min(stored, _loadingFrom);
        foreach (var entry in _loaded.Values)
        {
            if (entry.State != EntryState.Closed) stored = stored == 0 ? entry.StoredDue : Math.Min(stored, entry.StoredDue);
        }

        return new WebhookSnapshot
        {
            Generation = Generation,
            Status = Status,
            Reason = Reason,
            Window = _window.Size,
            HeldUntil = _heldUntil,
            HeldSince = _heldSince,
            Circuit = _circuit.Record,
            StoredDue = stored,
            Replay = _replay?.Record,
            Channels = [.. (changedOnly ? _changed : (IEnumerable<ChannelProgress>)_channels.Values).Select(RecordOf)],
        };
    }

    private ProgressRecord RecordOf(ChannelProgress channel) => new(
        channel.Name,
        new Position(channel.Epoch, channel.Floor),
        [.. channel.Ranges.AsList],
        [.. channel.Open.Where(e => e.IsKept).OrderBy(e => e.Ref.Offset).Select(e => new ParkedRecord(e.Ref.Offset, e.Attempts, e.Due, LaneOf(e)))],
        channel.IsBehind || channel.Backlog > 0);

    private string? LaneOf(DeliveryEntry entry) => LanesAreKeys ? entry.Lane?.Key : null;

    private void Restore(WebhookSnapshot snapshot, long nowMs, bool looks)
    {
        (Status, Reason) = (snapshot.Status, snapshot.Reason);
        (_heldUntil, _heldSince, _storedDue) = (snapshot.HeldUntil, snapshot.HeldSince, snapshot.StoredDue);
        _circuit.Restore(snapshot.Circuit);
        if (snapshot.Window > 0) _window.Restore(snapshot.Window);
        if (snapshot.Replay is { } replay) _replay = new ReplayJob(replay, nowMs);
        foreach (var record in snapshot.Channels)
        {
            var channel = _channels[record.Channel] = new ChannelProgress(record.Channel, record.Floor, _changed);
            channel.Restore(record.Ranges, record.IsBehind);
            _ranges += channel.Ranges.Runs;
            foreach (var parked in record.Parked)
            {
                var entry = new DeliveryEntry(channel, new MessageRef(record.Channel, record.Floor.Epoch, parked.Offset), ++_lastNumber)
                {
                    State = EntryState.Parked, Attempts = parked.Attempts, Due = parked.Due, IsKept = true,
                };
                channel.Add(entry);
                channel.Head = Math.Max(channel.Head, parked.Offset);
                _parked.Add(entry);
                _kept++;
                BlockAgain(entry, parked.Lane);
            }

            // What is above a floor may have no mark: it waits for a message that failed, or for a cursor that was moved.
            channel.Look = looks || record.IsBehind || record.Ranges.Count > 0 || record.Parked.Count > 0;
            Line(channel);
        }

        // What was read is stored already.
        foreach (var channel in _changed) channel.TakeChanged();
        _changed.Clear();
    }
}

using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

// What people do to a subscription.
internal sealed partial class WebhookMachine
{
    /// <summary>Stops sending until <see cref="Resume"/>. What is on its way is judged as ever. False: it was not active.</summary>
    public bool Pause(long nowMs)
    {
        if (Status != WebhookStatus.Active) return false;
        Status = WebhookStatus.Paused;
        LetGo();
        _writes.Changed(nowMs);
        return true;
    }

    /// <summary>Goes on. False: it was not paused.</summary>
    public bool Resume(long nowMs)
    {
        if (Status != WebhookStatus.Paused) return false;
        Status = WebhookStatus.Active;
        _writes.Changed(nowMs);
        return true;
    }

    /// <summary>Switches it off; cursors, parked messages and backlog stay. False: it was off.</summary>
    public bool Disable(DisabledReason reason, long nowMs)
    {
        if (Status == WebhookStatus.Disabled) return false;
        (Status, Reason) = (WebhookStatus.Disabled, reason);
        LetGo();
        _writes.Add(new WebhookEffect.Disabled(reason, nowMs), nowMs, atOnce: true);
        return true;
    }

    /// <summary>
    /// Switches it on again, with a closed circuit and one request at first. What retention took meanwhile is recorded as it is found.
    /// False: it was on.
    /// </summary>
    /// <param name="from">
    /// Where to go on, by channel: the heads for <c>now</c>, other positions as asked; channels not named go on at their cursors, which
    /// is what <c>cursor</c> means for all.
    /// </param>
    /// <param name="nowMs">The time.</param>
    public bool Enable(IReadOnlyCollection<KeyValuePair<string, Position>> from, long nowMs)
    {
        if (Status != WebhookStatus.Disabled) return false;
        foreach (var (channel, position) in from) Seek(channel, position, nowMs);
        (Status, Reason) = (WebhookStatus.Active, DisabledReason.None);
        (_heldUntil, _heldSince, _faultUntil, _faultMs, _failingTold) = (0, 0, 0, 0, false);
        _circuit.Close();
        _window.SlowStart();
        _writes.Changed(nowMs);
        return true;
    }

    /// <summary>
    /// Moves the cursor of a channel: everything after the position is delivered (again), nothing before it is any more. What was parked
    /// durably stays, to be tried until it is exhausted or skipped: it could be forgotten only together with the writing of the new
    /// cursor, or a crash between the two would lose it.
    /// </summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="position">The place before the next message to deliver.</param>
    /// <param name="nowMs">The time.</param>
    public void Seek(string channel, Position position, long nowMs)
    {
        if (!_channels.TryGetValue(channel, out var progress))
        {
            Add(channel, position, nowMs);
            progress = _channels[channel];
        }

        CloseAll(progress);
        _ranges -= progress.Ranges.Runs;
        progress.Move(position);
        _writes.Changed(nowMs);
        Line(progress);
    }

    /// <summary>
    /// Gives up all that waits in a channel up to a place. What comes after that stays as it is: delivered, on its way, or to be read.
    /// </summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="position">The last that is given up.</param>
    /// <param name="nowMs">The time.</param>
    public void PassOver(string channel, Position position, long nowMs)
    {
        if (!_channels.TryGetValue(channel, out var progress) || progress.Epoch != position.Epoch)
        {
            Seek(channel, position, nowMs);
            return;
        }

        foreach (var entry in progress.Open.Where(e => e.Ref.Offset <= position.Offset).ToList()) Close(entry);
        var runs = progress.Ranges.Runs;
        progress.Settle(progress.Floor + 1, position.Offset);
        _ranges += progress.Ranges.Runs - runs;
        _writes.Changed(nowMs);
        Line(progress);
    }

    /// <summary>Gives a message up: it is not sent again. An attempt under way is not called back.</summary>
    public void Skip(MessageRef message, long nowMs)
    {
        _writes.Add(new WebhookEffect.Skipped(message), nowMs, atOnce: true);
        AddRowEffect(new WebhookEffect.ForgetParked(message, 0), nowMs);
        _loadIsVoid = true;
        if (_loaded.TryGetValue(message, out var stored)) Close(stored);
        if (!_channels.TryGetValue(message.Channel, out var channel) || channel.Epoch != message.Epoch || channel.IsSettled(message.Offset)) return;
        if (channel.Find(message.Offset) is { } entry) Settle(entry, nowMs);
        else if (message.Offset <= channel.Head) SettleOffset(channel, message.Offset, nowMs);
        _writes.Acknowledged(nowMs);
    }

    /// <summary>Takes changed settings over, but for limits and the circuit's. After a change of mode or lanes nothing is sent until what is on its way has ended.</summary>
    public void Apply(DeliverySettings settings, long nowMs)
    {
        var old = _settings;
        var lanesChange = old.Mode != settings.Mode || old.KeySeparator != settings.KeySeparator;
        if (lanesChange || !ReferenceEquals(old.Events, settings.Events)) LetGo();
        _settings = settings;
        if (old.PerSecond != settings.PerSecond) _bucket = settings.PerSecond is { } rate ? new TokenBucket(rate, nowMs) : null;
        if (!lanesChange) return;
        ChangeLanes();

        // What waited for a failed message may not have to any more: then the stored time of the wake-up is too late.
        _writes.Changed(nowMs);
    }

    private void ChangeLanes()
    {
        _draining = _flights.Count > 0;
        _blocks = 0;
        _lanes.Clear();
        foreach (var channel in _channels.Values)
        {
            channel.DropLanes();
            foreach (var entry in channel.Open)
            {
                (entry.Blocks, entry.Lane) = (false, null);
                if (entry.State == EntryState.InFlight)
                {
                    entry.Lane = channel.LaneOf(LaneKey(entry.Message!));
                    entry.Lane.Busy++;
                    if (entry.IsKept) Block(entry);
                }
                else
                {
                    BlockAgain(entry, lane: null);
                }
            }

            channel.Rewind(channel.Floor);
            Line(channel);
        }
    }

    /// <summary>
    /// A failed message of the state blocks its lane again. In lanes by key, where its key is not known any more, it blocks none: its
    /// successors may overtake it.
    /// </summary>
    private void BlockAgain(DeliveryEntry entry, string? lane)
    {
        if (Parallel || (LanesAreKeys && lane is null)) return;
        entry.Lane = entry.Channel.LaneOf(LanesAreKeys ? lane! : string.Empty);
        Block(entry);
    }
}

using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

// What the marks of the store are about: whether a channel still has to be looked at.
internal sealed partial class WebhookMachine
{
    private readonly Queue<(ChannelProgress Channel, long Number)> _resting = new();

    /// <summary>Has a channel looked at although nothing is known to be there. One that is not known is ignored.</summary>
    public void Look(string channel)
    {
        if (!_channels.TryGetValue(channel, out var progress)) return;
        (progress.Look, progress.Rest) = (true, 0);
        Line(progress);
    }

    /// <summary>
    /// A channel has no mark any more, or had none when this started. Of channels at rest only so many are known, since a prefix can match
    /// any number; the mark of the next append says where one that was forgotten goes on.
    /// </summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="nowMs">The time.</param>
    public void Unmarked(string channel, long nowMs)
    {
        if (!_channels.TryGetValue(channel, out var progress)) return;
        progress.Rest = ++_lastNumber;
        _resting.Enqueue((progress, progress.Rest));
        if (_channels.Count <= Limits.MaxRestingChannels && _resting.Count <= 4 * (Limits.MaxRestingChannels + 1)) return;
        for (var tries = _resting.Count; tries > 0; tries--)
        {
            var (old, number) = _resting.Dequeue();
            if (old.Rest != number || _channels.GetValueOrDefault(old.Name) != old || !old.IsAtRest) continue;
            if (_channels.Count <= Limits.MaxRestingChannels)
            {
                // In its place again, without those that had gone on meanwhile.
                _resting.Enqueue((old, number));
                continue;
            }

            _channels.Remove(old.Name);
            _writes.Add(new WebhookEffect.ForgetChannel(old.Name), nowMs);
        }
    }

    /// <summary>
    /// How far a channel is known to reach, if nothing stands between its mark and being cleared: all of it is settled, or is part of what is
    /// stored and has its time (<see cref="NextWake"/>), and the store has heard so. Null: keep the mark.
    /// </summary>
    /// <param name="channel">The channel's name.</param>
    /// <param name="leaving">
    /// Whether what waits behind a failed message may stay unread, once the record says so (<see cref="StayBehind"/>): it is found again when
    /// that is retried. Meant for a grain that goes: one that stays would be woken by every message published meanwhile.
    /// </param>
    public Position? ReachedEnd(string channel, bool leaving)
    {
        if (_writes.IsUnderWay || !_channels.TryGetValue(channel, out var progress)) return null;
        if (progress.IsChanged || progress.Read != 0 || progress.Open.Any(static e => !e.IsKept)) return null;
        if (progress.HasUnread && !(leaving && progress.IsBehind && WaitsForFailed(progress))) return null;
        return new Position(progress.Epoch, progress.Head);
    }

    /// <summary>
    /// A channel's mark is to go although what waits behind a failed message is unread: its record says so first. False: it cannot.
    /// </summary>
    public bool StayBehind(string channel, long nowMs)
    {
        if (!_channels.TryGetValue(channel, out var progress) || progress.IsBehind || !progress.HasUnread || !WaitsForFailed(progress)) return false;
        progress.StayBehind();
        _writes.Changed(nowMs);
        return true;
    }

    /// <summary>
    /// Forgets a channel that is not subscribed to any more, and has what is stored of it deleted. Attempts under way are judged as ever, but
    /// for the message.
    /// </summary>
    public void Remove(string channel, long nowMs)
    {
        _writes.Add(new WebhookEffect.ForgetChannel(channel), nowMs);
        if (!_channels.Remove(channel, out var progress)) return;
        CloseAll(progress);
        progress.Read = 0;
        _ranges -= progress.Ranges.Runs;
        _changed.Remove(progress);
        progress.TakeChanged();
    }

    /// <summary>Whether a channel is known.</summary>
    public bool Knows(string channel) => _channels.ContainsKey(channel);

    /// <summary>The last offset of a channel that was settled; null: it is not known.</summary>
    public Position? LastSettled(string channel) => _channels.TryGetValue(channel, out var progress)
        ? new Position(progress.Epoch, Math.Max(progress.Floor, progress.Ranges.Last))
        : null;

    /// <summary>The first offset of a channel that is not settled, if something is known to be there.</summary>
    public Position? FirstUnsettled(string channel) => _channels.TryGetValue(channel, out var progress) && progress.Backlog > 0
        ? new Position(progress.Epoch, progress.Floor + 1)
        : null;

    /// <summary>Has the state written although nothing of it changed: the stored time of the next wake-up is not right any more.</summary>
    public void Touch(long nowMs) => _writes.Changed(nowMs);

    /// <summary>
    /// The endpoint is another one: what is known of the former one's health does not count, and neither does what it still answers, but for
    /// the messages that it takes.
    /// </summary>
    public void OnEndpointChanged(long nowMs)
    {
        _formerTo = _lastNumber;
        (_heldUntil, _heldSince, _faultUntil, _faultMs, _failingTold, _probe) = (0, 0, 0, 0, false, null);
        _circuit.Close();
        _window.SlowStart();
        _writes.Changed(nowMs);
    }

    private bool WaitsForFailed(ChannelProgress channel) => Ordered
        ? _blocks > 0
        : LanesAreChannels && channel.FindLane(string.Empty) is { Blocks: > 0 };
}

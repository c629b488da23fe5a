using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

internal sealed partial class WebhookWorld
{
    private readonly HashSet<WebhookEffect> _absorbed = new(ReferenceEqualityComparer.Instance);
    private bool _settingsChanged;

    private void Send(Activation act, WebhookAttempt delivery)
    {
        Sent++;
        var machine = act.Machine;
        var topic = _topics.Single(t => t.Name == delivery.Ref.Channel);
        var message = topic.Messages[(delivery.Ref.Epoch, delivery.Ref.Offset)];
        Trace($"sends {message} attempt {delivery.Attempt} {delivery.Kind}{(delivery.IsProbe ? " probe" : "")}");
        CheckId(delivery, message);
        if (machine.Status != WebhookStatus.Active) throw Broken($"{message} is sent while {machine.Status}.");
        if (delivery.IsProbe != machine.IsOpen) throw Broken($"{message}: probe {delivery.IsProbe}, open {machine.IsOpen}.");
        if (delivery.IsProbe && act.Flights.Values.Any(f => f.Delivery.IsProbe)) throw Broken($"{message} is a second probe.");
        if (!delivery.IsProbe && act.Flights.Count >= machine.Window) throw Broken($"{message} is beyond the window of {machine.Window}.");
        if (!_settings.Events.Matches(message.Message) && !_rowsByHand) throw Broken($"{message} is not wanted.");
        var byHand = delivery.Kind == DeliveryKind.Replay || message.MayRepeat;
        if (!byHand && message.AckedBy == act.Number) throw Broken($"{message} is sent again although it was delivered.");
        if (!byHand && message.Written) throw Broken($"{message} is sent again although its delivery is stored.");
        if (!byHand && !_settingsChanged) CheckOrder(act, message);

        var seeks = topic.Seeks;
        act.Flights.Add(delivery.Number, (delivery, seeks));
        var outcome = Answer(message, out var took);
        In(took, took + 1, () => Tell(act, () =>
        {
            act.Flights.Remove(delivery.Number);
            Trace($"{message}: {outcome.Kind}");
            if (outcome.Kind == OutcomeKind.Delivered)
            {
                message.Resolved = true;
                if (seeks == topic.Seeks)
                {
                    message.AckedBy = act.Number;
                    act.Unwritten.Add(message);
                }
            }

            machine.OnOutcome(delivery.Number, outcome, _now);

            // A second answer to the same attempt changes nothing.
            if (_chance.Next(20) == 0) machine.OnOutcome(delivery.Number, new Outcome(OutcomeKind.Failed), _now);
        }));
    }

    private void CheckId(WebhookAttempt delivery, SimMessage message)
    {
        var id = delivery.Ref.ToId();
        if (!_byId.TryAdd(id, message) && _byId[id] != message) throw Broken($"{message} has the id of {_byId[id]}.");
        if (!ReferenceEquals(delivery.Message, message.Message)) throw Broken($"{message} is sent with another's content.");
        if (!MessageRef.TryParseId(id, out var parsed) || parsed != delivery.Ref) throw Broken($"The id of {message} can't be read.");
    }

    /// <summary>In modes with an order, everything before it in its lane is done with, and nothing of its lane is on its way.</summary>
    private void CheckOrder(Activation act, SimMessage message)
    {
        if (_settings.Mode == WebhookMode.Parallel) return;
        var lane = LaneOf(message);
        foreach (var (flight, _) in act.Flights.Values)
        {
            var other = _byId[flight.Ref.ToId()];
            if (flight.Kind != DeliveryKind.Replay && !other.MayRepeat && LaneOf(other) == lane) throw Broken($"{message} is sent while {other} is on its way.");
        }

        var start = message.Topic.Start.Epoch == message.Epoch ? message.Topic.Start.Offset : 0;
        for (var offset = start + 1; offset < message.Message.Offset; offset++)
        {
            var before = message.Topic.Messages[(message.Epoch, offset)];
            if (LaneOf(before) == lane && !before.Resolved && _settings.Events.Matches(before.Message))
                throw Broken($"{message} is sent before {before} is settled.");
        }
    }

    private string LaneOf(SimMessage message)
    {
        if (_settings.Mode == WebhookMode.Ordered) return string.Empty;
        if (_settings.KeySeparator is not { } separator || message.Message.Key is not { } key) return message.Topic.Name;
        return $"{message.Topic.Name}/{key[..key.IndexOf(separator, StringComparison.Ordinal)]}";
    }

    /// <summary>Takes note of what the machine has given up, before it is stored.</summary>
    private void Absorb(WebhookMachine machine)
    {
        foreach (var effect in machine.PendingEffects)
        {
            if (!_absorbed.Add(effect)) continue;
            Trace($"effect {effect}");
            if (effect is WebhookEffect.DeadLetter letter)
            {
                Find(letter.Ref).Resolved = true;
            }
            else if (effect is WebhookEffect.Truncated cut)
            {
                var topic = _topics.Single(t => t.Name == cut.Channel);
                if (cut.Reason == TruncationReason.Retention && cut.Epoch == topic.Epoch && cut.To >= topic.Oldest)
                    throw Broken($"{cut} is still there.");

                // An epoch that ended takes along also what nobody had looked at, and so do epochs between.
                var ended = cut is { Reason: TruncationReason.Epoch, Replay: null } && cut.To >= cut.From - 1;
                foreach (var message in topic.Messages.Values)
                {
                    var offset = message.Message.Offset;
                    if (message.Epoch == cut.Epoch ? offset >= cut.From && (ended || offset <= cut.To) : ended && message.Epoch != topic.Epoch)
                        message.Resolved = true;
                }
            }
        }
    }

    private SimMessage Find(MessageRef key) => _topics.Single(t => t.Name == key.Channel).Messages[(key.Epoch, key.Offset)];

    private void Apply(WebhookEffect effect, bool torn)
    {
        switch (effect)
        {
            case WebhookEffect.ParkDurably(var row, _):
                _rows[row.Ref] = row;
                if (!torn) break;

                // Now it has a row, and the stored cursor has not passed it: it may come from both.
                var message = Find(row.Ref);
                (message.MayRepeat, message.Written, message.AckedBy, _rowsByHand) = (true, false, 0, true);
                break;
            case WebhookEffect.ForgetParked(var key, _):
                _rows.Remove(key);
                break;
            case WebhookEffect.DeadLetter { Ref: var key }:
                _rows.Remove(key);
                break;
        }
    }

    private void CheckBounds(WebhookMachine machine)
    {
        var (snapshot, limits) = (machine.Snapshot(), _settings.Limits);
        var slack = limits.MaxQueued + limits.MaxWindow + (limits.MaxReads * limits.PageMessages) + 64;
        if (snapshot.Channels.Sum(c => c.Ranges.Count) > limits.MaxRanges + slack) throw Broken("Too many ranges.");
        if (snapshot.Channels.Sum(c => c.Parked.Count) > limits.MaxParked + slack) throw Broken("Too many parked messages.");
    }

    private void CheckEnd()
    {
        var machine = _active.Machine;
        if (_active.Alive && machine.Status != WebhookStatus.Active) throw Broken($"In the end it is {machine.Status}: {machine.Reason}.");
        foreach (var topic in _topics)
        {
            foreach (var message in topic.Messages.Values)
            {
                if (message.Epoch == topic.Start.Epoch && message.Message.Offset <= topic.Start.Offset) continue;
                if (!message.Resolved && _settings.Events.Matches(message.Message)) throw Broken($"{message} was lost.");
            }
        }

        if (_rows.Count > 0) throw Broken($"{_rows.Count} parked messages were forgotten.");
        if (!_active.Alive)
        {
            if (_stored?.Replay is not null) throw Broken("It sleeps in the middle of a replay.");
            CheckRemains();
            return;
        }

        if (machine.HasUnwritten) throw Broken("Something is never written.");
        if (machine.Lag > 0 || machine.Parked > 0 || machine.InFlight > 0 || machine.Replay is not null)
        {
            var behind = _topics.Select(t => machine.FirstUnsettled(t.Name) is { } first ? $"{t.Name}/{first}" : null).OfType<string>();
            throw Broken($"It rests with lag {machine.Lag} ({string.Join(", ", behind)}), {machine.Parked} parked, {machine.InFlight} on their way.");
        }

        CheckRemains();
    }

    private void CheckRemains()
    {
        foreach (var channel in _stored?.Channels ?? [])
        {
            if (channel.Ranges.Count > 0 || channel.Parked.Count > 0) throw Broken($"{channel.Channel} has remains in the store.");
        }
    }
}

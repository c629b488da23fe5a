using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>How the simulated endpoint answers.</summary>
internal enum SimEndpoint
{
    Works,
    Fails,
    Hangs,
    Flaps,
    Holds,
    Refuses,
    Unreachable,
    Gone,
}

internal sealed partial class WebhookWorld
{
    private void Disturb()
    {
        if (_calm) return;
        var topic = _topics[_chance.Next(_topics.Count)];
        var what = _chance.Next(22);
        if (what is 11 or > 13) Wake();
        var machine = _active.Machine;
        switch (what)
        {
            case < 6:
                _endpoint = (SimEndpoint)_chance.Next(_chance.Next(4) == 0 ? 8 : 6);
                Trace($"endpoint: {_endpoint}");
                return;
            case < 8:
                _endpoint = SimEndpoint.Works;
                return;
            case < 11:
                if (_active.Alive) Crash();
                return;
            case 11:
                if (!machine.Pause(_now)) machine.Resume(_now);
                Trace($"{machine.Status}");
                break;
            case 12:
                Trace($"{topic.Name} is trimmed");
                topic.Trim(topic.Oldest + _chance.Next(1, 30) - 1);
                break;
            case 13:
                if (_chance.Next(3) == 0) Purge(topic);
                break;
            case 14:
                if (_chance.Next(2) == 0) Seek(topic, _chance.NextInt64(topic.Oldest - 1, topic.Head + 1));
                break;
            case 15:
                Skip(topic);
                break;
            case 16:
                Replay(topic);
                break;
            case 17:
                Resend(topic);
                break;
            case 18:
                if (machine.Status == WebhookStatus.Disabled) Enable();
                else if (_chance.Next(3) == 0) machine.Disable(DisabledReason.Request, _now);
                break;
            case 19:
                Trace("another endpoint");
                machine.OnEndpointChanged(_now);
                break;
            case 20:
                Trace($"{topic.Name}: all up to {topic.Head} is passed over");
                foreach (var message in topic.Messages.Values) message.Resolved = true;
                machine.PassOver(topic.Name, new Position(topic.Epoch, topic.Head), _now);
                break;
            default:
                _settings = NewSettings() with { Limits = _settings.Limits, Events = _settings.Events };
                Trace($"settings: {_settings.Mode} {_settings.KeySeparator}");
                machine.Apply(_settings, _now);

                // Failed messages do not say by which key they are to be ordered from now on.
                _settingsChanged = true;
                break;
        }

        if (!_active.Alive) return;
        Absorb(_active.Machine);
        Pump(_active);
    }

    private void CalmDown()
    {
        Trace("calm from here on");
        _calm = true;
        _endpoint = SimEndpoint.Works;
        foreach (var message in _topics.SelectMany(t => t.Messages.Values)) message.Poisonous = false;
        GoOn();

        // Processes may still end, and then nobody calls.
        for (var crashes = _chance.Next(3); crashes > 0; crashes--)
        {
            In(1, 60_000, () =>
            {
                if (_active.Alive) Crash();
            });
        }

        // What was on its way may still disable or pause it.
        In(100_000, 200_000, GoOn);
    }

    /// <summary>Has it deliver, if it does not. One that sleeps is left to the sweep.</summary>
    private void GoOn()
    {
        if (!_active.Alive && _stored is null or { Status: WebhookStatus.Active }) return;
        Wake();
        if (_active.Machine.Status == WebhookStatus.Disabled) Enable();
        _active.Machine.Resume(_now);

        // The sweep finds every subscription with marks, whatever notices were lost.
        LookAtMarked();
        Pump(_active);
    }

    private void Enable()
    {
        var from = new List<KeyValuePair<string, Position>>();
        if (_chance.Next(3) == 0)
        {
            var topic = _topics[_chance.Next(_topics.Count)];
            from.Add(new(topic.Name, new Position(topic.Epoch, topic.Head)));
            Sought(topic, topic.Head);
        }

        Trace($"enabled, seeking {string.Join(", ", from)}");
        _active.Machine.Enable(from, _now);
    }

    private void Purge(SimTopic topic)
    {
        Trace($"{topic.Name} is purged");
        topic.Purge();
        topic.Seeks++;
        if (_active.Alive && _chance.Next(2) == 0) _active.Machine.Notice(topic.Name, new Position(topic.Epoch, 0));
    }

    private void Seek(SimTopic topic, long offset)
    {
        Trace($"{topic.Name}: seek {offset}");
        Sought(topic, offset);
        _active.Machine.Seek(topic.Name, new Position(topic.Epoch, offset), _now);
    }

    /// <summary>What comes before is given up, what comes after may come again; so may what a crash finds still unwritten.</summary>
    private static void Sought(SimTopic topic, long offset)
    {
        topic.Seeks++;
        foreach (var message in topic.Messages.Values)
        {
            if (message.Epoch != topic.Epoch || message.Message.Offset <= offset) message.Resolved = true;
            else (message.AckedBy, message.Written, message.MayRepeat) = (0, false, true);
        }
    }

    private void Skip(SimTopic topic)
    {
        if (topic.Head == 0) return;
        var message = topic.Messages[(topic.Epoch, _chance.NextInt64(1, topic.Head + 1))];
        Trace($"{message} is skipped");
        message.Resolved = true;
        _active.Machine.Skip(new MessageRef(topic.Name, message.Epoch, message.Message.Offset), _now);
    }

    private void Replay(SimTopic topic)
    {
        var after = _chance.NextInt64(topic.Oldest - 1, topic.Head + 1);
        foreach (var message in topic.Messages.Values.Where(m => m.Message.Offset > after))
            (message.MayRepeat, message.Written, message.AckedBy) = (true, false, 0);
        if (!_active.Machine.StartReplay($"r{_number}", [new ReplayRange(topic.Name, new Position(topic.Epoch, after), topic.Head)], 5, _now))
            _active.Machine.CancelReplay(_active.Machine.Replay!.Value.Id, _now);
        Trace($"{topic.Name}: replay after {after}");
    }

    private void Resend(SimTopic topic)
    {
        if (topic.Head < topic.Oldest) return;
        var message = topic.Messages[(topic.Epoch, _chance.NextInt64(topic.Oldest, topic.Head + 1))];
        var key = new MessageRef(topic.Name, message.Epoch, message.Message.Offset);
        Trace($"{message} is asked for again");
        (message.MayRepeat, message.Written, message.AckedBy) = (true, false, 0);
        _rowsByHand = true;
        _rows.TryAdd(key, new ParkedRow(key, 0, _now));
        (_handWake, _hand) = (_now, _hand + 1);
        _active.Machine.NoticeParked(_now, _now);
    }

    /// <summary>The endpoint gets a request, and in its time there is an outcome.</summary>
    private Outcome Answer(SimMessage message, out long took)
    {
        took = _chance.NextInt64(1, 400);
        if (_calm) return new Outcome(OutcomeKind.Delivered, took);
        if (message.Poisonous) return new Outcome(_chance.Next(2) == 0 ? OutcomeKind.Rejected : OutcomeKind.Failed, took, Failure: "poison");
        switch (_endpoint)
        {
            case SimEndpoint.Fails:
                return new Outcome(OutcomeKind.Failed, took, Failure: "500");
            case SimEndpoint.Hangs:
                took = 15_000;
                return new Outcome(OutcomeKind.Failed, took, Failure: "timeout");
            case SimEndpoint.Flaps when _chance.Next(2) == 0:
                return new Outcome(OutcomeKind.Failed, took, Failure: "502");
            case SimEndpoint.Holds when _chance.Next(2) == 0:
                return new Outcome(OutcomeKind.Hold, took, RetryAfterMs: _chance.NextInt64(0, 100_000));
            case SimEndpoint.Refuses when _chance.Next(3) > 0:
                return new Outcome(OutcomeKind.Rejected, took, Failure: "400");
            case SimEndpoint.Unreachable:
                return new Outcome(_chance.Next(2) == 0 ? OutcomeKind.LocalFault : OutcomeKind.Lost, took);
            case SimEndpoint.Gone:
                return new Outcome(_chance.Next(3) == 0 ? OutcomeKind.Gone : OutcomeKind.Returned, took);
            default:
                return new Outcome(OutcomeKind.Delivered, took);
        }
    }
}

using System.Globalization;
using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>
/// One schedule: a subscription, the log it reads, the store it is written to and the endpoint it sends to, in virtual time and from
/// one seed. First faults of every kind; then they stop, and everything has to come right by itself.
/// </summary>
internal sealed partial class WebhookWorld
{
    private const long Start = 1_700_000_000_000;
    private const int MaxSteps = 300_000;

    private readonly PriorityQueue<Action, (long At, long Number)> _later = new();
    private readonly Random _chance;
    private readonly bool _tracing;
    private readonly List<SimTopic> _topics = [];
    private readonly Dictionary<string, SimMessage> _byId = new(StringComparer.Ordinal);
    private readonly Dictionary<MessageRef, ParkedRow> _rows = [];
    private readonly long _end;
    private readonly double _readFails;
    private readonly double _writeFails;
    private readonly double _noticeLost;
    private DeliverySettings _settings;
    private WebhookSnapshot? _stored;
    private long? _storedWake;

    /// <summary>What somebody put there by hand, which no write knows yet: who asked has no answer before one does.</summary>
    private long? _handWake;
    private int _hand;
    private Activation _active = null!;
    private SimEndpoint _endpoint = SimEndpoint.Works;
    private bool _calm;
    private bool _rowsByHand;
    private long _now = Start;
    private long _number;

    public WebhookWorld(int seed, bool tracing)
    {
        _chance = new Random(seed);
        _tracing = tracing;
        _settings = NewSettings();
        _end = Start + (long)(Math.Pow(10, 3.5 + (_chance.NextDouble() * 5)));
        (_readFails, _writeFails, _noticeLost) = (Rate(), Rate(), Rate());
    }

    public List<string> Lines { get; } = [];

    public int Steps { get; private set; }

    public int Sent { get; private set; }

    public int Crashes { get; private set; }

    public void Run()
    {
        Activate();
        for (var topics = _chance.Next(1, 5); topics > 0; topics--) AddTopic();
        for (var faults = _chance.Next(5, 60); faults > 0; faults--) At(Start + _chance.NextInt64(_end - Start), Disturb);
        for (var bursts = _chance.Next(3, 30); bursts > 0; bursts--) At(Start + _chance.NextInt64(_end - Start), Publish);
        At(_end, CalmDown);
        while (_later.TryDequeue(out var step, out var when))
        {
            if (++Steps > MaxSteps) throw Broken("The schedule does not come to rest.");
            _now = when.At;
            step();
        }

        CheckEnd();
    }

    private double Rate() => _chance.Next(3) == 0 ? 0 : _chance.NextDouble() * 0.3;

    private DeliverySettings NewSettings()
    {
        var limits = new DeliveryLimits
        {
            InitialWindow = _chance.Next(1, 20), MaxWindow = _chance.Next(20, 64), MaxQueued = _chance.Next(8, 80),
            PageMessages = _chance.Next(1, 20), MaxParked = _chance.Next(3, 40), MaxRanges = _chance.Next(3, 40),
            MaxRestingChannels = _chance.Next(0, 8),
            MaxUnwritten = _chance.Next(20, 300), WriteAfterAcks = _chance.Next(1, 64), MaxReads = _chance.Next(1, 8),
        };
        double[] own = [.. Enumerable.Range(0, _chance.Next(1, 6)).Select(_ => (double)_chance.Next(1, 600))];
        RetrySchedule.TryCreate(own, out var schedule, out _);
        return new DeliverySettings
        {
            Mode = (WebhookMode)_chance.Next(3),
            KeySeparator = _chance.Next(2) == 0 ? ':' : null,
            OnExhausted = (ExhaustionRule)_chance.Next(3),
            Events = _chance.Next(3) == 0 ? EventFilter.Of(["a", "b.*"]) : EventFilter.Everything,
            Schedule = _chance.Next(2) == 0 ? schedule! : RetrySchedule.Default,
            PerSecond = _chance.Next(4) == 0 ? 1 + (_chance.NextDouble() * 50) : null,
            Limits = limits,
        };
    }

    private void At(long time, Action step) => _later.Enqueue(step, (Math.Max(time, _now), ++_number));

    private void In(long min, long max, Action step) => At(_now + _chance.NextInt64(min, max), step);

    private void Trace(string what)
    {
        if (_tracing) Lines.Add(string.Create(CultureInfo.InvariantCulture, $"{_now - Start,12} #{_active?.Number} {what}"));
    }

    private InvalidOperationException Broken(string what)
    {
        Trace(what);
        return new InvalidOperationException(what);
    }

    private void AddTopic()
    {
        var topic = new SimTopic($"room:{_topics.Count}");
        _topics.Add(topic);
        for (var old = _chance.Next(0, 4); old > 0; old--) topic.Append(_now, "a", null);
        topic.Start = new Position(topic.Epoch, topic.Head);
        if (!_active.Alive) return;
        _active.Machine.Add(topic.Name, topic.Start, _now);
        Pump(_active);
    }

    private void Publish()
    {
        if (_chance.Next(10) == 0 && _topics.Count < 8) AddTopic();
        var topic = _topics[_chance.Next(_topics.Count)];
        if (!topic.Marked) topic.Place = new Position(topic.Epoch, topic.Head);
        for (var messages = _chance.Next(1, 40); messages > 0; messages--)
        {
            var key = _chance.Next(4) == 0 ? null : $"k{_chance.Next(3)}:{_number++}";
            var message = topic.Append(_now, new[] { "a", "b.c", "c", null }[_chance.Next(4)], key);
            message.Poisonous = _chance.Next(12) == 0;
        }

        topic.Marked = true;
        Trace($"{topic.Name} reaches {topic.Head}");
        if (!_calm && _chance.NextDouble() < _noticeLost)
        {
            if (!_active.Alive) Sweep();
            return;
        }

        Wake();
        LookAtMarked();
        if (_chance.Next(2) == 0) _active.Machine.Notice(topic.Name, new Position(topic.Epoch, topic.Head));
        Pump(_active);
    }

    /// <summary>What a wake-up is: marks are read, and their channels looked at.</summary>
    private void LookAtMarked()
    {
        foreach (var topic in _topics.Where(t => t.Marked))
        {
            _active.Machine.Look(topic.Name);
            _active.Machine.Add(topic.Name, topic.Place, _now);
        }
    }

    /// <summary>Marks go where the machine says that nothing stands between.</summary>
    private void ClearMarks(WebhookMachine machine)
    {
        foreach (var topic in _topics.Where(t => t.Marked))
        {
            var leaving = _chance.Next(3) == 0;
            if (machine.ReachedEnd(topic.Name, leaving) != new Position(topic.Epoch, topic.Head))
            {
                if (leaving && machine.StayBehind(topic.Name, _now)) Trace($"{topic.Name} stays behind");
                continue;
            }

            topic.Marked = false;

            Trace($"{topic.Name} has no mark any more");
            machine.Unmarked(topic.Name, _now);
        }
    }

    /// <summary>A process: what comes back to one that crashed is nobody's.</summary>
    private sealed class Activation(int number, WebhookMachine machine)
    {
        public int Number => number;

        public WebhookMachine Machine => machine;

        public bool Alive { get; set; } = true;

        public int TimerVersion { get; set; }

        public Dictionary<long, (WebhookAttempt Delivery, int Seeks)> Flights { get; } = [];

        /// <summary>Delivered messages of which the store knows nothing.</summary>
        public List<SimMessage> Unwritten { get; set; } = [];

        public Action<bool>? ApplyWrite { get; set; }
    }

    private void Activate()
    {
        var bytes = _stored is null ? null : SnapshotRecord.ToBytes(_stored);
        var machine = new WebhookMachine(_settings, bytes is null ? null : SnapshotRecord.Read(bytes), new Random(_chance.Next()), _now, _chance.Next(4) == 0);
        _active = new Activation((_active?.Number ?? 0) + 1, machine);
        LookAtMarked();
        if (_rowsByHand && _rows.Count > 0) machine.NoticeParked(_rows.Values.Min(r => r.Due), _now);
        Trace("starts");
        Pump(_active);
    }

    private void Crash()
    {
        Crashes++;
        Trace("crashes");
        _active.Alive = false;
        if (_active.ApplyWrite is { } write && _chance.Next(3) is var part and > 0) write(part == 1);
        if (!_calm && _chance.Next(2) == 0) Activate();
        else Sweep();
    }

    /// <summary>Somebody calls: one that sleeps is activated.</summary>
    private void Wake()
    {
        if (!_active.Alive) Activate();
    }

    /// <summary>Nobody calls: it is activated when the store says that it has something to do, and else never.</summary>
    private void Sweep()
    {
        var notBefore = _stored is null ? 0 : WebhookWake.NotBefore(_stored);
        var due = _topics.Any(t => t.Marked) ? _now : Math.Min(_storedWake ?? WebhookWake.Never, _handWake ?? WebhookWake.Never);
        if (Math.Max(due, notBefore) is var at && at == WebhookWake.Never) return;
        var asleep = _active;
        At(Math.Max(_now, at) + _chance.NextInt64(1, 5_000), () =>
        {
            if (asleep == _active) Activate();
        });
    }

    private void Pump(Activation act)
    {
        if (!act.Alive) return;
        var machine = act.Machine;
        for (var busy = true; busy;)
        {
            busy = false;
            foreach (var read in machine.NextReads(_now))
            {
                busy = true;
                var topic = _topics.Single(t => t.Name == read.Channel);
                var early = _chance.Next(2) == 0 ? topic.Read(read.After, read.MaxMessages) : null;
                var fails = !_calm && _chance.NextDouble() < _readFails;
                In(0, 30, () => Tell(act, () =>
                {
                    if (fails) machine.OnReadFailed(read.Number, _now);
                    else machine.OnRead(read.Number, early ?? topic.Read(read.After, read.MaxMessages), _now);
                }));
            }

            while (machine.NextDelivery(_now) is { } delivery)
            {
                busy = true;
                Send(act, delivery);
            }

            if (machine.NextParkedLoad(_now) is var max and > 0)
            {
                busy = true;
                Load(act, max);
            }

            if (machine.BeginWrite(_now) is { } write)
            {
                busy = true;
                Write(act, write);
            }
        }

        CheckBounds(machine);
        var version = ++act.TimerVersion;
        if (machine.NextDue(_now) is not { } due) return;
        if (due <= _now) throw Broken("The timer is due at once, over and over.");
        At(due, () =>
        {
            if (act.Alive && act.TimerVersion == version) Pump(act);
        });
    }

    private void Tell(Activation act, Action what)
    {
        if (!act.Alive) return;
        what();
        Absorb(act.Machine);
        Pump(act);
    }

    private void Load(Activation act, int max)
    {
        var fails = !_calm && _chance.NextDouble() < _readFails;
        In(1, 50, () => Tell(act, () =>
        {
            if (fails)
            {
                act.Machine.OnParkedLoadFailed(_now);
                return;
            }

            var due = _rows.Values.OrderBy(r => r.Due).ThenBy(r => r.Ref.Offset).ToList();
            var rows = due.Where(r => r.Due <= _now).Take(max).ToList();
            Trace($"loads {rows.Count} of {due.Count} parked");
            act.Machine.OnParkedLoaded(rows, due.Count > rows.Count ? due[rows.Count].Due : null, _now);
        }));
    }

    private void Write(Activation act, WebhookWrite write)
    {
        var acks = act.Unwritten;
        act.Unwritten = [];
        var (wake, hand) = (act.Machine.NextWake(_now), _hand);
        var (fails, unknown) = (!_calm && _chance.NextDouble() < _writeFails, _chance.Next(2) == 0);
        act.ApplyWrite = torn =>
        {
            // Effects and snapshot may lie in two stores, and a crash between them.
            var done = torn ? _chance.Next(write.Effects.Count + 1) : write.Effects.Count;
            foreach (var effect in write.Effects.Take(done)) Apply(effect, torn);
            if (torn) return;
            var forgotten = WebhookChanges.Of(write.Effects).Forgotten;
            if (_stored is not null) _stored = _stored with { Channels = [.. _stored.Channels.Where(c => !forgotten.Contains(c.Channel))] };
            _stored = _stored is null ? write.Snapshot : _stored.With(write.Snapshot);
            _storedWake = wake;
            if (hand == _hand) _handWake = null;
            foreach (var message in acks) message.Written = !message.MayRepeat;
        };
        In(1, 200, () => Tell(act, () =>
        {
            if (!fails || unknown) act.ApplyWrite!(false);
            act.ApplyWrite = null;
            if (fails) act.Unwritten.AddRange(acks);
            act.Machine.EndWrite(!fails, _now);
            if (!fails && act.Machine.Status == WebhookStatus.Active) ClearMarks(act.Machine);
        }));
    }
}

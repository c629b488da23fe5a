using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>A machine with a log and a store in memory, driven by hand.</summary>
internal sealed class Rig
{
    public const long Start = 1_700_000_000_000;

    private readonly Dictionary<string, SimTopic> _topics = new(StringComparer.Ordinal);
    private DeliverySettings _settings;

    public Rig(DeliverySettings? settings = null)
    {
        _settings = settings ?? new DeliverySettings();
        Machine = new WebhookMachine(_settings, null, new Random(1), Now);
    }

    public WebhookMachine Machine { get; private set; }

    public long Now { get; private set; } = Start;

    public List<WebhookEffect> Effects { get; } = [];

    public Dictionary<MessageRef, ParkedRow> Rows { get; } = [];

    public WebhookSnapshot? Stored { get; private set; }

    public int Reads { get; private set; }

    public SimTopic Topic(string name)
    {
        if (_topics.TryGetValue(name, out var topic)) return topic;
        _topics[name] = topic = new SimTopic(name);
        Machine.Add(name, new Position(topic.Epoch, 0), Now);
        return topic;
    }

    public void Publish(string channel, int count = 1, string? eventName = null, string? key = null)
    {
        var topic = Topic(channel);
        for (var i = 0; i < count; i++) topic.Append(Now, eventName, key);
        Machine.Notice(channel, new Position(topic.Epoch, topic.Head));
    }

    /// <summary>Every attempt that may be made now.</summary>
    public List<WebhookAttempt> Take()
    {
        var taken = new List<WebhookAttempt>();
        for (var busy = true; busy;)
        {
            busy = false;
            foreach (var read in Machine.NextReads(Now))
            {
                busy = true;
                Reads++;
                Machine.OnRead(read.Number, _topics[read.Channel].Read(read.After, read.MaxMessages), Now);
            }

            if (Machine.NextParkedLoad(Now) is var max and > 0)
            {
                var rows = Rows.Values.OrderBy(r => r.Due).ToList();
                var due = rows.Where(r => r.Due <= Now).Take(max).ToList();
                Machine.OnParkedLoaded(due, rows.Count > due.Count ? rows[due.Count].Due : null, Now);
                busy = true;
            }

            while (Machine.NextDelivery(Now) is { } delivery)
            {
                busy = true;
                taken.Add(delivery);
            }
        }

        return taken;
    }

    public WebhookAttempt TakeOne() => Assert.Single(Take());

    public void Answer(WebhookAttempt delivery, OutcomeKind kind, long retryAfterMs = 0) =>
        Machine.OnOutcome(delivery.Number, new Outcome(kind, 10, retryAfterMs, kind.ToString()), Now);

    public void Answer(IEnumerable<WebhookAttempt> deliveries, OutcomeKind kind = OutcomeKind.Delivered)
    {
        foreach (var delivery in deliveries) Answer(delivery, kind);
    }

    /// <summary>Delivers until nothing is left to do now; returns what was delivered.</summary>
    public List<WebhookAttempt> DeliverAll()
    {
        var all = new List<WebhookAttempt>();
        while (Take() is { Count: > 0 } some)
        {
            all.AddRange(some);
            Answer(some);
        }

        return all;
    }

    public void Advance(long ms) => Now += ms;

    public void Advance(TimeSpan time) => Advance((long)time.TotalMilliseconds);

    /// <summary>Goes to when the machine wants to be looked at.</summary>
    public void AdvanceToDue() => Now = Machine.NextDue(Now) ?? throw new InvalidOperationException("Nothing is due.");

    public WebhookWrite? Write(bool force = true)
    {
        if (Machine.BeginWrite(Now, force) is not { } write) return null;
        foreach (var effect in write.Effects)
        {
            Effects.Add(effect);
            if (effect is WebhookEffect.ParkDurably park) Rows[park.Row.Ref] = park.Row;
            if (effect is WebhookEffect.ForgetParked forget) Rows.Remove(forget.Ref);
            if (effect is WebhookEffect.DeadLetter letter) Rows.Remove(letter.Ref);
        }

        Stored = Stored is null ? write.Snapshot : Stored.With(write.Snapshot);
        Machine.EndWrite(true, Now);
        return write;
    }

    /// <summary>The process dies; another one goes on with what was stored.</summary>
    public void Crash(DeliverySettings? settings = null)
    {
        _settings = settings ?? _settings;
        Machine = new WebhookMachine(_settings, Stored, new Random(2), Now);
        foreach (var topic in _topics.Values) Machine.Add(topic.Name, new Position(topic.Epoch, 0), Now);
    }

    public T Effect<T>()
        where T : WebhookEffect
    {
        Write();
        return Assert.Single(Effects.OfType<T>());
    }

    public long Floor(string channel) => Machine.Cursors.Single(c => c.Key == channel).Value.Offset;
}

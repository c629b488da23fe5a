using System.Diagnostics.Metrics;
using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Telemetry;

/// <summary>What webhooks count.</summary>
internal sealed class WebhookMetrics(IMeterFactory meters)
{
    private readonly Counter<long> _attempts = GridMeter.Of(meters).CreateCounter<long>(
        "grid.webhooks.attempts", "{attempt}", "Webhook attempts that ended, by outcome.");

    private readonly Histogram<double> _duration = GridMeter.Of(meters).CreateDuration(
        "grid.webhooks.attempt.duration", "Time of a webhook attempt from the start of the request to the end of its answer, by outcome.");

    private readonly Histogram<double> _age = GridMeter.Of(meters).CreateAge(
        "grid.webhooks.delivery.age", "How old a message was when its first attempt had delivered it.");

    private readonly Counter<long> _circuits = GridMeter.Of(meters).CreateCounter<long>(
        "grid.webhooks.circuits_opened", "{circuit}", "Endpoints of webhooks that were taken for dead.");

    private readonly Counter<long> _deadLetters = GridMeter.Of(meters).CreateCounter<long>(
        "grid.webhooks.dead_letters", "{message}", "Messages whose webhook attempts were used up.");

    private readonly Counter<long> _disabled = GridMeter.Of(meters).CreateCounter<long>(
        "grid.webhooks.disabled", "{webhook}", "Webhooks that were disabled, by reason.");

    private readonly Counter<long> _truncated = GridMeter.Of(meters).CreateCounter<long>(
        "grid.webhooks.truncated", "{message}", "Messages that retention took before a webhook delivered them.");

    private readonly UpDownCounter<long> _active = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.webhooks.active", "{webhook}", "Webhooks in memory.");

    private readonly UpDownCounter<long> _readAhead = GridMeter.Of(meters).CreateUpDownCounter<long>(
        "grid.webhooks.read_ahead", "By", "Payload bytes of messages that webhooks have read ahead of what they send.");

    /// <summary>Makes the counters known before they count.</summary>
    /// <param name="waiting">How many requests wait for their turn.</param>
    /// <param name="inFlight">How many are on their way.</param>
    public void Announce(Func<int> waiting, Func<int> inFlight)
    {
        // Looked at when they are asked for: counting would take four calls for each attempt.
        var meter = GridMeter.Of(meters);
        meter.CreateObservableUpDownCounter("grid.webhooks.in_flight", inFlight, "{request}", "Webhook requests on their way.");
        meter.CreateObservableUpDownCounter("grid.webhooks.waiting", waiting, "{request}", "Webhook requests that wait for their turn.");
        foreach (var kind in Enum.GetValues<OutcomeKind>()) _attempts.Add(0, Tag.Of("outcome", kind));
        _circuits.Add(0);
        _deadLetters.Add(0);
        _truncated.Add(0);
        _active.Add(0);
        _readAhead.Add(0);
    }

    /// <summary>A request ended.</summary>
    public void Ended(OutcomeKind outcome, DeliveryKind kind, TimeSpan took, long ageMs)
    {
        _attempts.Add(1, Tag.Of("outcome", outcome));
        if (_duration.Enabled) _duration.Record(took.TotalSeconds, Tag.Of("outcome", outcome));
        if (outcome == OutcomeKind.Delivered && kind == DeliveryKind.Fresh) _age.Record(Math.Max(0, ageMs) / 1000.0);
    }

    /// <summary>More is read ahead, or less.</summary>
    public void ReadAhead(long change) => _readAhead.Add(change);

    /// <summary>A subscription came into memory.</summary>
    public void Activated() => _active.Add(1);

    /// <summary>A subscription left it.</summary>
    public void Deactivated() => _active.Add(-1);

    /// <summary>What became of subscriptions was stored.</summary>
    public void Stored(IReadOnlyList<WebhookEffect> effects)
    {
        foreach (var effect in effects)
        {
            switch (effect)
            {
                case WebhookEffect.CircuitOpened:
                    _circuits.Add(1);
                    break;
                case WebhookEffect.DeadLetter:
                    _deadLetters.Add(1);
                    break;
                case WebhookEffect.Disabled { Reason: var reason }:
                    _disabled.Add(1, Tag.Of("reason", reason));
                    break;
                case WebhookEffect.Truncated { Count: > 0 and var count }:
                    _truncated.Add(count);
                    break;
            }
        }
    }
}

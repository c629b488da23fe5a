using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

// When there is nothing to do: the timer, and when the activation goes.
internal sealed partial class WebhookGrain
{
    /// <summary>What is due later than this does not keep the activation: the sweep wakes it.</summary>
    private const long SoonMs = 60_000;

    private long? _storedWake;
    private bool _wakeIsKnown;

    /// <summary>Woken without anything known to do: the stored time may be one that has passed.</summary>
    private bool _wakeIsSuspect;
    private long _idleSince;

    /// <summary>Nothing can be done now: sets the timer, or lets the activation go.</summary>
    private void Rest(WebhookMachine machine, long now)
    {
        var due = Math.Min(machine.NextDue(now) ?? long.MaxValue, FirstLeaseEnd);
        if (IsBusy(machine) || due <= now + SoonMs)
        {
            _idleSince = 0;
        }
        else if (!WakeIsStored(machine, now))
        {
            machine.Touch(now);
            due = Math.Min(due, machine.NextDue(now) ?? long.MaxValue);
        }
        else
        {
            if (_idleSince == 0)
            {
                // Marks that no write came after: of a crash before they were cleared.
                _idleSince = now;
                if (ClearableMarks(machine, leaving: false) is { } late) _ = ClearAsync(machine, late);
            }

            var leave = _idleSince + (MaySleep(machine, now) ? 0 : (long)options.Value.IdleAfter.TotalMilliseconds);
            if (now >= leave)
            {
                if (ClearableMarks(machine, leaving: true) is { } settled && _idleSince < now) _ = ClearAsync(machine, settled);
                else if (!machine.HasUnwritten) Leave();
            }

            due = Math.Min(due, Math.Max(leave, now + 1_000));
        }

        if (_passedTo is not null && _passRetryAt > now) due = Math.Min(due, _passRetryAt);

        // A look alone does not keep the activation.
        if (_looks.TryPeek(out _, out var look)) due = Math.Min(due, look);
        var wait = due == long.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Clamp(due - now, 1, 3_600_000));
        _timer?.Change(wait, Timeout.InfiniteTimeSpan);
    }

    private bool IsBusy(WebhookMachine machine) => machine.InFlight > 0 || _reads > 0 || _loading || _polls > 0 || _clearing > 0
        || IsWriting || machine.HasUnwritten || _readingPage || _finding is { IsCompleted: false };

    /// <summary>Whether it can go at once: nothing can be sent before the stored time of its wake-up, whatever is published.</summary>
    private static bool MaySleep(WebhookMachine machine, long now) => machine.Status != WebhookStatus.Active || machine.IsOpen
        || machine.AskedUntil > now + SoonMs || machine.BlockedUntil(now) > now + SoonMs;

    /// <summary>
    /// Until when nobody is to wake it, whatever marks it has, though no endpoint asked for that: who polls comes by itself, and what waits for
    /// a failed message waits until that is due. 0: it may be woken.
    /// </summary>
    private long QuietUntil(WebhookMachine machine) => IsPull && !_getsUrl ? WebhookWake.Never : machine.BlockedUntil(NowMs);

    /// <summary>Whether the store knows when to wake it.</summary>
    private bool WakeIsStored(WebhookMachine machine, long now)
    {
        if (!_wakeIsKnown) return !_wakeIsSuspect;
        var wake = IsPull ? null : machine.NextWake(now);
        return wake == _storedWake || (wake <= now && _storedWake <= now);
    }
}

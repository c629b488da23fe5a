using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks;

// Marks, and when the activation goes.
internal sealed partial class WebhookGrain
{
    private const long MinLookMs = 10;
    private const long MaxLookMs = 320;
    private const int MaxLooks = 64;

    /// <summary>Channels that have a mark in the store, as far as is known.</summary>
    private MarkedChannels _marked = null!;

    /// <summary>The same, of channels that are not subscribed to any more.</summary>
    private readonly HashSet<string> _foreign = new(StringComparer.Ordinal);
    private bool _clearsForeign;

    /// <summary>Marked channels that are looked at again: after how many milliseconds, and when.</summary>
    private readonly Dictionary<string, long> _lookPauses = new(StringComparer.Ordinal);
    private readonly PriorityQueue<string, long> _looks = new();

    /// <summary>What was heard of appends; guards itself, since it is noted on others' threads.</summary>
    private readonly Dictionary<string, Position> _heard = new(StringComparer.Ordinal);

    private Task? _readingMarks;
    private bool _marksAgain;
    private int _clearing;
    private long? _storedWake;
    private bool _wakeIsKnown;

    /// <summary>Woken without anything known to do: the stored time may be one that has passed.</summary>
    private bool _wakeIsSuspect;
    private long _idleSince;

    /// <inheritdoc/>
    void IAppendListener.OnAppended(ChannelId channel, Position head)
    {
        lock (_heard)
        {
            var isFirst = _heard.Count == 0;
            _heard[channel.Name] = head;
            if (!isFirst) return;
        }

        QueueTurn(static grain => ((WebhookGrain)grain!).TakeHeard());
    }

    private void TakeHeard()
    {
        lock (_heard)
        {
            foreach (var (channel, head) in _heard) _machine?.Notice(channel, head);
            _heard.Clear();
        }

        Run();
    }

    private void NoteMarks(IReadOnlyList<WebhookMark> marks)
    {
        var machine = _machine!;
        foreach (var (channel, position) in marks)
        {
            if (!Matches(channel))
            {
                _foreign.Add(channel);
                continue;
            }

            _marked.Add(channel);

            // One of the two does nothing.
            machine.Look(channel);
            machine.Add(channel, position, NowMs);
        }
    }

    /// <summary>Reads the marks; whoever asks while they are read waits for the next time.</summary>
    private async Task ReadMarksAsync()
    {
        _marksAgain = true;
        while (_marksAgain)
        {
            if (_readingMarks is { IsCompleted: false })
            {
                await _readingMarks;
                continue;
            }

            _marksAgain = false;
            await (_readingMarks = ReadAsync());
        }

        async Task ReadAsync()
        {
            var marks = await store.GetMarksAsync(_id);
            if (_stopped) return;
            NoteMarks(marks);
            if (_foreign.Count > 0) _ = ClearForeignAsync();
        }
    }

    /// <summary>The marks that may be cleared now; null: none.</summary>
    private List<WebhookMark>? ClearableMarks(WebhookMachine machine, bool leaving)
    {
        if (_marked.Count == 0 || machine.Status != WebhookStatus.Active) return null;
        List<WebhookMark>? settled = null;
        foreach (var channel in _marked)
        {
            if (machine.ReachedEnd(channel, leaving) is { } position) (settled ??= []).Add(new WebhookMark(channel, position));
            else if (leaving) machine.StayBehind(channel, NowMs);
        }

        return settled;
    }

    private async Task ClearAsync(WebhookMachine machine, List<WebhookMark> settled)
    {
        _clearing++;

        // Before the call: an append that comes just after it makes a new mark, which is noted meanwhile.
        foreach (var mark in settled) _marked.Remove(mark.Channel);
        try
        {
            var cleared = await store.ClearMarksAsync(_id, settled);
            for (var i = 0; i < cleared.Length; i++)
            {
                // Unless it was marked again meanwhile.
                if (cleared[i] && !_marked.Contains(settled[i].Channel)) machine.Unmarked(settled[i].Channel, NowMs);
            }

            var behind = settled.Where((_, i) => !cleared[i]).ToList();
            foreach (var mark in behind) _marked.Add(mark.Channel);
            if (behind.Count > 0)
            {
                var heads = await logs.Durable.GetHeadsAsync([.. behind.Select(m => ChannelOf(m.Channel))]);
                for (var i = 0; i < heads.Length; i++) machine.Notice(behind[i].Channel, heads[i].Position);
            }
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogNotCleared(level, _id, e);
            foreach (var mark in settled) _marked.Add(mark.Channel);

            // The next wake, or the sweep's, tries again.
            _idleSince = NowMs;
        }

        _clearing--;
        OnStep();
    }

    /// <summary>
    /// Clears marks of channels that the definition once matched. Never beside a change of it: the store may know already that a channel
    /// matches from now on, and its mark is of a message that is to be delivered.
    /// </summary>
    private async Task ClearForeignAsync()
    {
        if (_clearsForeign) return;
        _clearsForeign = true;
        try
        {
            using var change = await ChangeAsync();
            if (_stopped || _isUnsure) return;
            string[] channels = [.. _foreign];
            var heads = await logs.Durable.GetHeadsAsync([.. channels.Select(ChannelOf)]);
            var cleared = await store.ClearMarksAsync(_id, [.. channels.Zip(heads, static (c, h) => new WebhookMark(c, h.Position))]);
            for (var i = 0; i < channels.Length; i++)
            {
                // Appended to just now; the next wake finds it.
                if (cleared[i]) _foreign.Remove(channels[i]);
            }
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogNotCleared(level, _id, e);
        }
        finally
        {
            _clearsForeign = false;
        }
    }

    /// <summary>
    /// Nothing is sent to whoever polls, so that there is nothing to be woken for: once the channel's cursor is stored, its mark goes, and
    /// the next poll reads on from the cursor.
    /// </summary>
    private async Task ClearForPollingAsync()
    {
        for (var tries = 0; tries < 3 && _marked.Count > 0; tries++)
        {
            // Those that are met while it is written are not a part of that.
            string[] channels = [.. _marked];
            await FlushAsync(_machine!);
            var heads = await logs.Durable.GetHeadsAsync([.. channels.Select(ChannelOf)]);
            var cleared = await store.ClearMarksAsync(_id, [.. channels.Zip(heads, static (c, h) => new WebhookMark(c, h.Position))]);
            for (var i = 0; i < channels.Length; i++)
            {
                // What a poll read meanwhile may not reach as far.
                _machine!.Notice(channels[i], heads[i].Position);
                if (cleared[i]) _marked.Remove(channels[i]);
            }
        }
    }

    /// <summary>
    /// A channel that has a mark wakes nobody: what is published before the mark is cleared is heard of (<see cref="MarkedChannels"/>), or, if
    /// its grain is on another silo, found by looking again, soon after something was found and ever later while nothing is. Only a few
    /// channels at once; the others are looked at when their marks are to be cleared.
    /// </summary>
    private void OnLooked(WebhookMachine machine, string channel, bool found)
    {
        var known = _lookPauses.TryGetValue(channel, out var pause);
        if (!_marked.Contains(channel) || _marked.Hears(channel) || (!known && _lookPauses.Count >= MaxLooks)) return;
        if (!found && pause >= MaxLookMs && machine.InFlight == 0 && !machine.HasUnwritten) return;
        _lookPauses[channel] = found || !known ? MinLookMs : Math.Min(2 * pause, MaxLookMs);
        if (!known) _looks.Enqueue(channel, NowMs + MinLookMs);
    }

    private void LookAgain(WebhookMachine machine, long now)
    {
        while (_looks.TryPeek(out var channel, out var at) && at <= now)
        {
            _looks.Dequeue();
            if (!_marked.Contains(channel) || _marked.Hears(channel) || machine.Status != WebhookStatus.Active
                || (machine.InFlight == 0 && !machine.HasUnwritten && _lookPauses[channel] >= MaxLookMs))
            {
                _lookPauses.Remove(channel);
                continue;
            }

            machine.Look(channel);
            _looks.Enqueue(channel, now + _lookPauses[channel]);
        }
    }

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
                if (!IsPull && ClearableMarks(machine, leaving: false) is { } late) _ = ClearAsync(machine, late);
            }

            var leave = _idleSince + (MaySleep(machine, now) ? 0 : (long)options.Value.IdleAfter.TotalMilliseconds);
            if (now >= leave)
            {
                if (!IsPull && ClearableMarks(machine, leaving: true) is { } settled && _idleSince < now) _ = ClearAsync(machine, settled);
                else if (!machine.HasUnwritten) Leave();
            }

            due = Math.Min(due, Math.Max(leave, now + 1_000));
        }

        // A look alone does not keep the activation.
        if (_looks.TryPeek(out _, out var look)) due = Math.Min(due, look);
        var wait = due == long.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Clamp(due - now, 1, 3_600_000));
        _timer?.Change(wait, Timeout.InfiniteTimeSpan);
    }

    private bool IsBusy(WebhookMachine machine) => machine.InFlight > 0 || _reads > 0 || _loading || _polls > 0 || _clearing > 0
        || IsWriting || machine.HasUnwritten || _readingMarks is { IsCompleted: false };

    /// <summary>Whether it can go at once: nothing can be sent before the stored time of its wake-up, whatever is published.</summary>
    private static bool MaySleep(WebhookMachine machine, long now) =>
        machine.Status != WebhookStatus.Active || machine.IsOpen || machine.AskedUntil > now + SoonMs;

    /// <summary>Whether the store knows when to wake it.</summary>
    private bool WakeIsStored(WebhookMachine machine, long now)
    {
        if (!_wakeIsKnown) return !_wakeIsSuspect;
        var wake = IsPull ? null : machine.NextWake(now);
        return wake == _storedWake || (wake <= now && _storedWake <= now);
    }

    [LoggerMessage("Marks of webhook {Webhook} could not be cleared; they stay until the next time")]
    private partial void LogNotCleared(LogLevel level, WebhookId webhook, Exception exception);
}

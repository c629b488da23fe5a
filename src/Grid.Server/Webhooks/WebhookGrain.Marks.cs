using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks;

// Marks: which channels have to be looked at.
internal sealed partial class WebhookGrain
{
    private const long MinLookMs = 10;
    private const long MaxLookMs = 320;
    private const int MaxLooks = 64;
    private const int MarkPage = 256;
    private const int MaxFound = 1_000;
    private const long PassRetryMs = 1_000;

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

    /// <summary>The name after which the pass over the marks goes on, empty at its beginning; null: no pass is under way.</summary>
    private string? _passedTo;
    private bool _passAgain;
    private bool _readingPage;
    private long _passRetryAt;

    /// <summary>Channels that were told of and whose marks are looked up next.</summary>
    private HashSet<string> _told = new(StringComparer.Ordinal);
    private Task? _finding;
    private int _clearing;

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

    /// <summary>
    /// Has all marks looked at: a page whenever the machine can do something with more channels, since a prefix can match millions and
    /// what is known of each is in memory. What comes behind the place of a pass under way is found by the next.
    /// </summary>
    private void LookForMarks()
    {
        if (_passedTo is null) _passedTo = string.Empty;
        else _passAgain = true;
    }

    /// <summary>The next page of the pass, if there is to be one now.</summary>
    private async Task ReadOnAsync(WebhookMachine machine)
    {
        if (_passedTo is not { } after || _readingPage || (IsPull && _polls == 0) || NowMs < _passRetryAt || !machine.WantsChannels) return;
        _readingPage = true;
        try
        {
            var next = await ReadPageAsync(after);
            _passedTo = next ?? (_passAgain ? string.Empty : null);
            if (next is null) _passAgain = false;
        }
        catch (Exception e)
        {
            _passRetryAt = NowMs + PassRetryMs;
            var level = Outage.LevelOf(e);
            LogNotLooked(level, _id, e);
        }

        _readingPage = false;
        OnStep();
    }

    /// <summary>Reads marks page by page, whatever the machine wants, until there are no more or so many channels are known.</summary>
    private async Task ReadMarksAsync(int most)
    {
        // Marks of channels that are not subscribed to any more are among them, and add nothing.
        var after = string.Empty;
        for (var pages = 0; pages <= 2 * most / MarkPage && after is not null && !_stopped && _machine!.Channels.Count < most; pages++) after = await ReadPageAsync(after);
    }

    /// <summary>Reads a page of marks.</summary>
    /// <returns>The name after which the next one begins; null: it was the last.</returns>
    private async Task<string?> ReadPageAsync(string after)
    {
        var marks = await store.GetMarksAsync(_id, after, MarkPage);
        if (_stopped) return null;
        NoteMarks(marks);
        if (_foreign.Count > 0) _ = ClearForeignAsync();
        return EndOf(marks);
    }

    /// <summary>Takes note of the mark of a channel that something was published to just now; many that come together are looked up together.</summary>
    private async Task FindMarkAsync(string channel)
    {
        var machine = _machine!;
        if (!machine.Knows(channel) && (!machine.WantsChannels || _told.Count >= MaxFound))
        {
            LookForMarks();
            return;
        }

        _told.Add(channel);
        while (_told.Count > 0)
        {
            if (_finding is { IsCompleted: false })
            {
                await _finding;
                continue;
            }

            var told = _told;
            _told = new HashSet<string>(StringComparer.Ordinal);
            await (_finding = FindAsync(told));
        }

        async Task FindAsync(HashSet<string> told)
        {
            try
            {
                var marks = await FindMarksAsync([.. told]);
                if (_stopped) return;
                NoteMarks(marks);
                if (_foreign.Count > 0) _ = ClearForeignAsync();
            }
            catch
            {
                LookForMarks();
                throw;
            }
        }
    }

    private async Task<List<WebhookMark>> FindMarksAsync(string[] channels)
    {
        var found = new List<WebhookMark>();
        foreach (var some in channels.Chunk(MaxFound)) found.AddRange(await store.FindMarksAsync(_id, some));
        return found;
    }

    /// <summary>
    /// Passes over all that waits on channels that have a mark and are not known: the marks go, and the next append's says where its channel
    /// goes on.
    /// </summary>
    private async Task PassOverUnknownAsync(WebhookMachine machine)
    {
        for (string? after = string.Empty; after is not null;)
        {
            var marks = await store.GetMarksAsync(_id, after, MarkPage);
            after = EndOf(marks);

            // What was appended to just now is not passed over.
            NoteMarks(await ClearAtHeadsAsync([.. marks.Select(static m => m.Channel).Where(c => Matches(c) && !machine.Knows(c))]));
        }
    }

    /// <summary>The name after which the page behind this one begins; null: it is the last.</summary>
    private static string? EndOf(IReadOnlyList<WebhookMark> page) => page.Count < MarkPage ? null : page[^1].Channel;

    /// <summary>Clears marks whatever is unsettled, but for channels that are appended to meanwhile.</summary>
    /// <returns>Those, at the heads that they had.</returns>
    private async Task<List<WebhookMark>> ClearAtHeadsAsync(string[] channels)
    {
        var heads = await logs.Durable.GetHeadsAsync([.. channels.Select(ChannelOf)]);
        WebhookMark[] ends = [.. channels.Zip(heads, static (c, h) => new WebhookMark(c, h.Position))];
        var cleared = await ClearMarksAsync(_machine!, ends);
        return [.. ends.Where((_, i) => !cleared[i])];
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
            var cleared = await ClearMarksAsync(machine, settled);
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

    /// <exception cref="LogUnavailableException">The store is away, or this activation was overtaken.</exception>
    private async Task<bool[]> ClearMarksAsync(WebhookMachine machine, IReadOnlyList<WebhookMark> settled)
    {
        if (await store.ClearMarksAsync(_id, machine.Generation, settled) is { } cleared) return cleared;
        GiveWay(machine);
        throw Moves();
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
            if (!_stopped && !_isUnsure) await ClearMarksOfForeignAsync();
            Run();
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
    /// The same for those that match patterns, also if they were not met yet: before channels join, which must not find an old mark of theirs.
    /// Marks of channels that are subscribed to already are passed over by their prefixes, since there can be millions.
    /// </summary>
    private async Task ClearForeignOfAsync(string[] patterns)
    {
        var names = new List<string>();
        foreach (var pattern in patterns)
        {
            var isPrefix = ChannelPatterns.IsPrefix(pattern, out var span);
            var start = span.ToString();
            if (start.Length > 0) names.Add(start);
            for (var after = isPrefix ? start : null; after is not null;)
            {
                var marks = await store.GetMarksAsync(_id, after, MarkPage);
                _foreign.UnionWith(marks.Select(static m => m.Channel).Where(c => ChannelPatterns.Match(pattern, c) && !Matches(c)));
                await ClearMarksOfForeignAsync();
                after = EndOf(marks) is { } end && end.StartsWith(start, StringComparison.Ordinal) ? EndOfSubscribed(end) : null;
            }
        }

        _foreign.UnionWith((await FindMarksAsync([.. names])).Select(static m => m.Channel).Where(c => !Matches(c)));
        await ClearMarksOfForeignAsync();
    }

    /// <summary>The last name that the prefix by which a channel is subscribed to can have; else the channel's.</summary>
    private string EndOfSubscribed(string channel)
    {
        var end = channel;
        foreach (var pattern in _stored.Channels.Where(p => ChannelPatterns.Match(p, channel)))
        {
            // No name has such a character, and all of theirs come before it.
            if (ChannelPatterns.IsPrefix(pattern, out var prefix) && $"{prefix}\u007f" is var last && string.CompareOrdinal(last, end) > 0) end = last;
        }

        return end;
    }

    private async Task ClearMarksOfForeignAsync()
    {
        await TakeJoinedAsync();
        foreach (var channels in _foreign.ToArray().Chunk(MarkPage))
        {
            // What was appended to just now the next time finds.
            var moved = await ClearAtHeadsAsync(channels);
            _foreign.ExceptWith(channels.Except(moved.Select(static m => m.Channel)));
        }
    }

    /// <summary>
    /// Takes note of what was published to a channel that joins, while the store knew so and this did not. Its mark is of a message that is to
    /// be delivered, also where the change then failed.
    /// </summary>
    private async Task TakeJoinedAsync()
    {
        string[] joined = [.. _foreign.Where(Matches)];
        if (joined.Length == 0) return;
        NoteMarks(await FindMarksAsync(joined));
        _foreign.ExceptWith(joined);
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

    [LoggerMessage("Marks of webhook {Webhook} could not be read; trying again")]
    private partial void LogNotLooked(LogLevel level, WebhookId webhook, Exception exception);

    [LoggerMessage("Marks of webhook {Webhook} could not be cleared; they stay until the next time")]
    private partial void LogNotCleared(LogLevel level, WebhookId webhook, Exception exception);
}

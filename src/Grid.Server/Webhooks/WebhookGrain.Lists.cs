using System.Buffers.Text;
using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

// How it fares, what became of messages, and sending them again.
internal sealed partial class WebhookGrain
{
    private const int MaxListed = 1_000;
    private const int RedrivePage = 256;
    private const int MaxHeadsAsked = 1_000;
    private const int MaxAgesAsked = 16;

    /// <summary>The same two in a list, which asks all subscriptions of a page.</summary>
    private const int MaxAskedInList = 4;

    private const int TruncationsShown = 20;

    public async Task<bool> ResendAsync(string messageId)
    {
        if (!await ExistsAsync() || !MessageRef.TryParseId(messageId, out var message) || !Matches(message.Channel)) return false;
        if (await MessageSearch.FindAsync(logs.Durable, _id.Tenant, message) is not { } found) return false;
        if (!_document.Settings(options.Value).Events.Matches(found)) return false;
        await SendAgainAsync([message]);
        return true;
    }

    public async Task<WebhookAttemptPage?> ListAttemptsAsync(WebhookAttemptQuery query)
    {
        if (!await ExistsAsync()) return null;
        StoredPlace before = default;
        if (AttemptId.TryGetTime(query.Before, out var at)) before = new StoredPlace(at, query.Before);
        if (query.Until is { } until && (before == default || until.ToUnixTimeMilliseconds() < before.At))
            before = new StoredPlace(until.ToUnixTimeMilliseconds(), string.Empty);
        var page = await store.ListAttemptsAsync(_id, new AttemptQuery
        {
            Succeeded = query.Succeeded,
            MessageId = query.MessageId,
            Before = before,
            Since = query.Since?.ToUnixTimeMilliseconds() ?? 0,
            Limit = Math.Clamp(query.Limit, 1, MaxListed),
        });
        return new WebhookAttemptPage([.. page.Attempts.Select(WebhookViews.Describe)], page.Next.Name);
    }

    public async Task<WebhookDeadLetter[]?> ListDeadLettersAsync(string? after, int limit)
    {
        if (!await ExistsAsync()) return null;

        // What is settled by now counts as listed: its write may be due only in a moment.
        await FlushIfPendingAsync<WebhookEffect.DeadLetter>(_machine!);
        // What is no place does not come here: it was refused.
        _ = WebhookViews.TryParsePlace(after, out var place);
        var rows = await store.ListDeadLettersAsync(_id, place, Math.Clamp(limit, 1, MaxListed));
        return [.. rows.Select(WebhookViews.Describe)];
    }

    public async Task<WebhookRedrivePage?> RedriveAsync(string[]? messageIds, string? after)
    {
        if (!await ExistsAsync()) return null;

        // A write that is due may bring some of them.
        if (after is null) await FlushAsync(_machine!);
        _ = WebhookViews.TryParsePlace(after, out var place);
        var page = await store.ListDeadLettersAsync(_id, place, RedrivePage);
        var wanted = messageIds?.ToHashSet(StringComparer.Ordinal);

        // Those of channels that are not the subscription's any more stay: they are not sent to where it sends now.
        MessageRef[] chosen = [.. page.Select(static l => l.Ref).Where(r => Matches(r.Channel) && (wanted?.Contains(r.ToId()) ?? true))];
        if (chosen.Length > 0) await SendAgainAsync(chosen);
        return new WebhookRedrivePage(chosen.Length, page.Count < RedrivePage ? null : WebhookViews.ToText(WebhookViews.PlaceOf(page[^1])));
    }

    public async Task<WebhookReplay?> ReplayAsync(WebhookStart from, double? perSecond)
    {
        using var change = await ChangeAsync();
        if (!await ExistsAsync() || _machine is not { Replay: null } machine) return null;
        var places = await PlacesOfAsync(from);
        string[] unknown = [.. places.Select(static p => p.Key).Where(c => machine.LastSettled(c) is null)];
        var heads = await logs.Durable.GetHeadsAsync([.. unknown.Select(ChannelOf)]);
        var ends = unknown.Zip(heads).ToDictionary(static e => e.First, static e => e.Second.Position, StringComparer.Ordinal);
        foreach (var mark in await FindMarksAsync(unknown)) ends[mark.Channel] = mark.Position;
        var ranges = new List<ReplayRange>();
        foreach (var (channel, after) in places)
        {
            // Up to what was settled: what comes after is delivered anyway. Of a channel that is not known, that is up to its mark, or all.
            var end = machine.LastSettled(channel) ?? ends.GetValueOrDefault(channel);
            if (end.Epoch == after.Epoch && end.Offset > after.Offset) ranges.Add(new ReplayRange(channel, after, end.Offset));
        }

        var id = "rp_" + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(12));
        if (!machine.StartReplay(id, ranges, perSecond is > 0 and var rate ? rate : options.Value.ReplayPerSecond, NowMs)) return null;
        var begun = machine.Replay is { } running
            ? WebhookViews.Describe(id, running.Progress, "running")
            : WebhookViews.Describe(id, default, "done");
        await FlushAsync(machine);
        return begun;
    }

    public async Task<WebhookReplay?> GetReplayAsync(string id)
    {
        if (!await ExistsAsync()) return null;
        if (_machine!.Replay is { } running && running.Id == id) return WebhookViews.Describe(id, running.Progress, "running");
        if (_machine.PendingEffects.OfType<WebhookEffect.ReplayEnded>().FirstOrDefault(e => e.Id == id) is { } ended)
            return WebhookViews.Describe(ended);
        if (_endedReplay?.Id == id) return _endedReplay;
        return _document.LastReplay is { } last && last.Id == id ? last : null;
    }

    public async Task<WebhookReplay?> CancelReplayAsync(string id)
    {
        if (!await ExistsAsync()) return null;
        var machine = _machine!;
        var progress = machine.Replay?.Progress ?? default;
        if (!machine.CancelReplay(id, NowMs)) return await GetReplayAsync(id);
        await FlushAsync(machine);
        return WebhookViews.Describe(id, progress, "cancelled");
    }

    /// <summary>Puts messages among the failed ones that are due now, with all attempts before them.</summary>
    private async Task SendAgainAsync(MessageRef[] messages)
    {
        var now = NowMs;
        try
        {
            await store.ParkAsync(_id, [.. messages.Select(m => new ParkedRow(m, 0, now))]);
        }
        finally
        {
            // Also where nobody knows whether they are there: they would be no dead letters any more, and nothing else looks for them.
            _machine!.NoticeParked(now, now);
            Run();
        }

        // A write that began before may have taken the wake-up away that was stored with them.
        await FlushAsync(_machine!);
    }

    /// <summary>The subscription as it is now.</summary>
    /// <param name="machine">Its state.</param>
    /// <param name="inList">Whether it is one of many that are asked, so that it has to cost little (<see cref="IWebhookGrain.GetAsync"/>).</param>
    private async Task<WebhookDescription> DescribeAsync(WebhookMachine machine, bool inList = false)
    {
        // A channel that was published to just now for the first time counts, and so does what is known to be lost and not yet written.
        var most = inList ? MaxAskedInList : MaxHeadsAsked;
        await ReadMarksAsync(most);
        await AskHeadsAsync(machine, most);
        var truncated = inList ? [] : await ListTruncationsAsync(machine);
        TryTakeSecrets();
        var now = NowMs;
        var retryAt = machine.IsOpen ? machine.ProbeAt : machine.AskedUntil > now ? machine.AskedUntil : 0;
        return new WebhookDescription
        {
            Id = _id.Id,
            Definition = _document.Shown(_stored.Channels, _headers ?? CustomHeaders.None),
            Version = ShownVersion,
            CreatedAt = _document.CreatedAt,
            Status = machine.Status switch { WebhookStatus.Active => "active", WebhookStatus.Paused => "paused", _ => "disabled" },
            Reason = WebhookEvents.ReasonOf(machine.Reason),
            Cursors = inList ? [] : machine.Cursors.ToDictionary(StringComparer.Ordinal),
            LagMessages = machine.Lag,
            LagSeconds = await AgeAsync(machine, now, inList ? MaxAskedInList : MaxAgesAsked),
            InFlight = machine.InFlight,
            Circuit = machine.IsOpen ? "open" : retryAt > 0 ? "held" : "closed",
            RetryAt = retryAt > 0 ? DateTimeOffset.FromUnixTimeMilliseconds(retryAt) : null,
            Parked = machine.Parked,
            BlockedBy = machine.Blocking.Select(static b => b.Ref.ToId()).FirstOrDefault(),
            PublicKey = _signing is null ? null : WebhookSecrets.PublicKey(_signing),
            Truncated = [.. truncated.Select(WebhookViews.Describe)],
        };
    }

    private async Task<IReadOnlyList<StoredTruncation>> ListTruncationsAsync(WebhookMachine machine)
    {
        await FlushIfPendingAsync<WebhookEffect.Truncated>(machine);
        return await store.ListTruncationsAsync(_id, TruncationsShown);
    }

    /// <summary>How far channels reach, for who asks: what is not sent from is not read either. Those that have marks come first.</summary>
    private async Task AskHeadsAsync(WebhookMachine machine, int most)
    {
        string[] channels = [.. _marked.Concat(machine.Channels.Where(c => !_marked.Contains(c))).Take(most)];
        if (channels.Length == 0) return;
        var heads = await logs.Durable.GetHeadsAsync([.. channels.Select(ChannelOf)]);
        for (var i = 0; i < channels.Length; i++) machine.Notice(channels[i], heads[i].Position);
        Run();
    }

    /// <summary>The age of the oldest message that is not settled, in seconds; looked for in a few channels.</summary>
    private async Task<double> AgeAsync(WebhookMachine machine, long now, int most)
    {
        var oldest = now;
        string[] behind = [.. machine.Channels.Where(c => machine.FirstUnsettled(c) is not null).Take(most)];
        foreach (var channel in behind)
        {
            if (machine.FirstUnsettled(channel) is not { } first) continue;
            var page = await logs.Durable.ReadAsync(ChannelOf(channel), first.Offset - 1, 1, maxBytes: 1);
            if (page.Messages is [var message, ..]) oldest = Math.Min(oldest, message.At);
        }

        return (now - oldest) / 1000.0;
    }
}

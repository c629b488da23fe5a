using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;

namespace Grid.UnitTests.Webhooks.Grain;

/// <summary>
/// Log and webhook store in memory, under one lock, so that appends leave marks in the same step. Keeps the contract: the fence by
/// generation, marks, and what is due.
/// </summary>
internal sealed class FakeWebhookStore : IWebhookStore, IMessageLog
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Topic> _topics = new(StringComparer.Ordinal);
    private readonly Dictionary<WebhookId, Subscription> _webhooks = [];

    /// <summary>While true, everything fails.</summary>
    public bool Away { get; set; }

    /// <summary>Awaited before a write is carried out.</summary>
    public Func<Task> BeforeWrite { get; set; } = static () => Task.CompletedTask;

    /// <summary>Awaited when a subscription is stored, before that is told.</summary>
    public Func<Task> AfterCreate { get; set; } = static () => Task.CompletedTask;

    /// <summary>Awaited when a change of a definition is stored, before that is told.</summary>
    public Func<Task> AfterUpdate { get; set; } = static () => Task.CompletedTask;

    /// <summary>Awaited when progress was read, before it is told.</summary>
    public Func<Task> AfterProgress { get; set; } = static () => Task.CompletedTask;

    /// <summary>Awaited when messages were parked on request, before that is told.</summary>
    public Func<Task> AfterPark { get; set; } = static () => Task.CompletedTask;

    /// <summary>Awaited when heads of channels were read, before they are told.</summary>
    public Func<Task> AfterHeads { get; set; } = static () => Task.CompletedTask;

    /// <summary>Ends when messages were parked on request.</summary>
    public TaskCompletionSource ParkedOnRequest { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>How many pages of marks were read.</summary>
    public int MarkPages { get; private set; }

    /// <summary>What was written, refused writes too.</summary>
    public int Writes { get; private set; }

    /// <summary>Of how many channels the head was asked at once, the last time.</summary>
    public int HeadsAsked { get; private set; }

    public List<StoredAttempt> Attempts { get; } = [];

    public ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            var topic = TopicOf(request.Channel);
            if (request.ExpectedHead != topic.Head.Position) return new(AppendResult.HeadMoved(topic.Head.Position));
            var before = topic.Head.Position;
            var woken = new List<string>();
            foreach (var (id, webhook) in _webhooks)
            {
                if (id.Tenant == request.Channel.Tenant && ChannelPatterns.Match(webhook.Stored.Channels, request.Channel.Name)
                    && webhook.Marks.TryAdd(request.Channel.Name, before))
                    woken.Add(id.Id);
            }

            topic.Messages.AddRange(request.Messages);
            return new(AppendResult.Appended(topic.Head.Position) with { Woken = woken.Count > 0 ? woken : null });
        }
    }

    public ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            var topic = TopicOf(channel);
            var bytes = 0;
            var messages = topic.Messages.Where(m => m.Offset > Math.Max(after, topic.Trimmed)).Take(maxMessages)
                .TakeWhile(m => (bytes += m.Payload.Bytes.Length) - m.Payload.Bytes.Length < maxBytes).ToList();
            return new(new ChannelPage(topic.Head, messages));
        }
    }

    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new(TopicOf(channel).Head);
        }
    }

    public async ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default)
    {
        HeadsAsked = channels.Count;
        var heads = new ChannelHead[channels.Count];
        for (var i = 0; i < heads.Length; i++) heads[i] = await GetHeadAsync(channels[i], cancellationToken);
        if (heads.Length > 0) await AfterHeads();
        return heads;
    }

    public ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default)
    {
        lock (_gate) TopicOf(channel).Trimmed = upTo;
        return default;
    }

    public ValueTask<long[]> FindKeysAsync(ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public async ValueTask<bool> CreateAsync(StoredWebhook webhook, int most, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            if (_webhooks.Keys.Count(id => id.Tenant == webhook.Id.Tenant) >= most) return false;
            _webhooks[webhook.Id] = new Subscription { Stored = webhook };
        }

        await AfterCreate();
        return true;
    }

    public ValueTask MarkAllAsync(StoredWebhook webhook, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            foreach (var (key, topic) in _topics)
            {
                var channel = ChannelId.Parse(key);
                if (channel.Tenant == webhook.Id.Tenant && ChannelPatterns.Match(webhook.Channels, channel.Name))
                    _webhooks[webhook.Id].Marks[channel.Name] = new Position(topic.Head.Epoch, topic.Head.Oldest - 1);
            }
        }

        return default;
    }

    public async ValueTask<bool> UpdateAsync(StoredWebhook webhook, long generation, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            if (!_webhooks.TryGetValue(webhook.Id, out var old) || old.Generation > generation || old.Stored.Version != webhook.Version - 1) return false;
            old.Stored = webhook;
        }

        await AfterUpdate();
        return true;
    }

    public ValueTask<bool> DeleteAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        lock (_gate) return new(_webhooks.Remove(webhook));
    }

    public ValueTask<StoredWebhook?> GetAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new(_webhooks.GetValueOrDefault(webhook)?.Stored);
        }
    }

    public ValueTask<IReadOnlyList<StoredWebhook>> ListAsync(
        string tenant, string after, int limit, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<long?> ClaimAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new(_webhooks.TryGetValue(webhook, out var found) ? ++found.Generation : null);
        }
    }

    public ValueTask<IReadOnlyList<WebhookMark>> GetMarksAsync(
        WebhookId webhook, string after, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            MarkPages++;
            return new(_webhooks.TryGetValue(webhook, out var found)
                ? [.. found.Marks.Where(m => string.CompareOrdinal(m.Key, after) > 0).OrderBy(m => m.Key, StringComparer.Ordinal)
                    .Take(limit).Select(m => new WebhookMark(m.Key, m.Value))]
                : []);
        }
    }

    public ValueTask<IReadOnlyList<WebhookMark>> FindMarksAsync(
        WebhookId webhook, IReadOnlyList<string> channels, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new(_webhooks.TryGetValue(webhook, out var found)
                ? [.. channels.Where(found.Marks.ContainsKey).Select(c => new WebhookMark(c, found.Marks[c]))]
                : []);
        }
    }

    public ValueTask<bool[]?> ClearMarksAsync(
        WebhookId webhook, long generation, IReadOnlyList<WebhookMark> settled, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            var found = _webhooks.GetValueOrDefault(webhook);
            if (found?.Generation > generation) return new((bool[]?)null);
            return new([.. settled.Select(mark =>
            {
                if (TopicOf(new ChannelId(webhook.Tenant, mark.Channel)).Head.Position != mark.Position) return false;
                found?.Marks.Remove(mark.Channel);
                return true;
            })]);
        }
    }

    public async ValueTask<WebhookSnapshot?> ReadProgressAsync(WebhookId webhook, CancellationToken cancellationToken = default)
    {
        WebhookSnapshot? found;
        lock (_gate)
        {
            Check();
            found = _webhooks.GetValueOrDefault(webhook)?.Snapshot is { } snapshot ? SnapshotRecord.Read(SnapshotRecord.ToBytes(snapshot)) : null;
        }

        await AfterProgress();
        return found;
    }

    public async ValueTask<bool> WriteAsync(
        WebhookId webhook, WebhookWrite write, long? nextWake, CancellationToken cancellationToken = default)
    {
        await BeforeWrite();
        lock (_gate)
        {
            Check();
            Writes++;
            if (!_webhooks.TryGetValue(webhook, out var found) || found.Generation > write.Snapshot.Generation) return false;
            foreach (var effect in write.Effects) Carry(found, effect);
            found.Snapshot = found.Snapshot?.With(write.Snapshot) ?? write.Snapshot;
            found.NextWake = nextWake;
            return true;
        }
    }

    public ValueTask<IReadOnlyList<ParkedRow>> ReadParkedAsync(
        WebhookId webhook, long from, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new(_webhooks.TryGetValue(webhook, out var found)
                ? [.. found.Parked.Values.Where(r => r.Due >= from).OrderBy(r => r.Due).Take(limit)] : []);
        }
    }

    public async ValueTask ParkAsync(WebhookId webhook, IReadOnlyList<ParkedRow> rows, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            var found = _webhooks[webhook];
            foreach (var row in rows)
            {
                found.Parked[row.Ref] = row;
                found.DeadLetters.Remove(row.Ref);
                found.NextWake = Math.Min(found.NextWake ?? long.MaxValue, row.Due);
            }

            ParkedOnRequest.TrySetResult();
        }

        await AfterPark();
    }

    public ValueTask<IReadOnlyList<StoredDeadLetter>> ListDeadLettersAsync(
        WebhookId webhook, StoredPlace before, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            return new([.. _webhooks[webhook].DeadLetters.Values
                .Where(l => before == default || (l.At, l.Ref.ToId()).CompareTo((before.At, before.Name ?? string.Empty)) < 0)
                .OrderByDescending(l => (l.At, l.Ref.ToId())).Take(limit)]);
        }
    }

    public ValueTask<IReadOnlyList<StoredTruncation>> ListTruncationsAsync(WebhookId webhook, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate) return new([.. _webhooks[webhook].Truncations.Take(limit)]);
    }

    public ValueTask AddAttemptsAsync(IReadOnlyList<StoredAttempt> attempts, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            Check();
            Attempts.AddRange(attempts);
            return default;
        }
    }

    public ValueTask<AttemptPage> ListAttemptsAsync(WebhookId webhook, AttemptQuery query, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            var found = new List<StoredAttempt>();
            var read = 0;
            foreach (var attempt in Attempts.Where(a => a.Webhook == webhook && (query.MessageId is null || a.MessageId == query.MessageId) && a.At >= query.Since
                    && (query.Before == default || string.CompareOrdinal(a.Id, query.Before.Name) < 0))
                .OrderByDescending(a => a.Id, StringComparer.Ordinal))
            {
                if (query.Succeeded is null || attempt.Succeeded == query.Succeeded) found.Add(attempt);
                if (found.Count == query.Limit || ++read == query.MostRead) return new(new AttemptPage(found, new StoredPlace(attempt.At, attempt.Id)));
            }

            return new(new AttemptPage(found, default));
        }
    }

    public ValueTask DropAttemptsAsync(DateTimeOffset before, CancellationToken cancellationToken = default) => default;

    public ValueTask DropDeadLettersAsync(DateTimeOffset before, CancellationToken cancellationToken = default) => default;

    public ValueTask<IReadOnlyList<WebhookId>> FindDueAsync(
        IReadOnlyCollection<int> shards, long nowMs, WebhookId? after, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate) return new([.. _webhooks.Where(w => shards.Contains(w.Key.Shard) && w.Value.IsDue(nowMs)).Select(w => w.Key)]);
    }

    public ValueTask<IReadOnlyList<string>> FindChannelsAsync(
        string tenant, string pattern, string after, int limit, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            return new([.. _topics.Keys.Select(ChannelId.Parse)
                .Where(c => c.Tenant == tenant && ChannelPatterns.Match([pattern], c.Name) && string.CompareOrdinal(c.Name, after) > 0)
                .Select(c => c.Name).Take(limit)]);
        }
    }

    /// <summary>Whether the sweep would wake it.</summary>
    public bool IsDue(WebhookId webhook, long nowMs)
    {
        lock (_gate) return _webhooks[webhook].IsDue(nowMs);
    }

    /// <summary>When it has something to do though nothing happens.</summary>
    public long? NextWakeOf(WebhookId webhook)
    {
        lock (_gate) return _webhooks[webhook].NextWake;
    }

    public WebhookSnapshot? SnapshotOf(WebhookId webhook)
    {
        lock (_gate) return _webhooks[webhook].Snapshot;
    }

    public IReadOnlyList<Message> MessagesOf(ChannelId channel)
    {
        lock (_gate) return [.. TopicOf(channel).Messages];
    }

    private static void Carry(Subscription webhook, WebhookEffect effect)
    {
        switch (effect)
        {
            case WebhookEffect.DeadLetter e:
                webhook.DeadLetters[e.Ref] = new StoredDeadLetter(e.Ref, e.Attempts, e.At, e.Failure);
                webhook.Parked.Remove(e.Ref);
                break;
            case WebhookEffect.ParkDurably e:
                webhook.Parked[e.Row.Ref] = e.Row;
                break;
            case WebhookEffect.ForgetParked e:
                webhook.Parked.Remove(e.Ref);
                break;
            case WebhookEffect.ForgetChannel(var channel) when webhook.Snapshot is { } snapshot:
                webhook.Snapshot = snapshot with { Channels = [.. snapshot.Channels.Where(c => c.Channel != channel)] };
                break;
            case WebhookEffect.Truncated e:
                webhook.Truncations.Insert(0, new StoredTruncation(e.Channel, e.Epoch, e.From, e.To, e.Count, e.Reason));
                break;
        }
    }

    private Topic TopicOf(ChannelId channel)
    {
        if (!_topics.TryGetValue(channel.ToString(), out var topic)) _topics[channel.ToString()] = topic = new Topic();
        return topic;
    }

    private void Check()
    {
        if (Away) throw new LogUnavailableException("It is away.");
    }

    private sealed class Topic
    {
        public List<Message> Messages { get; } = [];

        public long Trimmed { get; set; }

        public ChannelHead Head => new("e1", Trimmed + 1, Messages.Count);
    }

    private sealed class Subscription
    {
        public required StoredWebhook Stored { get; set; }

        public WebhookSnapshot? Snapshot { get; set; }

        public long Generation { get; set; }

        public long? NextWake { get; set; }

        public Dictionary<string, Position> Marks { get; } = new(StringComparer.Ordinal);

        public Dictionary<MessageRef, ParkedRow> Parked { get; } = [];

        public Dictionary<MessageRef, StoredDeadLetter> DeadLetters { get; } = [];

        public List<StoredTruncation> Truncations { get; } = [];

        public bool IsDue(long nowMs) => Snapshot is not { Status: not WebhookStatus.Active }
            && !(Snapshot?.Circuit is { OpenedAt: > 0, ProbeAt: var probe } && probe > nowMs) && !(Snapshot?.HeldUntil > nowMs)
            && (Marks.Count > 0 || NextWake <= nowMs);
    }
}

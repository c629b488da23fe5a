using System.Globalization;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.UnitTests.Simulation;

/// <summary>All that a channel ever stored in one epoch; retention takes from what is readable, never from here.</summary>
internal sealed class EpochRecord
{
    public List<Message> Messages { get; } = [];

    public Dictionary<string, long> Keys { get; } = new(StringComparer.Ordinal);

    /// <summary>The last offset that may no longer be readable.</summary>
    public long Trimmed { get; set; }

    public Message? At(long offset) => offset >= 1 && offset <= Messages.Count ? Messages[(int)offset - 1] : null;
}

/// <summary>The truth about a channel: what was stored, by epoch.</summary>
internal sealed class ChannelRecord
{
    public Dictionary<string, EpochRecord> Epochs { get; } = new(StringComparer.Ordinal);

    public string Epoch { get; set; } = "e0";

    public EpochRecord Of(string epoch) => Epochs.TryGetValue(epoch, out var known) ? known : Epochs[epoch] = new EpochRecord();

    public EpochRecord Now => Of(Epoch);

    public ChannelHead Head => new(Epoch, Now.Trimmed + 1, Now.Messages.Count);
}

/// <summary>The durable store that all silos share: never wrong, sometimes away, and slow to say what it did.</summary>
internal sealed class SimStore(SimScheduler scheduler)
{
    public Dictionary<ChannelId, ChannelRecord> Channels { get; } = [];

    public ChannelRecord Of(ChannelId channel) =>
        Channels.TryGetValue(channel, out var known) ? known : Channels[channel] = new ChannelRecord();

    public AppendResult Append(AppendRequest request)
    {
        var channel = Of(request.Channel);
        var head = channel.Head.Position;
        if (request.ExpectedHead != head) return AppendResult.HeadMoved(head);
        if (request.KeyWindow > TimeSpan.Zero)
        {
            var seen = new List<SeenKey>();
            for (var i = 0; i < request.Messages.Count; i++)
            {
                if (request.Messages[i].Key is { } key && channel.Now.Keys.TryGetValue(key, out var at)) seen.Add(new SeenKey(i, at));
            }

            if (seen.Count > 0) return AppendResult.KeysSeen(head, seen);
        }

        foreach (var message in request.Messages) Record(channel.Now, message, request.KeyWindow > TimeSpan.Zero);
        scheduler.Trace("log", $"stored {request.Channel.Name} {request.Messages[0].Offset}..{request.Messages[^1].Offset} in {channel.Epoch}");
        return AppendResult.Appended(channel.Head.Position);
    }

    public void Trim(ChannelId id, long upTo)
    {
        var channel = Of(id);
        channel.Now.Trimmed = Math.Max(channel.Now.Trimmed, Math.Min(upTo, channel.Now.Messages.Count));
        scheduler.Trace("log", $"trimmed {id.Name} to {channel.Now.Trimmed}");
    }

    public void Purge(ChannelId id)
    {
        var channel = Of(id);
        channel.Epoch = "e" + (int.Parse(channel.Epoch.AsSpan(1), CultureInfo.InvariantCulture) + 1).ToString(CultureInfo.InvariantCulture);
        scheduler.Trace("log", $"purged {id.Name}: {channel.Epoch}");
    }

    /// <summary>Notes what was stored, and that it was stored rightly.</summary>
    public void Record(EpochRecord epoch, Message message, bool idempotent)
    {
        if (message.Offset != epoch.Messages.Count + 1) scheduler.Fail($"Offset {message.Offset} follows {epoch.Messages.Count}.");
        if (epoch.Messages.Count > 0 && message.At < epoch.Messages[^1].At) scheduler.Fail($"The time of {message.Offset} fell.");
        if (idempotent && message.Key is { } key && !epoch.Keys.TryAdd(key, message.Offset))
            scheduler.Fail($"Key {key} is stored twice: at {epoch.Keys[key]} and {message.Offset}.");
        epoch.Messages.Add(message);
    }
}

/// <summary>The store as one silo reaches it.</summary>
internal sealed class SimLog(SimNode silo, SimStore store, SimFaults faults) : IMessageLog
{
    private SimScheduler Scheduler => silo.Scheduler;

    public async ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        AppendCheck.Verify(request);
        await silo.Delay(Scheduler.Span(20, 3_000));
        if (Scheduler.Happens(faults.LogFails))
        {
            switch (Scheduler.Chance.Next(3))
            {
                case 0:
                    break;
                case 1:
                    store.Append(request);
                    break;
                default:
                    // The store hears of it only after its caller was told that it failed.
                    Scheduler.In(Scheduler.Span(0, 3_000_000), Outside, () => store.Append(request));
                    break;
            }

            silo.Trace($"the outcome of the append to {request.Channel.Name} is unknown");
            throw new LogUnavailableException();
        }

        var done = new TaskCompletionSource<AppendResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        Scheduler.In(Scheduler.Span(10, 2_000), Outside, () =>
        {
            var result = store.Append(request);
            Scheduler.In(Scheduler.Span(10, 2_000), silo, () => done.SetResult(result));
        });
        return await done.Task;
    }

    public ValueTask<long[]> FindKeysAsync(ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default) =>
        AskAsync(() => keys.Select(k => store.Of(channel).Now.Keys.GetValueOrDefault(k)).ToArray());

    public ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default) =>
        AskAsync(() =>
        {
            var head = store.Of(channel).Head;
            var first = Math.Max(after + 1, head.Oldest);
            var messages = store.Of(channel).Now.Messages.Skip((int)first - 1).Take(Math.Min(maxMessages, MaxPage)).ToList();
            return new ChannelPage(head, messages);
        });

    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        AskAsync(() => store.Of(channel).Head);

    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default) =>
        AskAsync(() => channels.Select(c => store.Of(c).Head).ToArray());

    public ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default) => throw new NotSupportedException();

    /// <summary>Pages end early, as by their bytes, so that reading on is exercised.</summary>
    public int MaxPage { get; init; } = 7;

    /// <summary>What happens whether or not the silo lives.</summary>
    public required SimNode Outside { get; init; }

    private async ValueTask<T> AskAsync<T>(Func<T> question)
    {
        await silo.Delay(Scheduler.Span(0, 2_000));
        if (Scheduler.Happens(faults.LogFails)) throw new LogUnavailableException();
        var answer = question();
        await silo.Delay(Scheduler.Span(0, 2_000));
        return answer;
    }
}

/// <summary>The real log of ephemeral channels, watched.</summary>
internal sealed class WatchedLog(IMessageLog log, SimStore store) : IMessageLog
{
    public async ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        var result = await log.AppendAsync(request, cancellationToken);
        if (result.Status != AppendStatus.Appended) return result;
        var epoch = store.Of(request.Channel).Of(result.Head.Epoch);
        foreach (var message in request.Messages) store.Record(epoch, message, request.KeyWindow > TimeSpan.Zero);

        // It keeps a bounded number and says so by its oldest.
        epoch.Trimmed = Math.Max(epoch.Trimmed, (await log.GetHeadAsync(request.Channel, cancellationToken)).Oldest - 1);
        return result;
    }

    public ValueTask<long[]> FindKeysAsync(ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default) =>
        log.FindKeysAsync(channel, keys, cancellationToken);

    public ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default) =>
        log.ReadAsync(channel, after, maxMessages, maxBytes, cancellationToken);

    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        log.GetHeadAsync(channel, cancellationToken);

    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default) =>
        log.GetHeadsAsync(channels, cancellationToken);

    public ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default) =>
        log.TrimAsync(channel, upTo, cancellationToken);

    public ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        log.PurgeAsync(channel, cancellationToken);
}

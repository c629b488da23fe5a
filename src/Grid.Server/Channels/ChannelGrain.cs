using System.Runtime.InteropServices;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace Grid.Server.Channels;

/// <summary>
/// The sequencer of one channel: gives offsets, stores, answers, and hands every interested silo what it lacks.
/// </summary>
/// <remarks>
/// <para>A publish goes this way:</para>
/// <list type="number">
/// <item>Its drafts wait in <see cref="ChannelSequencer"/> until no append is under way.</item>
/// <item>All that waits becomes one append, numbered from the head, and the log stores it (one group commit over many channels).</item>
/// <item>The callers are answered.</item>
/// <item>Webhook subscriptions that had nothing to do are woken; those that are at work read on by themselves.</item>
/// <item>Each interested silo's <see cref="SiloFeed"/> sends one batch and, when that is answered, what has gathered since.</item>
/// </list>
/// <para>Reentrant, because publishes must gather while an append is awaited; every decision is made between two awaits by the plain
/// classes above. If two activations ever exist, the log refuses the one that is behind, and it deactivates.</para>
/// </remarks>
[Reentrant]
internal sealed partial class ChannelGrain(
    MessageLogs logs,
    NamespacePolicies policies,
    ISiloRelays relays,
    PublishesUnderWay publishes,
    WorkQueue queue,
    ChannelMetrics metrics,
    TimeProvider time,
    ILogger<ChannelGrain> logger) : Grain, IChannelGrain, IChannelFeedGrain
{
    private static readonly TimeSpan FeedRetryMin = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan FeedRetryMax = TimeSpan.FromSeconds(5);
    private const int ResyncAttempts = 5;

    /// <summary>How long the first publish of a channel that wakes up waits for what silos say of it.</summary>
    private static readonly TimeSpan InterestPatience = TimeSpan.FromMilliseconds(500);

    private readonly RecentMessages _recent = new(maxMessages: 2048, maxBytes: 1024 * 1024);
    private readonly Dictionary<SiloAddress, SiloFeed> _feeds = [];
    private readonly QueueTurn _turn = new(queue);
    private ChannelId _channel;
    private IMessageLog _log = null!;

    /// <summary>Null until the log was asked how far the channel reaches (<see cref="EnsureReadAsync"/>).</summary>
    private ChannelSequencer _sequencer = null!;
    private Task? _reading;

    /// <summary>An append's outcome is unknown, and the log has not told since how far the channel reaches.</summary>
    private bool _unsure;
    private bool _pumping;
    private bool _stopped;

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _channel = ChannelId.Parse(this.GetPrimaryKeyString());
        _log = logs.For(_channel);

        // What this silo's memory still has of an ephemeral channel may be from before the grain lived elsewhere: offsets given there
        // must not come again under the same epoch.
        if (!logs.IsDurable(_channel)) await _log.PurgeAsync(_channel, cancellationToken);
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        _stopped = true;
        logs.Notices.Gone(_channel);
        return Task.CompletedTask;
    }

    public async Task<PublishReceipt[]> PublishAsync(PublishBatch batch)
    {
        if (batch.Drafts.Length == 0) return [];

        // Of your own grains nobody else knows that they wait for an answer.
        using var underWay = publishes.Begin();
        await EnsureReadAsync();
        var ticket = new PublishTicket(batch);
        _sequencer.Enqueue(ticket);
        if (!_pumping) _ = PumpAsync();
        return await ticket.Completion;
    }

    public async Task<ChannelPage> ReadAsync(long after, int limit) =>
        await _log.ReadAsync(_channel, Math.Max(0, after), Math.Clamp(limit, 1, 1000));

    public async Task<ChannelHead> GetHeadAsync() => await _log.GetHeadAsync(_channel);

    public async Task<ChannelHead> AttachSiloAsync(SiloAddress silo)
    {
        await EnsureReadAsync();
        if (_feeds.TryGetValue(silo, out var feed)) feed.Renew();
        else _feeds[silo] = new SiloFeed(_sequencer.Head.Position);
        return _sequencer.Head;
    }

    /// <summary>
    /// Makes sure that the log was asked how far the channel reaches. Not a part of the activation: an activation that fails because the
    /// log is away would be made anew for every call, which costs the directory far more than the calls.
    /// </summary>
    private async ValueTask EnsureReadAsync()
    {
        if (_sequencer is not null && !_unsure) return;
        if (_reading is null or { IsCompleted: true }) _reading = _sequencer is null ? ReadEndAsync() : ReadEndAgainAsync();
        await _reading;
    }

    private async Task ReadEndAsync()
    {
        var (head, lastAt) = await _log.GetEndAsync(_channel);

        // Silos whose sockets wait for this channel do not know that it woke up anew. What they were served tells, too, whether the log
        // lost its end since, and that must be known before anything is appended: it would get offsets that consumers take for repeats.
        var asked = relays.LiveSilos().Select(silo => (Silo: silo, Answer: GetInterestAsync(silo))).ToArray();
        if (logs.IsDurable(_channel))
        {
            await WaitForSomeAsync(asked.Select(a => a.Answer));
            foreach (var (_, answer) in asked)
            {
                if (!answer.IsCompletedSuccessfully) continue;
                var ack = await answer;
                if (ack.Interested && IsBeyond(ack.Have, head)) head = await RenewAsync(ack.Have);
            }
        }

        _sequencer = new ChannelSequencer(_channel, policies.For(_channel.Name).KeyWindow, head, lastAt);
        foreach (var (silo, answer) in asked) _ = AskInterestAsync(silo, answer);
    }

    /// <summary>Waits for answers, but not for silos that do not answer soon: those are asked on, and hold nobody up.</summary>
    private async Task WaitForSomeAsync(IEnumerable<Task<DeliverAck>> answers)
    {
        var open = answers.Where(a => !a.IsCompleted).Select(EndOfAsync).ToArray();
        if (open.Length == 0) return;
        try
        {
            await Task.WhenAll(open).WaitAsync(InterestPatience, time);
        }
        catch (TimeoutException)
        {
        }

        static async Task EndOfAsync(Task<DeliverAck> answer)
        {
            try
            {
                await answer;
            }
            catch (Exception)
            {
                // Whoever asks on hears of it.
            }
        }
    }

    /// <summary>After an append of unknown outcome: what the log says is true. Silos get what it stored from the log.</summary>
    private async Task ReadEndAgainAsync()
    {
        var (head, lastAt) = await _log.GetEndAsync(_channel);
        if (IsBeyond(_sequencer.Head.Position, head)) head = await RenewAsync(_sequencer.Head.Position);
        _sequencer.Resync(head, lastAt);
        _unsure = false;
        _recent.Clear();
        Feed();
    }

    /// <summary>Stores what waits, batch after batch, until nothing does.</summary>
    private async Task PumpAsync()
    {
        _pumping = true;
        try
        {
            // What other sockets have sent meanwhile may stand in the queue already: one append, and one delivery, for all of it.
            await _turn.WaitAsync();
            while (_sequencer.HasPending)
            {
                try
                {
                    if (_sequencer.NextProbe() is { } keys)
                    {
                        _sequencer.OnProbed(keys, await _log.FindKeysAsync(_channel, keys));
                        continue;
                    }
                }
                catch (LogUnavailableException e)
                {
                    var level = Outage.LevelOf(e);
                    LogAppendFailed(level, _channel, e);
                    _sequencer.RefusePending();
                    continue;
                }

                if (_sequencer.NextAppend(time.GetUtcNow().ToUnixTimeMilliseconds()) is not { } append) continue;
                AppendResult result;
                try
                {
                    result = await _log.AppendAsync(append);
                }
                catch (Exception e)
                {
                    metrics.AppendFailed();
                    var level = Outage.LevelOf(e);
                    LogAppendFailed(level, _channel, e);
                    _sequencer.OnUnknown();
                    await ResyncAsync();
                    continue;
                }

                if (_sequencer.OnAppended(result) is not { } stored)
                {
                    metrics.Overtaken();
                    LogOvertaken(_channel, _sequencer.Head.Head, result.Head.Offset);
                    if (result.Head.Epoch == _sequencer.Head.Epoch && result.Head.Offset < _sequencer.Head.Head)
                        await VerifyAsync(_sequencer.Head.Position);
                    _sequencer.FailPending(new ChannelMovedException());
                    Leave();
                    return;
                }

                if (result.Woken is { Count: > 0 } woken)
                {
                    // Before they are woken: they listen from the moment when they know of their mark.
                    logs.Notices.Here(_channel);
                    WebhookWaker.Wake(GrainFactory, _channel, woken);
                }

                logs.Notices.Appended(_channel, result.Head);
                if (stored.Count == 0) continue;
                if (_feeds.Count > 0) _recent.Add(CollectionsMarshal.AsSpan(stored));
                else _recent.Clear();
                Feed();
            }
        }
        catch (Exception e)
        {
            // Nothing above should throw anything else; if it does, no caller may hang, and the next activation starts afresh.
            LogPumpFailed(_channel, e);
            _sequencer.OnUnknown();
            _sequencer.RefusePending();
            Leave();
        }
        finally
        {
            _pumping = false;
        }
    }

    /// <summary>
    /// Asks the log, after an append of unknown outcome, until it answers or the next publish has to. The activation stays: it knows how
    /// far the channel reached, whatever the log says later.
    /// </summary>
    private async Task ResyncAsync()
    {
        _unsure = true;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await EnsureReadAsync();
                return;
            }
            catch (LogUnavailableException)
            {
                _sequencer.RefusePending();
                if (attempt == ResyncAttempts) return;
                await Task.Delay(TimeSpan.FromMilliseconds(100 * attempt), time);
            }
        }
    }

    private static bool IsBeyond(Position reached, ChannelHead head) => reached.Epoch == head.Epoch && reached.Offset > head.Head;

    /// <summary>
    /// Given how far the channel was seen to reach: if the log no longer reaches there, it lost messages (a standby that was behind took
    /// over, or a backup was restored), and the channel goes on under a new epoch, since consumers take offsets that they know for repeats.
    /// </summary>
    private async Task<ChannelHead> RenewAsync(Position reached)
    {
        var head = await _log.RenewAsync(_channel, reached);
        if (head.Epoch != reached.Epoch) LogTailLost(_channel, reached.Offset, head.Head, head.Epoch);
        return head;
    }

    /// <summary>The same where it is not this activation that goes on; if the log is away, the next one that looks will find it.</summary>
    private async Task VerifyAsync(Position reached)
    {
        try
        {
            var head = await _log.GetHeadAsync(_channel);
            if (IsBeyond(reached, head)) head = await RenewAsync(reached);
            if (head.Epoch != _sequencer.Head.Epoch) Leave();
        }
        catch (LogUnavailableException e)
        {
            LogNotVerified(_channel, e);
        }
    }

    private void Leave()
    {
        try
        {
            DeactivateOnIdle();
        }
        catch (InvalidOperationException)
        {
            // The activation was ended meanwhile: a silo that stops, or lost the channel to another, does not wait for the log.
        }
    }

    private void Feed()
    {
        foreach (var (silo, feed) in _feeds)
        {
            if (feed.Next(_channel, _sequencer.Head, _recent) is { } batch) _ = FeedAsync(silo, feed, batch);
        }
    }

    /// <summary>Sends batches to one silo until it lacks nothing. Others are not waited for.</summary>
    private async Task FeedAsync(SiloAddress silo, SiloFeed feed, DeliverBatch batch)
    {
        for (DeliverBatch? next = batch; next is not null; next = feed.Next(_channel, _sequencer.Head, _recent))
        {
            Exception? failure = null;
            try
            {
                var ack = await DeliverAsync(silo, next);
                if (ack.Interested && IsBeyond(ack.Have, _sequencer.Head)) _ = VerifyAsync(ack.Have);
                if (!feed.OnAck(ack))
                {
                    _feeds.Remove(silo);
                    DropServed();
                    return;
                }

                DropServed();
            }
            catch (Exception e)
            {
                feed.OnFailed();
                failure = e;
            }

            if (feed.Failures > 0 && !await MayRetryAsync(silo, feed, failure)) return;
        }
    }

    /// <summary>
    /// What all silos have is kept no longer: messages that are soon forgotten cost the collector next to nothing, and those that
    /// live for a while cost it most.
    /// </summary>
    private void DropServed()
    {
        var served = long.MaxValue;
        foreach (var feed in _feeds.Values)
        {
            // Of a silo that goes by another epoch the log has to tell anyway.
            if (feed.Have.Epoch == _sequencer.Head.Epoch) served = Math.Min(served, feed.Have.Offset);
        }

        _recent.DropUpTo(served);
    }

    private async Task<DeliverAck> DeliverAsync(SiloAddress silo, DeliverBatch batch)
    {
        metrics.FeedSent();
        try
        {
            return await relays.On(silo).DeliverAsync(batch);
        }
        finally
        {
            metrics.FeedEnded();
        }
    }

    private async Task<DeliverAck> GetInterestAsync(SiloAddress silo) => await relays.On(silo).GetInterestAsync(_channel);

    /// <summary>Begins to feed a silo, if by its answer, or the answer to a later question, it wants the channel.</summary>
    private async Task AskInterestAsync(SiloAddress silo, Task<DeliverAck> answer)
    {
        var feed = new SiloFeed(default);
        for (; !_feeds.ContainsKey(silo); answer = GetInterestAsync(silo))
        {
            try
            {
                var ack = await answer;
                if (ack.Interested && IsBeyond(ack.Have, _sequencer.Head)) _ = VerifyAsync(ack.Have);
                if (!feed.OnAck(ack)) return;

                // The silo may have attached by itself while it was asked; then that feed stays.
                if (!_feeds.TryAdd(silo, feed)) return;
                if (feed.Next(_channel, _sequencer.Head, _recent) is { } batch) await FeedAsync(silo, feed, batch);
                return;
            }
            catch (Exception e)
            {
                feed.OnFailed();
                if (!await MayRetryAsync(silo, feed, e)) return;
            }
        }
    }

    /// <summary>After a failure, or (without an exception) an answer that the silo took nothing: waits, and tells whether to go on.</summary>
    private async Task<bool> MayRetryAsync(SiloAddress silo, SiloFeed feed, Exception? failure)
    {
        metrics.FeedFailed();
        if (_stopped) return false;
        if (!relays.IsLive(silo))
        {
            _feeds.Remove(silo);
            DropServed();
            return false;
        }

        if (failure is not null) LogFeedFailed(_channel, silo, failure);
        var delay = FeedRetryMin * Math.Pow(2, Math.Min(feed.Failures, 8));
        await Task.Delay(delay < FeedRetryMax ? delay : FeedRetryMax, time);
        feed.Retry();
        return !_stopped;
    }

    [LoggerMessage(LogLevel.Error, "The append loop of {Channel} failed")]
    private partial void LogPumpFailed(ChannelId channel, Exception exception);

    [LoggerMessage("An append on {Channel} failed; its outcome is unknown until the log answers again")]
    private partial void LogAppendFailed(LogLevel level, ChannelId channel, Exception exception);

    [LoggerMessage(LogLevel.Error, "{Channel} reached {Reached} and now ends at {Head}: the store lost messages that were acknowledged. It goes on under the epoch {Epoch}")]
    private partial void LogTailLost(ChannelId channel, long reached, long head, string epoch);

    [LoggerMessage(LogLevel.Debug, "Whether {Channel} still reaches as far as a silo was served could not be asked")]
    private partial void LogNotVerified(ChannelId channel, Exception exception);

    [LoggerMessage(LogLevel.Information, "This activation of {Channel} was overtaken at offset {Known}: the log is at {Actual}")]
    private partial void LogOvertaken(ChannelId channel, long known, long actual);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} did not take messages of {Channel}; trying again")]
    private partial void LogFeedFailed(ChannelId channel, SiloAddress silo, Exception exception);
}

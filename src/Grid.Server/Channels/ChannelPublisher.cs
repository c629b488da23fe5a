using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Channels;

/// <summary>
/// Publishes to a channel's grain and rides out what a retry can: a channel that moved (nothing was stored), and lost answers when
/// every draft carries a key that makes it idempotent (so that a retry cannot store twice). What remains unknown is answered as unavailable.
/// </summary>
internal sealed partial class ChannelPublisher(
    IGrainFactory grains,
    NamespacePolicies policies,
    PublishesUnderWay underWay,
    PublishMetrics metrics,
    TimeProvider time,
    ILogger<ChannelPublisher> logger) : IChannelPublisher
{
    /// <summary>
    /// How long after its start a publish is tried again. A last try that is not answered either ends <see cref="CallLimits.Channel"/>
    /// later, so that the caller has an answer within ten seconds.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5.5);

    /// <summary>After how many milliseconds a publish of unknown outcome should come again.</summary>
    public const long RetryAfterMs = 250;

    /// <summary>The answer to a publish whose outcome is unknown, or that would overtake such a one.</summary>
    public static readonly PublishReceipt Unavailable = PublishReceipt.Refused(ErrorCode.Unavailable, RetryAfterMs);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>Where who answers a publisher says so, from before the publish until it is answered.</summary>
    public PublishesUnderWay UnderWay => underWay;

    /// <summary>The grain to publish to, for who publishes often: finding it costs as much as a part of the call.</summary>
    public IChannelGrain GrainOf(ChannelId channel) => grains.GetChannel(channel);

    /// <inheritdoc/>
    public ValueTask<PublishReceipt[]> PublishAsync(ChannelId channel, PublishBatch batch) => PublishAsync(GrainOf(channel), channel, batch);

    /// <summary>Publishes; never throws. A receipt refused as unavailable may have been stored: publish again with the same key.</summary>
    public async ValueTask<PublishReceipt[]> PublishAsync(IChannelGrain grain, ChannelId channel, PublishBatch batch)
    {
        var started = time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            var mayRetry = true;
            var moved = false;
            try
            {
                var receipts = await grain.PublishAsync(batch);
                metrics.Answered(receipts, time.GetElapsedTime(started));
                return receipts;
            }
            catch (ChannelMovedException)
            {
                moved = true;
            }
            catch (Exception e)
            {
                // Whatever it was, the outcome is unknown; the callers' loops rely on an answer. A store that is away stays so for longer
                // than trying again makes sense.
                var level = Outage.LevelOf(e);
                LogLost(level, channel, e);
                mayRetry = !Outage.IsOfStore(e) && policies.For(channel.Name).KeyWindow > TimeSpan.Zero && Array.TrueForAll(batch.Drafts, d => d.Key is not null);
            }

            if (!mayRetry || time.GetElapsedTime(started) > Patience) return Refuse(batch.Drafts.Length, time.GetElapsedTime(started));
            metrics.Retried(moved);
            await Task.Delay(Pause * Math.Min(attempt, 10), time);
        }
    }

    /// <summary>Answers publishes as unavailable, and counts them.</summary>
    /// <param name="count">How many.</param>
    /// <param name="duration">How long their callers waited: not at all where they may not overtake such a one.</param>
    public PublishReceipt[] Refuse(int count, TimeSpan duration = default)
    {
        var refused = new PublishReceipt[count];
        Array.Fill(refused, Unavailable);
        metrics.Unavailable(refused, duration);
        return refused;
    }

    [LoggerMessage("The answer to a publish on {Channel} was lost")]
    private partial void LogLost(LogLevel level, ChannelId channel, Exception exception);
}

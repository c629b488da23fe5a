using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks;

/// <summary>
/// Wakes subscriptions that have something to do: a retry that is due, or messages whose wake-up was lost with a process. Silos divide
/// the shards among them; while they disagree about who lives, a subscription is woken twice, which does nothing.
/// </summary>
internal sealed partial class WebhookSweep(
    IWebhookStore store,
    IGrainFactory grains,
    ILocalSiloDetails self,
    ISiloStatusOracle silos,
    IOptions<WebhookOptions> options,
    TimeProvider time,
    ILogger<WebhookSweep> logger) : BackgroundService, ISiloStatusListener
{
    private const int PageSize = 256;

    /// <summary>
    /// Between pages: wake-ups are one way, so that nothing else bounds how many subscriptions come into memory at once after a crash.
    /// </summary>
    private static readonly TimeSpan PagePause = TimeSpan.FromMilliseconds(50);

    /// <summary>Old attempts lie in whole ranges or partitions, which need no haste.</summary>
    private static readonly TimeSpan DropInterval = TimeSpan.FromHours(1);

    private TaskCompletionSource _changed = NewChange();

    /// <summary>The shards of a silo.</summary>
    /// <param name="all">The silos that live.</param>
    /// <param name="self">The silo.</param>
    public static IReadOnlyList<int> ShardsOf(IEnumerable<SiloAddress> all, SiloAddress self)
    {
        var order = all.Append(self).Distinct().OrderBy(static s => s.ToParsableString(), StringComparer.Ordinal).ToList();
        var index = order.IndexOf(self);
        return [.. Enumerable.Range(0, WebhookId.Shards).Where(shard => shard % order.Count == index)];
    }

    /// <inheritdoc/>
    void ISiloStatusListener.SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status is SiloStatus.Dead or SiloStatus.Active) Volatile.Read(ref _changed).TrySetResult();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        silos.SubscribeToSiloStatusEvents(this);
        try
        {
            await Task.WhenAll(SweepAsync(stoppingToken), DropAsync(stoppingToken));
        }
        catch (Exception) when (stoppingToken.IsCancellationRequested)
        {
            // Whatever a round was cut off with.
        }
        finally
        {
            silos.UnSubscribeFromSiloStatusEvents(this);
        }
    }

    private static TaskCompletionSource NewChange() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task SweepAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            var changed = Volatile.Read(ref _changed);
            await Task.WhenAny(changed.Task, Task.Delay(options.Value.SweepInterval, time, stoppingToken));
            stoppingToken.ThrowIfCancellationRequested();
            if (changed.Task.IsCompleted) Volatile.Write(ref _changed, NewChange());
            try
            {
                await WakeDueAsync(stoppingToken);
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                var level = Outage.LevelOf(e);
                LogSweepFailed(level, e);
            }
        }
    }

    private async Task WakeDueAsync(CancellationToken stoppingToken)
    {
        if (silos.CurrentStatus != SiloStatus.Active) return;
        var shards = ShardsOf(silos.GetApproximateSiloStatuses(onlyActive: true).Keys, self.SiloAddress);
        WebhookId? after = null;
        while (true)
        {
            var due = await store.FindDueAsync(shards, time.GetUtcNow().ToUnixTimeMilliseconds(), after, PageSize, stoppingToken);
            foreach (var webhook in due) WebhookWaker.Forget(grains.GetGrain<IWebhookGrain>(webhook.ToString()).WakeAsync());
            if (due.Count < PageSize) return;
            after = due[^1];
            await Task.Delay(PagePause, time, stoppingToken);
        }
    }

    private async Task DropAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(DropInterval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            // Each by itself: to drop attempts can take longer than it may, as long as something else has the database open for long.
            var before = time.GetUtcNow() - options.Value.AttemptRetention;
            await TryDropAsync(store.DropAttemptsAsync, before, stoppingToken);
            await TryDropAsync(store.DropDeadLettersAsync, before, stoppingToken);
        }
    }

    private async Task TryDropAsync(
        Func<DateTimeOffset, CancellationToken, ValueTask> drop, DateTimeOffset before, CancellationToken stoppingToken)
    {
        try
        {
            await drop(before, stoppingToken);
        }
        catch (Exception e) when (!stoppingToken.IsCancellationRequested)
        {
            var level = Outage.LevelOf(e);
            LogDropFailed(level, e);
        }
    }

    [LoggerMessage("A round of waking webhooks failed; the next one goes on")]
    private partial void LogSweepFailed(LogLevel level, Exception exception);

    [LoggerMessage("Old attempts and dead letters of webhooks could not be dropped; the next round tries again")]
    private partial void LogDropFailed(LogLevel level, Exception exception);
}

using Grid.Server.Hosting;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Relay;

/// <summary>
/// Calls <see cref="RelayHub.SweepAsync"/> every few seconds, and sooner after the cluster has changed: that is when feeds are lost,
/// since grains move and the directory changes hands. It tells those who wait for the change, too.
/// </summary>
internal sealed partial class RelaySweeper(
    RelayHub hub, ISiloStatusOracle silos, Patience patience, TimeProvider time, ILogger<RelaySweeper> logger)
    : BackgroundService, ISiloStatusListener
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    /// <summary>How often, in ticks, when nothing happens.</summary>
    private const int Calm = 5;

    /// <summary>How often, in ticks, ephemeral channels are compared when nothing happens.</summary>
    private const int CalmOfGrains = 60;

    /// <summary>A channel that was quiet this long is compared, and one without subscribers retired.</summary>
    private const long QuietMs = 15_000;

    /// <summary>A channel that was quiet this long is compared after a change of the cluster.</summary>
    private const long QuietAfterChangeMs = 500;

    /// <summary>The ticks after a change at which all channels are compared: soon, and again for what came right late.</summary>
    private static readonly int[] AfterChange = [1, 3, 6, 10];

    private int _sinceChange = int.MaxValue;

    /// <inheritdoc/>
    void ISiloStatusListener.SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status is SiloStatus.Dead or SiloStatus.Active) Volatile.Write(ref _sinceChange, 0);
        if (status is SiloStatus.Dead) patience.OnClusterChanged();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Tick, time);
        silos.SubscribeToSiloStatusEvents(this);
        try
        {
            for (var tick = 1; await timer.WaitForNextTickAsync(stoppingToken); tick++)
            {
                var since = Volatile.Read(ref _sinceChange);
                if (since < int.MaxValue) since = Interlocked.Increment(ref _sinceChange);
                var changed = Array.IndexOf(AfterChange, since) >= 0;
                if (changed || tick % Calm == 0)
                    await SweepAsync(changed ? QuietAfterChangeMs : QuietMs, askGrains: changed || tick % CalmOfGrains == 0, stoppingToken);
            }
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

    private async Task SweepAsync(long quietMs, bool askGrains, CancellationToken stoppingToken)
    {
        try
        {
            await hub.SweepAsync(quietMs, QuietMs, askGrains);
        }
        catch (Exception e) when (!stoppingToken.IsCancellationRequested)
        {
            // The log or a grain is away for the moment; the next round looks again.
            LogSweepFailed(e);
        }
    }

    [LoggerMessage(LogLevel.Debug, "A round of position checks failed")]
    private partial void LogSweepFailed(Exception exception);
}

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Relay;

/// <summary>Calls <see cref="RelayHub.SweepAsync"/> every few seconds.</summary>
internal sealed partial class RelaySweeper(RelayHub hub, TimeProvider time, ILogger<RelaySweeper> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await hub.SweepAsync((long)(Interval * 3).TotalMilliseconds);
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    // The log or a grain is away for the moment; the next round looks again.
                    LogSweepFailed(e);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    [LoggerMessage(LogLevel.Debug, "A round of position checks failed")]
    private partial void LogSweepFailed(Exception exception);
}

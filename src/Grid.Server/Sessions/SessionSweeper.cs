using Grid.Abstractions;
using Grid.Server.Hosting;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Sessions;

/// <summary>Asks the grains of sessions that are due whether they are over, so that nothing of them stays behind.</summary>
internal sealed partial class SessionSweeper(
    ISessionIndex index, IGrainFactory grains, IOptions<GridOptions> options, TimeProvider time, ILogger<SessionSweeper> logger)
    : BackgroundService
{
    private const int BatchSize = 200;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Often enough that a short window is kept, rarely enough that a long one costs nothing.
        var interval = TimeSpan.FromSeconds(Math.Clamp(options.Value.ResumeWindow.TotalSeconds / 4, 1, 15));
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await SweepAsync(stoppingToken);
                }
                catch (Exception e) when (!stoppingToken.IsCancellationRequested)
                {
                    var level = Outage.LevelOf(e);
                    LogSweepFailed(level, e);
                }
            }
        }
        catch (Exception) when (stoppingToken.IsCancellationRequested)
        {
            // Whatever a round was cut off with.
        }
    }

    private async Task SweepAsync(CancellationToken stoppingToken)
    {
        var failed = 0;
        while (await index.DueAsync(time.GetUtcNow(), BatchSize, stoppingToken) is { Count: > 0 } due)
        {
            await Parallel.ForEachAsync(
                due,
                new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = stoppingToken },
                async (entry, _) =>
                {
                    try
                    {
                        await grains.GetGrain<ISessionGrain>($"{entry.Tenant}/{entry.Session}").ExpireIfDueAsync();
                    }
                    catch (Exception e)
                    {
                        // It stays due; the others are not held up by it.
                        Interlocked.Increment(ref failed);
                        var level = Outage.LevelOf(e);
                        LogSweepFailed(level, e);
                    }
                });
            if (due.Count < BatchSize || failed > 0) return;
        }
    }

    [LoggerMessage("A round of forgetting expired sessions failed; the next one goes on")]
    private partial void LogSweepFailed(LogLevel level, Exception exception);
}

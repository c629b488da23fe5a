using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Hosting;

/// <summary>
/// Ends the process when its silo may not go on: the others have declared it dead, since it was stopped, cut off or too slow for
/// longer than they wait. Its grains live elsewhere by then, and its clients are to go there. A supervisor starts it again.
/// </summary>
/// <remarks>Orleans' own handler does the same by crashing, which writes a stack trace, and a core dump where these are on.</remarks>
internal sealed partial class SiloEnd(ILogger<SiloEnd> logger) : IFatalErrorHandler
{
    /// <summary>The exit code: a failure that passes, start again (EX_TEMPFAIL of sysexits.h).</summary>
    public const int ExitCode = 75;

    /// <inheritdoc/>
    public bool IsUnexpected(Exception exception) => exception is not OperationCanceledException;

    /// <inheritdoc/>
    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        LogEnd(context, exception);
        Console.Error.WriteLine($"Grid ends: this silo can no longer be part of its cluster ({context}). Start it again.");
        Environment.Exit(ExitCode);
    }

    [LoggerMessage(LogLevel.Critical, "This silo can no longer be part of its cluster and ends: {Context}")]
    private partial void LogEnd(string? context, Exception? exception);
}

/// <summary>
/// Notices that the process did not run for a while (stopped, its machine suspended, starved) and asks the membership table at once
/// whether it still belongs to the cluster, instead of at the next regular look.
/// </summary>
internal sealed partial class PauseWatch(IClusterMembershipService membership, ILogger<PauseWatch> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    /// <summary>A pause this long may have been noticed by others.</summary>
    private static readonly TimeSpan Noticed = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // The clock of the machine: what is measured is whether this process gets to run.
        using var timer = new PeriodicTimer(Interval);
        var last = Environment.TickCount64;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                var now = Environment.TickCount64;
                var pause = TimeSpan.FromMilliseconds(now - last) - Interval;
                last = now;
                if (pause < Noticed) continue;
                LogPaused(pause);
                await RefreshAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task RefreshAsync(CancellationToken stoppingToken)
    {
        try
        {
            await membership.Refresh(cancellationToken: stoppingToken);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogRefreshFailed(e);
        }
    }

    [LoggerMessage(LogLevel.Warning, "This process did not run for {Pause}: asking whether it still belongs to the cluster")]
    private partial void LogPaused(TimeSpan pause);

    [LoggerMessage(LogLevel.Warning, "The membership table could not be read after a pause")]
    private partial void LogRefreshFailed(Exception exception);
}

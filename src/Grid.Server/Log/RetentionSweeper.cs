using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Log;

/// <summary>Applies the namespaces' limits every so often, in both logs of an embedded Grid.</summary>
internal sealed partial class RetentionSweeper(
    RocksDbMessageLog durable, MemoryMessageLog ephemeral, TimeProvider time, ILogger<RetentionSweeper> logger) : BackgroundService
{
    private readonly RocksDbRetention _retention = new(durable);
    private readonly SemaphoreSlim _one = new(1);

    /// <summary>How often. Default: 30 s. More often keeps closer to the limits at the price of looking.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Sweeps now.</summary>
    /// <exception cref="LogUnavailableException">The store is away; the next sweep goes on.</exception>
    public async Task<SweepResult> SweepAsync(CancellationToken cancellationToken = default)
    {
        await _one.WaitAsync(cancellationToken);
        try
        {
            ephemeral.Sweep();
            var result = await _retention.SweepAsync(cancellationToken);
            if (result != default) LogSwept(logger, result.Messages, result.Channels, result.Keys);
            return result;
        }
        finally
        {
            _one.Release();
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _one.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // The first look at all channels is not to delay the start of the host.
        await Task.Yield();
        using var timer = new PeriodicTimer(Interval, time);
        do
        {
            try
            {
                await SweepAsync(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // A sweep that failed is repeated by the next one; the loop goes on whatever it was.
                LogSweepFailed(logger, e);
            }
        }
        while (await NextAsync(timer, stoppingToken));
    }

    private static async Task<bool> NextAsync(PeriodicTimer timer, CancellationToken stoppingToken)
    {
        try
        {
            return await timer.WaitForNextTickAsync(stoppingToken);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Log;

/// <summary>What a sweep did.</summary>
/// <param name="Channels">Channels that were trimmed.</param>
/// <param name="Messages">Messages forgotten.</param>
/// <param name="Keys">Idempotency keys forgotten one by one; those that go with a partition are not counted.</param>
internal readonly record struct SweepResult(int Channels, long Messages, long Keys);

/// <summary>Applies the namespaces' limits to a durable log.</summary>
internal interface IRetention
{
    /// <summary>Does one sweep. Not called twice at once.</summary>
    /// <exception cref="LogUnavailableException">The store is away; the next sweep goes on.</exception>
    Task<SweepResult> SweepAsync(CancellationToken cancellationToken);
}

/// <summary>Applies the namespaces' limits every so often, in the durable log and in the one in memory.</summary>
internal sealed partial class RetentionSweeper(
    IRetention durable, MemoryMessageLog ephemeral, TimeProvider time, ILogger<RetentionSweeper> logger) : BackgroundService
{
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
            var result = await durable.SweepAsync(cancellationToken);
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

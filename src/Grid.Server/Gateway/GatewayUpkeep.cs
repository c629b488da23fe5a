using Grid.Server.Hosting;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.Server.Gateway;

/// <summary>
/// Looks after the open connections while the silo runs, and lets them go in an orderly way before it stops: the drain runs in
/// <see cref="StoppingAsync"/>, before the silo or the web server begin to stop, so publishes and checkpoints work to the end.
/// </summary>
internal sealed partial class GatewayUpkeep(
    ConnectionRegistry registry, IReadiness readiness, IOptions<GridOptions> options, TimeProvider time, ILogger<GatewayUpkeep> logger)
    : IHostedLifecycleService, IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a client has to leave by itself after its time to reconnect has come.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    /// <summary>A few connections need no long spreading: each has at most this many milliseconds of the span.</summary>
    private const double SmallestSlotMs = 20;

    private static readonly TimeSpan LastWait = TimeSpan.FromSeconds(5);
    private readonly CancellationTokenSource _stop = new();
    private Task _ticking = Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _ticking = TickAsync(_stop.Token);
        return Task.CompletedTask;
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>
    /// The drain: not ready any more; then no new sockets; goaways spread over the span, so that clients do not reconnect all at once; then closes; then the
    /// wait until every connection has written its last checkpoint.
    /// </summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        readiness.Draining = true;
        await Task.Delay(options.Value.DrainNotice, time, CancellationToken.None);
        var gone = registry.DrainAsync();
        var connections = registry.All.ToArray();
        if (connections.Length > 0) LogDraining(connections.Length, options.Value.DrainSpan);
        Random.Shared.Shuffle(connections);
        try
        {
            await Task.WhenAll(connections.Select((connection, i) => ReleaseAsync(connection, i, connections.Length, cancellationToken)));
            foreach (var late in registry.All) late.CloseForDrain();
            await gone.WaitAsync(LastWait, time, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogLeftBehind(registry.Count);
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        await _ticking;
    }

    public void Dispose() => _stop.Dispose();

    private async Task ReleaseAsync(IGatewayConnection connection, int index, int count, CancellationToken cancellationToken)
    {
        var span = TimeSpan.FromMilliseconds(Math.Min(options.Value.DrainSpan.TotalMilliseconds, SmallestSlotMs * count));
        var slot = span / count;
        await Task.Delay((slot * index) + (slot * Random.Shared.NextDouble() * 0.5), time, cancellationToken);
        var reconnectIn = TimeSpan.FromMilliseconds(Random.Shared.Next(50, 500));
        connection.GoAway(reconnectIn);
        await Task.Delay(reconnectIn + Grace, time, cancellationToken);
        connection.CloseForDrain();
    }

    private async Task TickAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
            {
                var now = Environment.TickCount64;
                foreach (var connection in registry.All)
                {
                    try
                    {
                        connection.Tick(now);
                    }
                    catch (Exception e)
                    {
                        LogTickFailed(e);
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    [LoggerMessage(LogLevel.Information, "Draining {Count} connections over {Span}")]
    private partial void LogDraining(int count, TimeSpan span);

    [LoggerMessage(LogLevel.Warning, "{Count} connections did not leave in time")]
    private partial void LogLeftBehind(int count);

    [LoggerMessage(LogLevel.Error, "A connection's upkeep failed")]
    private partial void LogTickFailed(Exception exception);
}

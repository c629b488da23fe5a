using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Sessions;

/// <summary>
/// Looks at Redis every second. When it may have lost state, the sessions of this silo's sockets are reported again, spread over
/// time: a session that is idle must be in Redis again before its silo dies. Also says once, not per session, that Redis is away.
/// </summary>
internal sealed partial class RedisLossWatch(
    RedisSessionLoss loss, RedisConnection redis, ConnectionRegistry registry, TimeProvider time, ILogger<RedisLossWatch> logger)
    : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private LossMarker? _seen;
    private string? _eviction;
    private int _returns;
    private bool _away;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do await LookAsync(stoppingToken);
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task LookAsync(CancellationToken stoppingToken)
    {
        try
        {
            var returns = redis.Returns;
            var marker = await loss.ReadAsync(stoppingToken);
            if (_away) LogBack();
            _away = false;

            // A Redis that does not tell its runs may have been restarted whenever it was away.
            var lost = marker.Id != _seen?.Id || (!marker.KnowsRun && returns != _returns);
            if (lost && _seen is not null)
            {
                var count = registry.ReportAgain();
                LogLost(count);
            }

            (_seen, _returns) = (marker, returns);
            var eviction = await loss.ReadEvictionAsync(stoppingToken);
            if (eviction is not null && eviction != _eviction) LogEvicts(eviction);
            _eviction = eviction;
        }
        catch (Exception e) when (Outage.Is(e) && !stoppingToken.IsCancellationRequested)
        {
            if (!_away) LogAway(e.GetBaseException().GetType().Name);
            _away = true;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogFailed(e);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Redis is out of reach ({Reason}): sessions cannot be taken up, subscribed or checkpointed until it is back. Messages go on.")]
    private partial void LogAway(string reason);

    [LoggerMessage(LogLevel.Information, "Redis is back")]
    private partial void LogBack();

    [LoggerMessage(LogLevel.Warning, "Redis was flushed, restarted or replaced: the sessions of {Count} sockets are reported again")]
    private partial void LogLost(int count);

    [LoggerMessage(LogLevel.Warning, "Redis drops keys when its memory is full (maxmemory-policy {Policy}): sessions would seem to have expired. Set maxmemory-policy noeviction.")]
    private partial void LogEvicts(string policy);

    [LoggerMessage(LogLevel.Error, "The watch on Redis had a fault; it goes on")]
    private partial void LogFailed(Exception exception);
}

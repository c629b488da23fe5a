using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Hosting;

/// <summary>
/// Whether this process may take traffic. Parts add a check under a name; the process is ready when all hold and it is not draining.
/// </summary>
public interface IReadiness
{
    /// <summary>Whether the process is leaving: <c>/readyz</c> says 503 from then on, so that load balancers look elsewhere.</summary>
    bool Draining { get; set; }

    /// <summary>
    /// Adds a check; one of the same name is replaced. It may be called at once from several threads, a few times a second. One that
    /// throws, or takes longer than 2 s, does not hold. The name is shown to anybody.
    /// </summary>
    void Add(string name, Func<CancellationToken, ValueTask<bool>> check);

    /// <summary>Runs the checks, or tells what they said less than half a second ago.</summary>
    ValueTask<ReadinessReport> CheckAsync();
}

/// <summary>What the checks said.</summary>
/// <param name="Ready">Whether the process may take traffic.</param>
/// <param name="Draining">Whether it is leaving.</param>
/// <param name="Checks">Whether each check holds, by name.</param>
public sealed record ReadinessReport(bool Ready, bool Draining, IReadOnlyDictionary<string, bool> Checks);

/// <inheritdoc cref="IReadiness"/>
internal sealed partial class Readiness(TimeProvider time, ILogger<Readiness> logger) : IReadiness
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Remembered = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentDictionary<string, Func<CancellationToken, ValueTask<bool>>> _checks = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private Task<IReadOnlyDictionary<string, bool>>? _last;
    private long _lastAt;
    private volatile bool _draining;

    /// <inheritdoc/>
    public bool Draining
    {
        get => _draining;
        set => _draining = value;
    }

    /// <inheritdoc/>
    public void Add(string name, Func<CancellationToken, ValueTask<bool>> check)
    {
        _checks[name] = check;
        lock (_lock) _last = null;
    }

    /// <inheritdoc/>
    public async ValueTask<ReadinessReport> CheckAsync()
    {
        Task<IReadOnlyDictionary<string, bool>> run;
        lock (_lock)
        {
            // Anybody may ask, and must not be able to keep the stores busy by it: one run at a time, remembered for a moment.
            if (_last is null || (_last.IsCompleted && time.GetElapsedTime(_lastAt) >= Remembered))
            {
                _last = Task.Run(RunAsync);
                _lastAt = time.GetTimestamp();
            }

            run = _last;
        }

        var checks = await run;
        var draining = Draining;
        return new ReadinessReport(!draining && checks.Values.All(ok => ok), draining, checks);
    }

    private async Task<IReadOnlyDictionary<string, bool>> RunAsync()
    {
        var runs = _checks.OrderBy(c => c.Key, StringComparer.Ordinal).Select(async c => (c.Key, Holds: await HoldsAsync(c.Key, c.Value)));
        return (await Task.WhenAll(runs)).ToDictionary(r => r.Key, r => r.Holds, StringComparer.Ordinal);
    }

    private async Task<bool> HoldsAsync(string name, Func<CancellationToken, ValueTask<bool>> check)
    {
        using var limit = new CancellationTokenSource(Limit, time);
        try
        {
            return await check(limit.Token).AsTask().WaitAsync(Limit, time);
        }
        catch (Exception e)
        {
            // Whatever went wrong, the answer is no; and the reason is for the log, not for whoever asked.
            LogFailed(e, name);
            return false;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The readiness check {Name} failed")]
    private partial void LogFailed(Exception exception, string name);
}

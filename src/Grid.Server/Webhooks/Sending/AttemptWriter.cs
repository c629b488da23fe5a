using Grid.Server.Hosting;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks.Sending;

/// <summary>
/// Writes attempts to the store, many at a time, and tells an attempt's outcome only then: what counts as delivered has its attempt in
/// the log. While the store is away, attempts wait; their subscriptions send no more than their windows allow meanwhile, and beyond
/// <see cref="MaxAnswers"/> attempts wait without what their endpoints answered.
/// </summary>
internal sealed partial class AttemptWriter(IWebhookStore store, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>The most characters of answers that wait to be written: every endpoint can answer 16 KiB each time.</summary>
    internal const int MaxAnswers = 16 * 1024 * 1024;

    private const int MaxBatch = 512;
    private const int FirstPauseMs = 100;
    private const int MaxPauseMs = 5_000;

    /// <summary>
    /// Between writes while many attempts end: what ends meanwhile shares the next write, and its outcomes come together. An attempt that
    /// ends alone is written at once.
    /// </summary>
    private const int GatherMs = 1;

    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private List<Entry> _waiting = [];
    private Task _writing = Task.CompletedTask;
    private int _answers;
    private bool _isWriting;

    /// <summary>Writes an attempt, then tells its outcome.</summary>
    public void Add(StoredAttempt attempt, Outcome outcome, SendJob job)
    {
        lock (_gate)
        {
            var length = attempt.Answer?.Length ?? 0;
            if (_answers + length > MaxAnswers) (attempt, length) = (attempt with { Answer = null, AnswerClipped = true }, 0);
            _answers += length;
            _waiting.Add(new Entry(attempt, outcome, job));
            if (_isWriting) return;
            _isWriting = true;
            _writing = Task.Run(WriteAllAsync);
        }
    }

    /// <summary>Waits until all is written, but no longer than a time; what is not by then counts as lost.</summary>
    public async Task EndAsync(TimeSpan limit)
    {
        Task writing;
        lock (_gate) writing = _writing;
        try
        {
            await writing.WaitAsync(limit, time);
        }
        catch (TimeoutException)
        {
            await _stop.CancelAsync();
            await writing;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stop.Dispose();

    private async Task WriteAllAsync()
    {
        var pause = FirstPauseMs;
        while (Take() is { } batch)
        {
            while (!await TryWriteAsync(batch))
            {
                if (_stop.IsCancellationRequested)
                {
                    foreach (var entry in batch) entry.Job.Tell(new Outcome(OutcomeKind.Lost));
                    break;
                }

                await Task.Delay(TimeSpan.FromMilliseconds(pause), time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = Math.Min(pause * 2, MaxPauseMs);
            }

            pause = FirstPauseMs;
            if (batch.Count > 1) await Task.Delay(GatherMs);
        }
    }

    private List<Entry>? Take()
    {
        lock (_gate)
        {
            if (_waiting.Count == 0)
            {
                _isWriting = false;
                return null;
            }

            var batch = _waiting;
            _waiting = [];
            if (batch.Count <= MaxBatch) return batch;
            _waiting.AddRange(batch.Skip(MaxBatch));
            batch.RemoveRange(MaxBatch, batch.Count - MaxBatch);
            return batch;
        }
    }

    private async Task<bool> TryWriteAsync(List<Entry> batch)
    {
        try
        {
            await store.AddAttemptsAsync(batch.ConvertAll(static e => e.Attempt), _stop.Token);
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogNotWritten(logger, level, batch.Count, e);
            return false;
        }

        lock (_gate) _answers -= batch.Sum(static e => e.Attempt.Answer?.Length ?? 0);
        foreach (var entry in batch) entry.Job.Tell(entry.Outcome);
        return true;
    }

    private readonly record struct Entry(StoredAttempt Attempt, Outcome Outcome, SendJob Job);

    [LoggerMessage("{Count} attempts of webhooks could not be written; trying again")]
    private static partial void LogNotWritten(ILogger logger, LogLevel level, int count, Exception exception);
}

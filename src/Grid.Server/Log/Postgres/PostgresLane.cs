using Grid.Abstractions;
using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Appends of a part of the channels, group after group on one connection. While a group is on its way the next ones gather, so the
/// longer a commit takes, the more appends share the next. A channel is in a group once; its later appends wait their turn.
/// </summary>
/// <remarks>
/// After a failure the group's outcome is unknown, and all that waits fails with it rather than one by one after a timeout each. Until
/// a write of a lane's own succeeds, appends are refused at once.
/// </remarks>
internal sealed partial class PostgresLane(PostgresDatabase database, PostgresAppender appender, LogMetrics? metrics, TimeProvider time, ILogger logger)
{
    /// <summary>The most of one group: it bounds the statement, and the time until its first append is answered.</summary>
    private const int MaxGroupAppends = 1_024;
    private const int MaxGroupBytes = 2 * 1024 * 1024;

    /// <summary>Past these, callers wait until their append is let in.</summary>
    private const long MaxQueuedBytes = 16 * 1024 * 1024;
    private const int MaxQueuedAppends = 50_000;

    private const int MaxRetries = 5;
    private static readonly TimeSpan FirstProbe = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestProbe = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Queue<PostgresAppend> _queue = [];
    private readonly Queue<WaitingAppend> _waiting = [];

    /// <summary>The last append of each channel that has one queued or on its way.</summary>
    private readonly Dictionary<ChannelId, PostgresAppend> _tails = [];
    private readonly List<PostgresAppend> _group = [];
    private readonly List<AppendResult> _answers = [];
    private int _queued;
    private long _queuedBytes;
    private bool _running;
    private bool _stopped;
    private string? _unavailable;

    /// <summary><see cref="PostgresDatabase.Clearings"/> when this lane last looked.</summary>
    private int _clearings;
    private Task _loop = Task.CompletedTask;

    /// <summary>Groups committed so far.</summary>
    public long Groups { get; private set; }

    /// <summary>Adds an append. Null: it is queued, and will be answered. Else <see cref="LetInAsync"/> must be awaited first.</summary>
    /// <exception cref="LogUnavailableException">The database is away, or the log is shutting down; nothing was stored.</exception>
    public WaitingAppend? Enqueue(PostgresAppend append)
    {
        lock (_gate)
        {
            ThrowIfUnavailable();
            if (IsFull || _waiting.Count > 0)
            {
                var waiting = new WaitingAppend(append);
                _waiting.Enqueue(waiting);
                return waiting;
            }

            Add(append);
            return null;
        }
    }

    /// <summary>Waits until an append is queued. When the wait is cancelled before, it is not made: <see cref="WaitingAppend.IsLetIn"/> tells.</summary>
    public async Task LetInAsync(WaitingAppend waiting, CancellationToken cancellationToken)
    {
        try
        {
            await waiting.LetIn.Task.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            lock (_gate) waiting.Withdrawn = !waiting.IsLetIn;
            throw;
        }
    }

    /// <summary>Ends after the group on its way; what waits fails.</summary>
    public async Task StopAsync()
    {
        Task loop;
        lock (_gate)
        {
            _stopped = true;
            loop = _loop;
        }

        await loop;
        FailQueued(new LogUnavailableException("The log is shutting down."));
        await appender.DisposeAsync();
    }

    private bool IsFull => _queuedBytes >= MaxQueuedBytes || _queued >= MaxQueuedAppends;

    private void ThrowIfUnavailable()
    {
        if (_stopped) throw new LogUnavailableException("The log is shutting down.");
        if (_unavailable is { } reason) throw new LogUnavailableException(reason);
    }

    /// <summary>Under the lock.</summary>
    private void Add(PostgresAppend append)
    {
        var channel = append.Request.Channel;
        if (_tails.TryGetValue(channel, out var tail)) tail.Next = append;
        else _queue.Enqueue(append);
        _tails[channel] = append;
        _queued++;
        _queuedBytes += append.Bytes;
        if (_running || _stopped) return;
        _running = true;
        _loop = Task.Run(RunAsync);
    }

    private async Task RunAsync()
    {
        while (Take())
        {
            // Between groups nothing is on its way: what another user of the database found out costs no append its answer.
            if (_clearings != database.Clearings)
            {
                _clearings = database.Clearings;
                await DropConnectionAsync();
            }

            var failure = await WriteAsync(_group);
            if (failure is null) continue;
            LogFailed(logger, failure.Message, failure.InnerException ?? failure);
            FailQueued(failure);
            await HealAsync();
            database.NoteRefusing(-1);
        }
    }

    /// <summary>Takes the next group. False when there is none, and the loop is over.</summary>
    private bool Take()
    {
        lock (_gate)
        {
            _group.Clear();
            long bytes = 0;
            while (!_stopped && _group.Count < MaxGroupAppends && bytes < MaxGroupBytes && _queue.TryDequeue(out var append))
            {
                _group.Add(append);
                bytes += append.Bytes;
                _queued--;
                _queuedBytes -= append.Bytes;
            }

            LetIn();
            _running = _group.Count > 0;
            return _running;
        }
    }

    /// <summary>Under the lock.</summary>
    private void LetIn()
    {
        while (!IsFull && _waiting.TryDequeue(out var waiting))
        {
            if (waiting.Withdrawn) continue;
            Add(waiting.Append);
            waiting.LetIn.TrySetResult();
        }
    }

    /// <summary>Writes a group and answers it. Returns why the database is away, when it is; the group has been failed then.</summary>
    private async Task<LogUnavailableException?> WriteAsync(List<PostgresAppend> group)
    {
        var started = time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await appender.AppendAsync(group, _answers, time.GetUtcNow().ToUnixTimeMilliseconds());
                Groups++;
                Measure(group, started);
                Answer(group);
                return null;
            }
            catch (Exception e) when (attempt <= MaxRetries && PostgresErrors.IsRetryable(e))
            {
                LogRetry(logger, PostgresErrors.Explain(e));
            }
            catch (Exception e) when (attempt <= MaxRetries && PostgresErrors.IsMissingPartition(e))
            {
                try
                {
                    await appender.MakePartitionsAsync();
                }
                catch (Exception inner)
                {
                    return await FailAsync(group, inner);
                }
            }
            catch (Exception e) when (PostgresErrors.IsRefusal(e))
            {
                // Nothing of the group is stored. One append must not fail the others: each by itself.
                if (group.Count > 1) return await WriteSinglyAsync([.. group]);
                var refused = new ArgumentException($"The append cannot be stored. {PostgresErrors.Explain(e)}", e);
                Finish(group);
                group[0].Fail(refused);
                return null;
            }
            catch (Exception e)
            {
                metrics?.Group(0, group.Count, time.GetElapsedTime(started), stored: false);
                return await FailAsync(group, e);
            }
        }
    }

    /// <summary>Before the answers: an append that has its answer may be in use again.</summary>
    private void Measure(List<PostgresAppend> group, long started)
    {
        if (metrics is null) return;
        var (messages, appends) = (0, 0);
        for (var i = 0; i < group.Count; i++)
        {
            if (_answers[i].Status != AppendStatus.Appended) continue;
            messages += group[i].Request.Messages.Count;
            appends++;
        }

        metrics.Group(messages, appends, time.GetElapsedTime(started), stored: true);
    }

    private async Task<LogUnavailableException?> WriteSinglyAsync(List<PostgresAppend> group)
    {
        for (var i = 0; i < group.Count; i++)
        {
            if (await WriteAsync([group[i]]) is not { } failure) continue;
            var rest = group[(i + 1)..];
            Finish(rest);
            foreach (var append in rest) append.Fail(failure);
            return failure;
        }

        return null;
    }

    private void Answer(List<PostgresAppend> group)
    {
        Finish(group);
        for (var i = 0; i < group.Count; i++) group[i].Answer(_answers[i]);
    }

    private async Task<LogUnavailableException> FailAsync(List<PostgresAppend> group, Exception cause)
    {
        database.NoteFailure(cause);
        await DropConnectionAsync();
        var failure = PostgresDatabase.Unavailable(cause);

        // Before anybody hears of it: whoever tries again at once is refused at once, and /readyz says so.
        lock (_gate) _unavailable = failure.Message;
        database.NoteRefusing(+1);
        Finish(group);
        foreach (var append in group) append.Fail(failure);
        return failure;
    }

    private async Task DropConnectionAsync()
    {
        try
        {
            await appender.DisposeAsync();
        }
        catch (Exception e)
        {
            // It was broken; it is gone either way. Whatever its client threw, the group waits for its answer.
            LogDropped(logger, e);
        }
    }

    /// <summary>The channels of a group are free again: their next appends move up.</summary>
    private void Finish(List<PostgresAppend> group)
    {
        lock (_gate)
        {
            foreach (var append in group)
            {
                if (append.Next is { } next) _queue.Enqueue(next);
                else _tails.Remove(append.Request.Channel);
            }
        }
    }

    /// <summary>Fails all that is queued or waits to be; when nothing more is taken in.</summary>
    private void FailQueued(LogUnavailableException reason)
    {
        List<PostgresAppend> failed = [];
        lock (_gate)
        {
            foreach (var first in _queue)
            {
                for (var append = first; append is not null; append = append.Next) failed.Add(append);
            }

            _queue.Clear();
            _tails.Clear();
            (_queued, _queuedBytes) = (0, 0);
            while (_waiting.TryDequeue(out var waiting))
            {
                if (!waiting.Withdrawn) waiting.LetIn.TrySetException(reason);
            }
        }

        foreach (var append in failed) append.Fail(reason);
    }

    /// <summary>Waits until the database takes writes again.</summary>
    private async Task HealAsync()
    {
        for (var wait = FirstProbe; ; wait = wait * 2 < LongestProbe ? wait * 2 : LongestProbe)
        {
            try
            {
                if (await database.TryWriteAsync(CancellationToken.None)) break;
            }
            catch (Exception e)
            {
                // Of any type (a certificate that is being replaced, say): the lane must not end.
                database.NoteFailure(e);
                lock (_gate) _unavailable = PostgresErrors.IsOfDatabase(e) ? PostgresErrors.Explain(e) : $"PostgreSQL: {e.GetType().Name}";
            }

            lock (_gate)
            {
                if (_stopped) return;
            }

            await Task.Delay(wait);
        }

        lock (_gate) _unavailable = null;
        LogHealed(logger);
    }

    [LoggerMessage(1, LogLevel.Warning, "Appends fail: {Reason}")]
    private static partial void LogFailed(ILogger logger, string reason, Exception cause);

    [LoggerMessage(2, LogLevel.Information, "PostgreSQL takes appends again.")]
    private static partial void LogHealed(ILogger logger);

    [LoggerMessage(3, LogLevel.Debug, "A group of appends is tried again. {Reason}")]
    private static partial void LogRetry(ILogger logger, string reason);

    [LoggerMessage(4, LogLevel.Debug, "A connection that appends could not be closed in order.")]
    private static partial void LogDropped(ILogger logger, Exception exception);
}

/// <summary>An append that waits for room in the queue.</summary>
internal sealed class WaitingAppend(PostgresAppend append)
{
    /// <summary>The append.</summary>
    public PostgresAppend Append { get; } = append;

    /// <summary>Ends when it is queued.</summary>
    public TaskCompletionSource LetIn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whether it was queued. Once <see cref="PostgresLane.LetInAsync"/> has ended, this does not change.</summary>
    public bool IsLetIn => LetIn.Task.IsCompletedSuccessfully;

    /// <summary>Its caller does not want it any more.</summary>
    public bool Withdrawn { get; set; }
}

using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// Everything that changes the embedded store goes through this one loop.
/// </summary>
/// <remarks>
/// <para>1. Callers enqueue jobs. 2. The loop takes all that are there and lets each prepare its rows. 3. One write, synced if any
/// job asks for it, stores the rows of all. 4. The jobs' callers go on. Meanwhile the next jobs gather: the longer a sync takes, the
/// more appends share the next one.</para>
/// <para>When a write fails, every job of the group has an unknown outcome, what was remembered of the database is forgotten, and
/// jobs are refused until the database could be opened again. Readers go on with the old opening while the cause (a full disk)
/// lasts.</para>
/// </remarks>
internal sealed partial class StoreWriter
{
    /// <summary>A group is not grown past this: it bounds memory and the time until its first job is answered.</summary>
    private const int MaxGroupBytes = 4 * 1024 * 1024;

    /// <summary>Past these, callers wait until their job is let in.</summary>
    private const long MaxQueuedBytes = 32 * 1024 * 1024;
    private const int MaxQueuedJobs = 100_000;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(2);

    /// <summary>Guards the queue; the writer waits on it.</summary>
    private readonly object _gate = new();
    private readonly RocksDbStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly StoreFaults? _faults;
    private readonly WriteOptions _synced = new WriteOptions().SetSync(true);
    private readonly WriteOptions _unsynced = new WriteOptions().SetSync(false);
    private readonly WriteGroup _group = new();
    private readonly Thread _thread;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Jobs that found the queue full, in the order in which they came.</summary>
    private readonly Queue<WaitingJob> _waiting = [];

    private List<StoreJob> _queue = [];
    private long _queuedBytes;
    private bool _writerWaits;
    private bool _stopped;
    private string? _unavailable;

    public StoreWriter(RocksDbStore store, TimeProvider time, ILogger logger, StoreFaults? faults)
    {
        _store = store;
        _time = time;
        _logger = logger;
        _faults = faults;
        _thread = new Thread(Run) { IsBackground = true, Name = "grid-store-writer" };
    }

    /// <summary>Called on the writer's thread after a failed write: whatever is remembered of the database may be wrong.</summary>
    public Action? Forget { get; set; }

    /// <summary>What is counted of groups with appends; null: nothing.</summary>
    public LogMetrics? Metrics { get; set; }

    /// <summary>Groups begun so far.</summary>
    public long Groups => _group.Number;

    /// <summary>Whether jobs are taken: false while the database cannot be written, and after the end.</summary>
    public bool IsAvailable
    {
        get { lock (_gate) return !_stopped && _unavailable is null; }
    }

    /// <summary>Starts the loop.</summary>
    public void Start() => _thread.Start();

    /// <summary>Adds a job. Null: it is queued, and will succeed or fail. Else it must be waited for with <see cref="LetInAsync"/>.</summary>
    /// <exception cref="LogUnavailableException">The store is away or shutting down; nothing was done.</exception>
    public WaitingJob? Enqueue(StoreJob job)
    {
        lock (_gate)
        {
            if (_stopped) throw ShuttingDown();
            if (_unavailable is not null) throw new LogUnavailableException(_unavailable);
            if (IsFull || _waiting.Count > 0)
            {
                var waiting = new WaitingJob(job);
                _waiting.Enqueue(waiting);
                return waiting;
            }

            Add(job);
            if (!_writerWaits) return null;
            _writerWaits = false;
            Monitor.Pulse(_gate);
            return null;
        }
    }

    /// <summary>Waits until a job is queued. When the wait is cancelled before, the job is not done.</summary>
    public async Task LetInAsync(WaitingJob waiting, CancellationToken cancellationToken)
    {
        try
        {
            await waiting.LetIn.Task.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            lock (_gate) waiting.Withdrawn = true;
            throw;
        }
    }

    /// <summary>Enqueues a job and waits for its outcome.</summary>
    public async Task<T> RunAsync<T>(StoreJob<T> job, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (Enqueue(job) is { } waiting) await LetInAsync(waiting, cancellationToken);
        return await job.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Ends the loop after the write under way. Jobs that still wait fail.</summary>
    public Task StopAsync()
    {
        lock (_gate)
        {
            _stopped = true;
            Monitor.Pulse(_gate);
        }

        return _ended.Task;
    }

    private static LogUnavailableException ShuttingDown() => new("The store is shutting down.");

    private bool IsFull => _queuedBytes >= MaxQueuedBytes || _queue.Count >= MaxQueuedJobs;

    private void Add(StoreJob job)
    {
        _queue.Add(job);
        _queuedBytes += job.Bytes;
    }

    private void Run()
    {
        var jobs = new List<StoreJob>();
        try
        {
            while (Take(ref jobs))
            {
                for (var next = 0; next < jobs.Count;) next = WriteGroup(jobs, next);
                jobs.Clear();
            }

            FailQueued(ShuttingDown());
        }
        finally
        {
            _ended.TrySetResult();
        }
    }

    /// <summary>Waits for jobs and takes all of them. False when the loop is to end.</summary>
    private bool Take(ref List<StoreJob> jobs)
    {
        lock (_gate)
        {
            while (!_stopped && _queue.Count == 0)
            {
                _writerWaits = true;
                Monitor.Wait(_gate);
            }

            _writerWaits = false;
            if (_stopped) return false;
            jobs = TakeQueue(jobs);
            return true;
        }
    }

    /// <summary>Swaps the queue with an empty list, and lets in what waits. Under the lock.</summary>
    private List<StoreJob> TakeQueue(List<StoreJob> empty)
    {
        var taken = _queue;
        empty.Clear();
        _queue = empty;
        _queuedBytes = 0;
        while (!IsFull && _waiting.TryDequeue(out var waiting))
        {
            if (waiting.Withdrawn) continue;
            Add(waiting.Job);
            waiting.LetIn.TrySetResult();
        }

        return taken;
    }

    /// <summary>Writes as many jobs as fit one group, and answers them; returns the index of the first that is left.</summary>
    private int WriteGroup(List<StoreJob> jobs, int first)
    {
        var end = first;
        var writing = false;
        var started = _time.GetTimestamp();
        try
        {
            var synced = false;
            var database = _store.Current;
            _group.Start(database, _time.GetUtcNow().ToUnixTimeMilliseconds());
            for (; end < jobs.Count && _group.Rows.Length < MaxGroupBytes; end++)
            {
                var job = jobs[end];
                if (!job.Prepare(_group)) break;
                synced |= job.Synced;
            }

            if (end == first) throw new InvalidOperationException("A job refused to be the first of its group.");
            _group.Expiring.Write(_group);
            writing = true;
            if (_group.Rows.Count > 0) Write(database.Db, synced);
        }
        catch (Exception e)
        {
            Metrics?.Group(_group.Messages, _group.Appends, _time.GetElapsedTime(started), stored: false);

            // Whatever it was, memory may now say something that the database does not: fail all, forget all.
            Break(jobs, first, e, reopen: writing);
            return jobs.Count;
        }

        Metrics?.Group(_group.Messages, _group.Appends, _time.GetElapsedTime(started), stored: true);
        Answer(jobs, first, end);
        return end;
    }

    private static void Answer(List<StoreJob> jobs, int first, int end)
    {
        var answers = new Answers();
        for (var i = first; i < end; i++)
        {
            jobs[i].Commit();
            answers.Add(jobs[i]);
            if (!answers.IsFull && i < end - 1) continue;
            ThreadPool.UnsafeQueueUserWorkItem(answers, preferLocal: false);
            answers = new Answers();
        }
    }

    private void Write(RocksDb db, bool synced)
    {
        _faults?.BeforeWrite?.Invoke();
        using var batch = WriteBatch.FromSpan(_group.Rows.Written);
        db.Write(batch, synced ? _synced : _unsynced);
        _faults?.AfterWrite?.Invoke();
    }

    private void Break(List<StoreJob> jobs, int first, Exception cause, bool reopen)
    {
        var reason = RocksDbStore.Explain(cause);
        LogWriteFailed(_logger, reason, cause);
        if (reopen)
        {
            lock (_gate) _unavailable = reason;
        }

        // Forgotten before anyone is told, so that who reads next sees what is stored.
        Forget?.Invoke();
        FailAll(jobs, first, new LogUnavailableException(reason, cause));
        if (reopen) Heal(reason);
    }

    private static void FailAll(List<StoreJob> jobs, int first, LogUnavailableException reason)
    {
        for (var i = first; i < jobs.Count; i++) jobs[i].Fail(reason);
    }

    /// <summary>Fails all that is queued or waits to be, when nothing more is taken in.</summary>
    private void FailQueued(LogUnavailableException reason)
    {
        List<StoreJob> queued = [];
        do
        {
            lock (_gate) queued = TakeQueue([]);
            FailAll(queued, 0, reason);
        }
        while (queued.Count > 0);
    }

    /// <summary>
    /// Opens the database anew once it can be written again: RocksDB refuses writes after a failed one, and whether the failed
    /// one is in its log is only known after replaying it.
    /// </summary>
    private void Heal(string reason)
    {
        var retry = FirstRetry;
        while (true)
        {
            FailQueued(new LogUnavailableException(reason));
            lock (_gate)
            {
                // Nothing is queued meanwhile, so only a stop wakes it early.
                if (!_stopped) Monitor.Wait(_gate, retry);
                if (_stopped) return;
            }

            try
            {
                _faults?.BeforeReopen?.Invoke();
                _store.Reopen();
                break;
            }
            catch (Exception e)
            {
                reason = RocksDbStore.Explain(e);
                lock (_gate) _unavailable = reason;
                LogStillUnavailable(_logger, reason);
                retry = retry * 2 < LongestRetry ? retry * 2 : LongestRetry;
            }
        }

        lock (_gate) _unavailable = null;
        LogHealed(_logger);
        _faults?.Healed?.Invoke();
    }
}

/// <summary>A job that waits for room in the queue.</summary>
internal sealed class WaitingJob(StoreJob job)
{
    /// <summary>The job.</summary>
    public StoreJob Job { get; } = job;

    /// <summary>Ends when it is queued.</summary>
    public TaskCompletionSource LetIn { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Its caller does not want it any more.</summary>
    public bool Withdrawn { get; set; }
}

/// <summary>Places where tests make the store fail. A hook that throws is a failure there.</summary>
internal sealed class StoreFaults
{
    /// <summary>Before a group is written: it is not stored.</summary>
    public Action? BeforeWrite { get; set; }

    /// <summary>After a group was written and synced, before anyone is told: it is stored, and its callers do not know.</summary>
    public Action? AfterWrite { get; set; }

    /// <summary>Before the database is opened again: it cannot be, yet.</summary>
    public Action? BeforeReopen { get; set; }

    /// <summary>When writes are taken again after a failed one.</summary>
    public Action? Healed { get; set; }
}

namespace Grid.Server.Log;

/// <summary>
/// One change to the embedded store. Jobs run one after the other on the writer's thread, many to one write; so a job may read,
/// decide and write without a lock, and sees what the jobs before it decided.
/// </summary>
internal abstract class StoreJob
{
    /// <summary>About how many bytes it adds to the write.</summary>
    public virtual int Bytes => 256;

    /// <summary>Whether it is finished only when its bytes have been synced to the device.</summary>
    public virtual bool Synced => true;

    /// <summary>
    /// Decides, and adds rows to the group. Returns false when it must see what the group has already taken up as stored: it is then
    /// called again as the first of the next group. May change the writer's own view of things only once it cannot fail any more.
    /// </summary>
    public abstract bool Prepare(WriteGroup group);

    /// <summary>
    /// The group is written (and synced, if any job of it asks for that). Called on the writer's thread, before anyone is answered:
    /// for what readers are to see from now on.
    /// </summary>
    public virtual void Commit()
    {
    }

    /// <summary>Answers the caller of a job whose group is written. Called on the thread pool.</summary>
    public abstract void Answer();

    /// <summary>The group failed; whether its rows are stored is unknown.</summary>
    public abstract void Fail(Exception reason);
}

/// <summary>Jobs of a written group, to be answered on the thread pool: the writer has better things to do than to wake callers.</summary>
internal sealed class Answers : IThreadPoolWorkItem
{
    /// <summary>The most jobs in one: several cores can share a large group.</summary>
    public const int MaxJobs = 128;

    private readonly List<StoreJob> _jobs = new(MaxJobs);

    /// <summary>Whether no more jobs fit.</summary>
    public bool IsFull => _jobs.Count == MaxJobs;

    /// <summary>Adds a job.</summary>
    public void Add(StoreJob job) => _jobs.Add(job);

    /// <inheritdoc/>
    public void Execute()
    {
        foreach (var job in _jobs) job.Answer();
    }
}

/// <summary>A job whose outcome is awaited as a task. For what is not done a hundred thousand times a second.</summary>
internal abstract class StoreJob<T> : StoreJob
{
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when the job has.</summary>
    public Task<T> Task => _done.Task;

    /// <summary>The outcome, set by <see cref="StoreJob.Prepare"/>.</summary>
    protected T Result { get; set; } = default!;

    /// <inheritdoc/>
    public override void Answer() => _done.TrySetResult(Result);

    /// <inheritdoc/>
    public override void Fail(Exception reason) => _done.TrySetException(reason);
}

/// <summary>What jobs on their way into one write share.</summary>
internal sealed class WriteGroup
{
    private readonly HashSet<string> _touched = new(StringComparer.Ordinal);

    /// <summary>The rows.</summary>
    public BatchBuffer Rows { get; } = new();

    /// <summary>The database, valid while jobs prepare.</summary>
    public OpenDatabase Database { get; private set; } = null!;

    /// <summary>Rises by one per group.</summary>
    public long Number { get; private set; }

    /// <summary>The time for all jobs of the group, in Unix milliseconds.</summary>
    public long Now { get; private set; }

    /// <summary>Keys that the group stores, by expiry.</summary>
    public ExpiringKeys Expiring { get; } = new();

    /// <summary>Appends that store something.</summary>
    public int Appends { get; private set; }

    /// <summary>Their messages.</summary>
    public int Messages { get; private set; }

    /// <summary>Starts a group.</summary>
    public void Start(OpenDatabase database, long now)
    {
        Database = database;
        Now = now;
        Number++;
        Appends = Messages = 0;
        Rows.Reset();
        Expiring.Clear();
        _touched.Clear();
    }

    /// <summary>Notes an append whose rows were added.</summary>
    public void Count(int messages)
    {
        Appends++;
        Messages += messages;
    }

    /// <summary>Notes that a row that others read before they write is being changed; false if a job of this group did so already.</summary>
    public bool TryTouch(string row) => _touched.Add(row);
}

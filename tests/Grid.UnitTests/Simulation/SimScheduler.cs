namespace Grid.UnitTests.Simulation;

/// <summary>A promise was broken, or a schedule does not come to rest.</summary>
public sealed class SimulationException(string message) : Exception(message);

/// <summary>
/// Virtual time and one seeded source of chance. Whatever runs in a schedule runs here, one step at a time: continuations of awaits in
/// a random order, and what was planned for later when everything before it has run.
/// </summary>
internal sealed class SimScheduler(int seed, int maxSteps)
{
    private readonly List<(SimNode Node, SendOrPostCallback Run, object? State)> _ready = [];
    private readonly PriorityQueue<(SimNode Node, Action Run), (long At, long Order)> _later = new();
    private long _order;
    private string? _failure;

    /// <summary>All chance of a schedule.</summary>
    public Random Chance { get; } = new(seed);

    /// <summary>Virtual microseconds since the start.</summary>
    public long Now { get; private set; }

    /// <summary>How many steps have run.</summary>
    public int Steps { get; private set; }

    /// <summary>How likely a continuation waits for its thread a little, so that something else happens first.</summary>
    public double Stutter { get; set; } = 0.2;

    /// <summary>Whether the lines of <see cref="Trace"/> are wanted.</summary>
    public bool Tracing { get; init; }

    /// <summary>What happened, if wanted.</summary>
    public List<string> Lines { get; } = [];

    public bool Happens(double probability) => probability > 0 && Chance.NextDouble() < probability;

    /// <summary>A time between two numbers of microseconds, smaller ones more likely.</summary>
    public long Span(long from, long to)
    {
        var x = Chance.NextDouble();
        return from + (long)((to - from) * x * x);
    }

    public void Trace(string who, string what)
    {
        if (Tracing) Lines.Add(FormattableString.Invariant($"{Now / 1000.0,10:0.000} {who,-8} {what}"));
    }

    /// <summary>A promise was broken: the schedule ends after this step, whoever catches what.</summary>
    public void Fail(string message)
    {
        _failure ??= message;
        Trace("JUDGE", message);
    }

    /// <summary>Runs something on a node later, if the node still lives then.</summary>
    public void In(long delay, SimNode node, Action run) => _later.Enqueue((node, run), (Now + Math.Max(0, delay), _order++));

    public void Ready(SimNode node, SendOrPostCallback run, object? state)
    {
        if (Happens(Stutter)) In(Span(1, Happens(0.02) ? 300_000 : 3_000), node, () => run(state));
        else _ready.Add((node, run, state));
    }

    /// <summary>Runs all that happens up to a time.</summary>
    public void RunUntil(long until)
    {
        var outer = SynchronizationContext.Current;
        try
        {
            while (true)
            {
                if (_ready.Count > 0)
                {
                    var pick = Chance.Next(_ready.Count);
                    var (node, run, state) = _ready[pick];
                    _ready.RemoveAt(pick);
                    Step(node, () => run(state));
                }
                else if (_later.TryPeek(out var next, out var when) && when.At <= until)
                {
                    _later.Dequeue();
                    Now = when.At;
                    Step(next.Node, next.Run);
                }
                else
                {
                    Now = until;
                    return;
                }
            }
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(outer);
        }
    }

    private void Step(SimNode node, Action run)
    {
        if (!node.Alive) return;
        if (++Steps > maxSteps) throw new SimulationException($"The schedule does not come to rest: {maxSteps} steps.");
        SynchronizationContext.SetSynchronizationContext(node);
        run();
        if (_failure is not null) throw new SimulationException(_failure);
    }
}

/// <summary>
/// A process: continuations of what it awaits run only while it lives. A silo that crashes leaves every one of its methods where it
/// stands.
/// </summary>
internal class SimNode(SimScheduler scheduler, string name) : SynchronizationContext
{
    public SimScheduler Scheduler => scheduler;

    public string Name => name;

    public bool Alive { get; protected set; } = true;

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (Alive) scheduler.Ready(this, d, state);
    }

    public override void Send(SendOrPostCallback d, object? state) => throw new NotSupportedException();

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>Runs an asynchronous method on this node.</summary>
    public void Run(Func<Task> work) => Post(static s => _ = ((Func<Task>)s!)(), work);

    /// <summary>Waits on this node.</summary>
    public Task Delay(long micros)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        scheduler.In(micros, this, done.SetResult);
        return done.Task;
    }

    public void Trace(string what) => scheduler.Trace(name, what);
}

/// <summary>A node's clock: its timers fire on it, and its wall clock is not quite the others'.</summary>
internal sealed class SimTime(SimNode node, int skewMs, int jitterMs) : TimeProvider
{
    public static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => node.Scheduler.Now;

    public override DateTimeOffset GetUtcNow() =>
        Start.AddTicks(node.Scheduler.Now * 10).AddMilliseconds(skewMs + (jitterMs > 0 ? node.Scheduler.Chance.Next(-jitterMs, jitterMs) : 0));

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new Timer(node, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class Timer(SimNode node, TimerCallback callback, object? state) : ITimer
    {
        private int _version;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            var version = ++_version;
            if (period != Timeout.InfiniteTimeSpan && period != TimeSpan.Zero) throw new NotSupportedException();
            if (dueTime == Timeout.InfiniteTimeSpan) return true;
            node.Scheduler.In((long)dueTime.TotalMicroseconds, node, () =>
            {
                if (version == _version) callback(state);
            });
            return true;
        }

        public void Dispose() => _version++;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}

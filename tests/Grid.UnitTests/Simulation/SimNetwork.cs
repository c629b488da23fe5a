namespace Grid.UnitTests.Simulation;

/// <summary>How bad the world is in one schedule. All of it ends when the schedule's faults end.</summary>
internal sealed class SimFaults
{
    public double LoseCall { get; set; }

    public double LoseAnswer { get; set; }

    public double RepeatCall { get; set; }

    public double SlowCall { get; set; }

    public double StoreFails { get; set; }

    public double LogFails { get; set; }

    public double Split { get; set; }

    public void End() => LoseCall = LoseAnswer = RepeatCall = SlowCall = StoreFails = LogFails = Split = 0;
}

/// <summary>Calls between nodes: delayed, reordered, lost, repeated, answered or not.</summary>
internal sealed class SimNetwork(SimScheduler scheduler, SimFaults faults)
{
    /// <summary>How long a caller waits for an answer.</summary>
    public const long Timeout = 2_000_000;

    /// <summary>Calls something on another node.</summary>
    /// <param name="from">The caller.</param>
    /// <param name="to">Where it runs.</param>
    /// <param name="what">For the trace.</param>
    /// <param name="mayRepeat">Whether the network may repeat it.</param>
    /// <param name="body">What runs there.</param>
    public Task<T> CallAsync<T>(SimNode from, SimNode to, string what, bool mayRepeat, Func<Task<T>> body)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var sent = scheduler.Now;
        scheduler.In(Timeout, from, () => done.TrySetException(new TimeoutException(what)));
        var local = ReferenceEquals(from, to);
        var copies = !local && scheduler.Happens(faults.LoseCall) ? 0 : mayRepeat && scheduler.Happens(faults.RepeatCall) ? 2 : 1;
        if (copies != 1) from.Trace($"{what} {(copies == 0 ? "is lost" : "is repeated")}");
        for (; copies > 0; copies--)
        {
            var delay = Delay(local);
            if (!to.Alive) scheduler.In(delay, from, () => done.TrySetException(new SiloUnavailableException(what)));
            else scheduler.In(delay, to, () => _ = ServeAsync());
        }

        return done.Task;

        async Task ServeAsync()
        {
            // What its caller gave up is not begun any more.
            if (scheduler.Now > sent + Timeout) return;
            try
            {
                var result = await body();
                Answer(() => done.TrySetResult(result));
            }
            catch (Exception e)
            {
                Answer(() => done.TrySetException(e));
            }
        }

        void Answer(Action answer)
        {
            if (!local && scheduler.Happens(faults.LoseAnswer)) to.Trace($"the answer to {what} is lost");
            else scheduler.In(Delay(local), from, answer);
        }
    }

    /// <summary>How long a message travels.</summary>
    public long Delay(bool local = false) =>
        scheduler.Happens(faults.SlowCall) ? scheduler.Span(1_000, 2_500_000) : local ? scheduler.Span(0, 50) : scheduler.Span(50, 4_000);
}

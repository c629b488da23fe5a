namespace Grid.Server.Channels;

/// <summary>
/// The publishes that were begun on this silo and whose callers have no answer yet. Lets somebody wait until all that were begun before a
/// moment are over, without waiting for those that come after it.
/// </summary>
/// <remarks>A publish costs two interlocked steps. A wait closes the phase in which publishes are counted, and opens the next.</remarks>
internal sealed class PublishesUnderWay
{
    private readonly Lock _gate = new();
    private Phase _phase = new();

    /// <summary>A publish begins. To be called before anything of it is sent to the channel.</summary>
    /// <returns>To be disposed of when its caller has the answer.</returns>
    public Publish Begin()
    {
        while (true)
        {
            // One that was closed meanwhile is not the current one any more.
            var phase = Volatile.Read(ref _phase);
            if (phase.TryEnter()) return new Publish(phase);
        }
    }

    /// <summary>Waits for the publishes that have begun by now.</summary>
    public Task WaitAsync()
    {
        lock (_gate)
        {
            var closed = _phase;
            var next = new Phase();
            Volatile.Write(ref _phase, next);
            closed.Leave();
            return next.Before = closed.AllOver();
        }
    }

    /// <summary>A publish whose caller has no answer yet.</summary>
    public readonly struct Publish : IDisposable
    {
        private readonly Phase _phase;

        internal Publish(Phase phase) => _phase = phase;

        /// <summary>Its caller has the answer.</summary>
        public void Dispose() => _phase.Leave();
    }

    /// <summary>Counts publishes between two waits.</summary>
    internal sealed class Phase
    {
        private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>One more than there are publishes, until the phase is closed; 0: it is over, and nobody enters it any more.</summary>
        private int _count = 1;

        /// <summary>Ends when the phases before it are over.</summary>
        public Task Before { get; set; } = Task.CompletedTask;

        /// <summary>Ends when this phase and those before it are over.</summary>
        public Task AllOver() => Before.IsCompleted ? _over.Task : Task.WhenAll(Before, _over.Task);

        /// <summary>Counts a publish; false: the phase is over.</summary>
        public bool TryEnter()
        {
            for (var count = Volatile.Read(ref _count); count > 0;)
            {
                var seen = Interlocked.CompareExchange(ref _count, count + 1, count);
                if (seen == count) return true;
                count = seen;
            }

            return false;
        }

        /// <summary>A publish, or the phase itself, ends.</summary>
        public void Leave()
        {
            if (Interlocked.Decrement(ref _count) == 0) _over.SetResult();
        }
    }
}

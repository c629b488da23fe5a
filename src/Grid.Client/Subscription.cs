using Grid.Protocol;

namespace Grid.Client;

/// <summary>
/// One channel, followed through every reconnect: each message reaches the handler once, in order, and is acknowledged when the
/// handler has finished.
/// </summary>
public sealed class Subscription
{
    private readonly GridClient _client;
    private readonly Queue<Item> _queue = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _queuedBytes;
    private Item? _current;
    private GridException? _error;

    internal Subscription(GridClient client, string channel, StartPoint from, SubscribeOptions options, Position? cursor, Backoff attempts)
    {
        _client = client;
        (Channel, From, Options, Attempts) = (channel, from, options, attempts);
        if (cursor is { } position) Tracker.Start(position);
    }

    /// <summary>The channel.</summary>
    public string Channel { get; }

    /// <summary>The offset of the last message finished with; null before the server first confirmed.</summary>
    public long? Cursor => Position?.Offset;

    /// <summary>The epoch of <see cref="Cursor"/>; null before the server first confirmed.</summary>
    public string? Epoch => Position?.Epoch;

    /// <summary><see cref="Epoch"/> and <see cref="Cursor"/>: what <see cref="StartPoint.After"/> takes to go on from here.</summary>
    public Position? Position
    {
        get
        {
            lock (_client.Gate) return Tracker.Processed;
        }
    }

    /// <summary>
    /// Completes when the subscription has ended: by <see cref="UnsubscribeAsync"/> or the client's close; with a
    /// <see cref="GridException"/> when the server refused it, a handler failed or the client was closed for good.
    /// </summary>
    public Task Completion => _completion.Task;

    /// <summary>
    /// Ends the subscription: messages not yet handled are dropped, a handler under way finishes. Completes when the server has
    /// confirmed; without a connection at once, and the server is told after the next one.
    /// </summary>
    /// <exception cref="GridException"><c>timeout</c>: the server did not confirm; the subscription has ended all the same.</exception>
    public Task UnsubscribeAsync(CancellationToken cancellationToken = default) => _client.LeaveAsync(this, cancellationToken);

    // What follows is guarded by the client's lock.

    /// <summary>How a subscription stands on the present connection.</summary>
    internal enum WireState
    {
        /// <summary>The server does not send.</summary>
        Off,

        /// <summary>The server has yet to confirm; what arrives is of an older subscription.</summary>
        Asked,

        /// <summary>Its frames count.</summary>
        Live,
    }

    internal StartPoint From { get; }

    internal SubscribeOptions Options { get; }

    internal CursorTracker Tracker { get; } = new();

    internal WireState Wire { get; set; }

    /// <summary>The consumer lags: not received until it has finished with all that waits.</summary>
    internal bool Paused { get; set; }

    internal bool Ended { get; private set; }

    internal Backoff Attempts { get; }

    internal TimeSpan? RetryAt { get; set; }

    /// <summary>Completed when the server first confirmed, or the subscription ended before.</summary>
    internal TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Something can be taken, or the subscription ended.</summary>
    internal AsyncSignal Available { get; } = new();

    /// <summary>Whether <paramref name="error"/> is what ended it, and not a handler's own.</summary>
    internal bool EndedWith(GridException error)
    {
        lock (_client.Gate) return ReferenceEquals(_error, error);
    }

    internal bool HasRoom(int size) => _queue.Count == 0
        || (_queue.Count < _client.Options.MaxQueuedMessages && _queuedBytes + size <= _client.Options.MaxQueuedMessageBytes);

    internal void Enqueue(Position position, Message? message, GapFrame? gap, int size)
    {
        _queue.Enqueue(new Item(position, message, gap, size));
        _queuedBytes += size;
        Available.Set();
    }

    /// <summary>Notes that what was taken last is finished with; true if there was something.</summary>
    internal bool Finish()
    {
        if (_current is not { } current) return false;
        _current = null;
        Tracker.Complete(current.Position);
        return true;
    }

    internal void End(GridException? error)
    {
        if (Ended) return;
        Ended = true;
        _error = error;
        _queue.Clear();
        _queuedBytes = 0;
        RetryAt = null;
        if (error is null)
        {
            Ready.TrySetException(new GridException(GridErrorCodes.Closed, "The subscription was ended.") { Channel = Channel });
            _completion.TrySetResult();
        }
        else
        {
            Ready.TrySetException(error);
            _completion.TrySetException(error);
            // Whoever does not look at these must not get an unobserved exception: the error is also told by the client.
            _ = _completion.Task.Exception;
        }

        _ = Ready.Task.Exception;
        Available.Set();
    }

    /// <summary>
    /// Finishes the message handed out before and waits for the next. Null when the subscription was ended by the application.
    /// </summary>
    /// <exception cref="GridException">The subscription ended with an error.</exception>
    internal async ValueTask<GridMessage?> NextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Item item;
            lock (_client.Gate)
            {
                if (Finish()) _client.OnFinished(this);
                if (Ended) return _error is null ? null : throw _error;
                if (_queue.TryDequeue(out item))
                {
                    _queuedBytes -= item.Size;
                    _current = item;
                    _client.OnRoom();
                }
            }

            if (item.Message is not null) return new GridMessage(Channel, item.Position.Epoch, item.Message);
            if (item.Gap is { } gap) await _client.OnGapReachedAsync(this, new(Channel, gap.Epoch, gap.From, gap.To, gap.Reason));
            else await Available.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Something that waits for the consumer; the position after it was finished with.</summary>
    private readonly record struct Item(Position Position, Message? Message, GapFrame? Gap, int Size);
}

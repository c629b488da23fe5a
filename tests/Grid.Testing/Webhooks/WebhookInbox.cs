namespace Grid.Testing.Webhooks;

/// <summary>What comes to one path of a <see cref="WebhookReceiver"/>, and how it is answered.</summary>
public sealed class WebhookInbox
{
    private readonly Lock _gate = new();
    private readonly List<ReceivedWebhook> _requests = [];
    private readonly HashSet<string> _ids = [];
    private readonly HashSet<string> _delivered = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _taken;

    internal WebhookInbox(string url) => Url = url;

    /// <summary>Where to send to.</summary>
    public string Url { get; }

    /// <summary>How requests are answered from now on; 204 unless set.</summary>
    public ReceiverAnswer Answer { get; set; } = Answers.NoContent;

    /// <summary>All requests so far, in the order in which they came.</summary>
    public IReadOnlyList<ReceivedWebhook> Requests
    {
        get
        {
            lock (_gate) return [.. _requests];
        }
    }

    /// <summary>How many requests came.</summary>
    public int Count
    {
        get
        {
            lock (_gate) return _requests.Count;
        }
    }

    /// <summary>How many different ids came.</summary>
    public int Distinct
    {
        get
        {
            lock (_gate) return _ids.Count;
        }
    }

    /// <summary>How many different ids were answered with a 2xx.</summary>
    public int Delivered
    {
        get
        {
            lock (_gate) return _delivered.Count;
        }
    }

    /// <summary>The next request that nobody has taken; null if there is none yet.</summary>
    public ReceivedWebhook? TryNext()
    {
        lock (_gate) return _taken < _requests.Count ? _requests[_taken++] : null;
    }

    /// <summary>The next request that nobody has taken.</summary>
    public async Task<ReceivedWebhook> NextAsync(TestDeadline? deadline = null)
    {
        ReceivedWebhook? next = null;
        await UntilAsync(() => (next ??= TryNext()) is not null, () => "another request comes", deadline);
        return next!;
    }

    /// <summary>Waits until so many different ids have come.</summary>
    public Task DistinctAsync(int count, TestDeadline? deadline = null) =>
        UntilAsync(() => Distinct >= count, () => $"{count} different ids have come", deadline);

    /// <summary>Waits until so many different ids were answered with a 2xx.</summary>
    public Task DeliveredAsync(int count, TestDeadline? deadline = null) =>
        UntilAsync(() => Delivered >= count, () => $"{count} different ids were delivered", deadline);

    /// <summary>Waits until so many requests have come.</summary>
    public Task CountAsync(int count, TestDeadline? deadline = null) => UntilAsync(() => Count >= count, () => $"{count} requests have come", deadline);

    /// <summary>Waits until something is so; asks whenever a request has come or was answered.</summary>
    /// <param name="condition">What must become true.</param>
    /// <param name="what">What is waited for, for the failure's message.</param>
    /// <param name="deadline">When to give up; 30 s from now unless given.</param>
    public async Task UntilAsync(Func<bool> condition, Func<string> what, TestDeadline? deadline = null)
    {
        ArgumentNullException.ThrowIfNull(condition);
        ArgumentNullException.ThrowIfNull(what);
        using var own = deadline is null ? TestDeadline.In(30) : null;
        deadline ??= own!;
        while (true)
        {
            Task changed;
            lock (_gate) changed = _changed.Task;
            if (condition()) return;
            try
            {
                await changed.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TestFailedException($"Not within {deadline.Span.TotalSeconds:0.#} s: {what()}; {Describe()}");
            }
        }
    }

    /// <summary>What came, for failure messages.</summary>
    public string Describe()
    {
        lock (_gate)
        {
            return $"{Url} has {_requests.Count} requests with {_ids.Count} ids, {_delivered.Count} delivered; the last:\n"
                + string.Join('\n', _requests.TakeLast(20));
        }
    }

    internal void Add(ReceivedWebhook request)
    {
        lock (_gate)
        {
            _requests.Add(request);
            if (request.Id.Length > 0) _ids.Add(request.Id);
            Pulse();
        }
    }

    internal void Answered(ReceivedWebhook request)
    {
        lock (_gate)
        {
            if (request.Answered is >= 200 and < 300 && request.Id.Length > 0) _delivered.Add(request.Id);
            Pulse();
        }
    }

    private void Pulse()
    {
        _changed.SetResult();
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

using Grid.Server.Log;
using Grid.Server.Log.Postgres;

namespace Grid.Server.Webhooks.Store.Postgres;

/// <summary>
/// Many callers' writes in few transactions: while one is under way, the next gather, and go together.
/// </summary>
/// <typeparam name="TItem">What a caller writes.</typeparam>
/// <typeparam name="TResult">What it is answered.</typeparam>
/// <param name="database">The database.</param>
/// <param name="most">The most items of one transaction.</param>
/// <param name="keyOf">Of items with the same key, each goes in a transaction of its own, in their order; null: any go together.</param>
/// <param name="write">Writes items in one transaction, and answers in their order.</param>
internal sealed class PostgresGatherer<TItem, TResult>(
    PostgresDatabase database, int most, Func<TItem, object>? keyOf, Func<IReadOnlyList<TItem>, Task<TResult[]>> write)
{
    private const int MaxRetries = 5;

    private readonly Lock _gate = new();
    private LinkedList<Entry> _queue = [];
    private bool _running;

    /// <summary>Transactions so far.</summary>
    public long Transactions { get; private set; }

    /// <summary>Writes an item.</summary>
    /// <exception cref="LogUnavailableException">The database is away; the outcome is unknown.</exception>
    public async Task<TResult> WriteAsync(TItem item, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var entry = new Entry(item);
        lock (_gate)
        {
            _queue.AddLast(entry);
            if (!_running)
            {
                _running = true;

                // Not on the scheduler of the grain that happens to come first: the others would take turns with it.
                _ = Task.Run(RunAsync, CancellationToken.None);
            }
        }

        return await entry.Done.Task.WaitAsync(cancellationToken);
    }

    private async Task RunAsync()
    {
        while (Take() is { Count: > 0 } group)
        {
            var failure = await WriteAsync(group);
            if (failure is null) continue;

            // What gathered meanwhile fails with it, rather than one group after another, each after a timeout.
            foreach (var entry in TakeAll()) entry.Done.TrySetException(failure);
        }
    }

    /// <summary>The next group; empty: there is nothing, and the loop ends.</summary>
    private List<Entry> Take()
    {
        var group = new List<Entry>();
        var keys = new HashSet<object>();
        lock (_gate)
        {
            for (var node = _queue.First; node is not null && group.Count < most;)
            {
                var next = node.Next;
                if (keyOf is null || keys.Add(keyOf(node.Value.Item)))
                {
                    group.Add(node.Value);
                    _queue.Remove(node);
                }

                node = next;
            }

            _running = group.Count > 0;
        }

        return group;
    }

    private LinkedList<Entry> TakeAll()
    {
        lock (_gate)
        {
            var all = _queue;
            _queue = [];
            return all;
        }
    }

    /// <summary>Writes a group and answers it; returns why it could not, when that concerns all.</summary>
    private async Task<LogUnavailableException?> WriteAsync(List<Entry> group)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                Transactions++;
                var results = await write([.. group.Select(e => e.Item)]);
                for (var i = 0; i < group.Count; i++) group[i].Done.TrySetResult(results[i]);
                return null;
            }
            catch (Exception e) when (attempt <= MaxRetries && PostgresErrors.IsRetryable(e))
            {
                // Rolled back for the sake of another transaction.
            }
            catch (Exception e) when (PostgresErrors.IsRefusal(e))
            {
                // Nothing of the group is stored. One item must not fail the others: each by itself.
                if (group.Count > 1)
                {
                    foreach (var entry in group)
                    {
                        if (await WriteAsync([entry]) is not { } failure) continue;
                        Fail(group, failure);
                        return failure;
                    }

                    return null;
                }

                Fail(group, new ArgumentException($"This cannot be stored. {PostgresErrors.Explain(e)}", e));
                return null;
            }
            catch (Exception e)
            {
                database.NoteFailure(e);
                var failure = PostgresDatabase.Unavailable(e);
                Fail(group, failure);
                return failure;
            }
        }
    }

    private static void Fail(List<Entry> group, Exception reason)
    {
        foreach (var entry in group) entry.Done.TrySetException(reason);
    }

    private sealed record Entry(TItem Item)
    {
        public TaskCompletionSource<TResult> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

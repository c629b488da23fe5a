namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Gathers the attempts that are wanted, newest first, from rows that come by their newest attempts: what is in a row may be older than all
/// of the next one, so an attempt has its place only when it is known where the next row begins.
/// </summary>
internal sealed class AttemptPage(WebhookId webhook, AttemptQuery query)
{
    private readonly PriorityQueue<StoredAttempt, StoredPlace> _open = new(NewestFirst);
    private readonly List<StoredAttempt> _found = [];

    /// <summary>By time, then by name.</summary>
    public static Comparer<StoredPlace> NewestFirst { get; } = Comparer<StoredPlace>.Create(static (left, right) =>
    {
        var times = right.At.CompareTo(left.At);
        return times != 0 ? times : string.CompareOrdinal(right.Name, left.Name);
    });

    /// <summary>What was found.</summary>
    public IReadOnlyList<StoredAttempt> Found => _found;

    /// <summary>Whether no more are wanted.</summary>
    public bool IsFull => _found.Count >= query.Limit;

    /// <summary>The place of an attempt in a list.</summary>
    public static StoredPlace PlaceOf(StoredAttempt attempt) => new(attempt.At, attempt.Id);

    /// <summary>Takes a row.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public void Add(ReadOnlySpan<byte> record)
    {
        if (query.Before != default && AttemptListRecord.IsAfter(record, query.Before.At)) return;
        foreach (var attempt in AttemptListRecord.Read(webhook, record))
        {
            if (IsWanted(attempt)) _open.Enqueue(attempt, PlaceOf(attempt));
        }
    }

    /// <summary>No row that is still to come has an attempt before this place, in the order of the list.</summary>
    public void Pass(StoredPlace next)
    {
        while (!IsFull && _open.TryPeek(out var attempt, out var place) && NewestFirst.Compare(place, next) < 0)
        {
            _open.Dequeue();

            // One that was written again, together with others, is in two rows.
            if (_found is not [.., var last] || PlaceOf(last) != place) _found.Add(attempt);
        }
    }

    private bool IsWanted(StoredAttempt attempt) =>
        attempt.At >= query.Since
        && (query.Succeeded is not { } succeeded || attempt.Succeeded == succeeded)
        && (query.MessageId is not { } message || attempt.MessageId == message)
        && (query.Before == default || NewestFirst.Compare(PlaceOf(attempt), query.Before) > 0);
}

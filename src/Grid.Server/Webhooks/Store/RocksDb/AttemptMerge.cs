namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// Gathers the attempts that are wanted, newest first, from rows that come by their newest attempts: what is in a row may be older than all
/// of the next one, so an attempt has its place only when it is known where the next row begins.
/// </summary>
internal sealed class AttemptMerge(WebhookId webhook, AttemptQuery query)
{
    private readonly PriorityQueue<StoredAttempt, StoredPlace> _open = new(NewestFirst);
    private readonly List<StoredAttempt> _found = [];
    private StoredPlace _next;
    private int _read;

    /// <summary>By time, then by name.</summary>
    public static Comparer<StoredPlace> NewestFirst { get; } = Comparer<StoredPlace>.Create(static (left, right) =>
    {
        var times = right.At.CompareTo(left.At);
        return times != 0 ? times : string.CompareOrdinal(right.Name, left.Name);
    });

    /// <summary>What was found, and where to go on.</summary>
    public AttemptPage Page => new(_found, _next);

    /// <summary>Whether the page ends here: as many were found as are wanted, or looked at as may be.</summary>
    public bool IsOver => _next != default;

    /// <summary>The place of an attempt in a list.</summary>
    public static StoredPlace PlaceOf(StoredAttempt attempt) => new(attempt.At, attempt.Id);

    /// <summary>Takes a row.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public void Add(ReadOnlySpan<byte> record)
    {
        if (query.Before != default && AttemptListRecord.IsAfter(record, query.Before.At)) return;
        foreach (var attempt in AttemptListRecord.Read(webhook, record))
        {
            if (!IsBefore(PlaceOf(attempt))) continue;
            _read++;
            if (IsWanted(attempt)) _open.Enqueue(attempt, PlaceOf(attempt));
        }
    }

    /// <summary>
    /// The row that was taken stands here. If enough was looked at, the page ends with its newest attempt, and the next one begins with
    /// what is older: of this row, too.
    /// </summary>
    public void EndIfEnough(StoredPlace place)
    {
        if (IsOver || _read < query.MostRead || !IsBefore(place)) return;
        Pass(place, inclusive: true);
        if (!IsOver) _next = place;
    }

    /// <summary>No row that is still to come has an attempt before this place, in the order of the list.</summary>
    public void Pass(StoredPlace next) => Pass(next, inclusive: false);

    private void Pass(StoredPlace next, bool inclusive)
    {
        while (!IsOver && _open.TryPeek(out var attempt, out var place) && NewestFirst.Compare(place, next) < (inclusive ? 1 : 0))
        {
            _open.Dequeue();

            // One that was written again, together with others, is in two rows.
            if (_found is [.., var last] && PlaceOf(last) == place) continue;
            _found.Add(attempt);
            if (_found.Count >= query.Limit) _next = place;
        }
    }

    private bool IsBefore(StoredPlace place) => query.Before == default || NewestFirst.Compare(place, query.Before) > 0;

    private bool IsWanted(StoredAttempt attempt) =>
        attempt.At >= query.Since
        && (query.Succeeded is not { } succeeded || attempt.Succeeded == succeeded)
        && (query.MessageId is not { } message || attempt.MessageId == message);
}

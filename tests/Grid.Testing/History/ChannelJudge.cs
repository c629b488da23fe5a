namespace Grid.Testing.History;

/// <summary>Judges one channel: its store and its publishes here, its consumers in <see cref="ConsumerJudge"/>.</summary>
internal sealed class ChannelJudge
{
    private readonly HistoryRecorder _history;
    private readonly StoredChannel _stored;
    private readonly List<Violation> _violations;
    private readonly Dictionary<long, StoredMessage> _byOffset = [];
    private readonly Dictionary<string, List<StoredMessage>> _byIdentity = new(StringComparer.Ordinal);

    public ChannelJudge(HistoryRecorder history, StoredChannel stored, List<Violation> violations)
    {
        _history = history;
        _stored = stored;
        _violations = violations;
        foreach (var message in stored.Messages)
        {
            _byOffset.TryAdd(message.Offset, message);
            var identity = PublishRecord.IdentityOf(message.Key, message.Payload);
            if (!_byIdentity.TryGetValue(identity, out var copies)) _byIdentity.Add(identity, copies = []);
            copies.Add(message);
        }
    }

    /// <summary>Rule 1: offsets without holes, nothing twice, nothing invented.</summary>
    public void CheckStore()
    {
        var expected = _stored.Oldest;
        foreach (var message in _stored.Messages)
        {
            if (message.Offset != expected)
            {
                Add(ViolationKind.StoreHole, "the store", $"offset {message.Offset} where {expected} should be (oldest {_stored.Oldest}, head {_stored.Head})", Around(message.Offset));
            }

            expected = message.Offset + 1;
            var record = _history.Find(_stored.Channel, message.Key, message.Payload);
            if (record is null || record.Payload != message.Payload)
            {
                Add(
                    ViolationKind.Invented, "the store", $"{Show(message)} was never published so",
                    record is null ? [] : [record.ToString()]);
            }
        }

        if (_stored.Messages.Count > 0 && expected != _stored.Head + 1)
        {
            Add(ViolationKind.StoreHole, "the store", $"the last stored offset is {expected - 1}, the head is {_stored.Head}", Around(expected - 1));
        }

        if (_stored.Messages.Count == 0 && _stored.Head >= Math.Max(1, _stored.Oldest))
        {
            Add(ViolationKind.StoreHole, "the store", $"nothing is stored of {_stored.Oldest}..{_stored.Head}", []);
        }

        foreach (var (identity, copies) in _byIdentity)
        {
            if (copies.Count < 2) continue;
            // Without a key every attempt may be stored; with one, only the first.
            var first = copies[0];
            if (first.Key is null && _history.Find(_stored.Channel, null, first.Payload)?.Attempts >= copies.Count) continue;
            var record = _history.Find(_stored.Channel, first.Key, first.Payload);
            Add(
                ViolationKind.StoredTwice, "the store", $"{identity} is stored at {string.Join(", ", copies.Select(c => c.Offset))}",
                record is null ? [] : [record.ToString()]);
        }
    }

    /// <summary>Rules 2 and 3: what publishers were promised.</summary>
    public void CheckPublishes(IEnumerable<PublishRecord> publishes)
    {
        var all = publishes.ToList();
        foreach (var record in all) CheckPublish(record);
        foreach (var publisher in all.GroupBy(p => p.Publisher))
        {
            (PublishRecord Record, long Offset)? before = null;
            foreach (var record in publisher.OrderBy(p => p.Sequence))
            {
                if (OffsetOf(record) is not { } offset) continue;
                if (before is { } b && offset <= b.Offset)
                {
                    Add(
                        ViolationKind.OrderBroken, publisher.Key,
                        $"publish {record.Sequence} is at {offset}, but the earlier publish {b.Record.Sequence} is at {b.Offset}",
                        [b.Record.ToString(), record.ToString()]);
                }

                before = (record, offset);
            }
        }
    }

    /// <summary>Rule 4: what consumers were given.</summary>
    public void CheckConsumer(ConsumerRecord consumer) => new ConsumerJudge(consumer, _stored, _byOffset, _violations).Check();

    private void CheckPublish(PublishRecord record)
    {
        var acks = record.Acknowledgements;
        if (acks.Count == 0 && record.Refusals.Count == 0 && record.Unknown == 0)
        {
            Add(ViolationKind.Unanswered, record.Publisher, record.ToString(), []);
            return;
        }

        if (acks.Count == 0 && record.Unknown == 0 && _byIdentity.TryGetValue(record.Identity, out var refused))
        {
            Add(ViolationKind.RefusedStored, record.Publisher, $"{Show(refused[0])} is stored although it was refused", [record.ToString()]);
        }

        if (acks.Select(a => (a.Epoch, a.Offset)).Distinct().Count() > 1 && record.Key is not null)
        {
            Add(ViolationKind.TwoOffsets, record.Publisher, "the same key was acknowledged with different positions", [record.ToString()]);
        }

        if (record.Key is not null && acks.Count(a => !a.Duplicate) > 1)
        {
            Add(ViolationKind.MissedDuplicate, record.Publisher, "the same key was accepted as new more than once", [record.ToString()]);
        }

        if (!_history.IsDistributed && record.Attempts <= 1 && acks.Any(a => a.Duplicate))
        {
            Add(ViolationKind.FalseDuplicate, record.Publisher, "sent once, answered as duplicate", [record.ToString()]);
        }

        foreach (var ack in acks) CheckAcknowledgement(record, ack);
    }

    private void CheckAcknowledgement(PublishRecord record, Acknowledgement ack)
    {
        if (ack.Epoch != _stored.Epoch)
        {
            Add(
                ViolationKind.AcknowledgedEpochGone, record.Publisher,
                $"acknowledged in epoch {ack.Epoch}, but the channel's epoch is {_stored.Epoch}", [record.ToString()]);
            return;
        }

        // What retention has taken can no longer be compared.
        if (ack.Offset < _stored.Oldest) return;
        if (!_byOffset.TryGetValue(ack.Offset, out var message))
        {
            Add(
                ViolationKind.AcknowledgedLost, record.Publisher,
                $"acknowledged at {ack.Offset}, which is not stored (oldest {_stored.Oldest}, head {_stored.Head})",
                [record.ToString(), .. Around(ack.Offset)]);
        }
        else if (message.Payload != record.Payload || message.Key != record.Key)
        {
            Add(
                ViolationKind.AcknowledgedDiffers, record.Publisher, $"acknowledged at {ack.Offset}, where {Show(message)} is stored",
                [record.ToString(), .. Around(ack.Offset)]);
        }
    }

    /// <summary>Where a message is: as stored, or, when retention has taken it, as acknowledged.</summary>
    private long? OffsetOf(PublishRecord record)
    {
        if (_byIdentity.TryGetValue(record.Identity, out var copies)) return copies[0].Offset;
        foreach (var ack in record.Acknowledgements)
        {
            if (ack.Epoch == _stored.Epoch) return ack.Offset;
        }

        return null;
    }

    private List<string> Around(long offset)
    {
        var lines = new List<string>();
        for (var at = offset - 2; at <= offset + 2; at++)
        {
            if (_byOffset.TryGetValue(at, out var message)) lines.Add($"stored {Show(message)}");
        }

        return lines;
    }

    private void Add(ViolationKind kind, string who, string what, IReadOnlyList<string> context) =>
        _violations.Add(new(kind, _stored.Channel, who, what, context));

    internal static string Show(StoredMessage message) =>
        $"{message.Offset}: key {message.Key ?? "(none)"} {PublishRecord.Shorten(message.Payload)}";
}

using Grid.Testing.Wire;

namespace Grid.Testing.History;

/// <summary>Walks through one consumer's events and judges each against its cursor and the store.</summary>
internal sealed class ConsumerJudge(
    ConsumerRecord consumer, StoredChannel stored, Dictionary<long, StoredMessage> byOffset, List<Violation> violations)
{
    private readonly IReadOnlyList<ConsumerEvent> _events = consumer.Events;
    private RawPosition? _position;

    /// <summary>The highest offset that the consumer ever had, in the epoch of its position.</summary>
    private long _highest;

    /// <summary>The epoch that the server named when it differs from the position's; a gap must say so before anything else comes.</summary>
    private string? _epochDue;

    /// <summary>Whether the last start was by the server's cursor, so that a retention gap may begin before the position.</summary>
    private bool _atServersCursor;

    private long _checkpoint = -1;
    private int _index;

    /// <summary>Judges everything.</summary>
    public void Check()
    {
        for (_index = 0; _index < _events.Count; _index++)
        {
            var e = _events[_index];
            switch (e.Kind)
            {
                case ConsumerEventKind.Subscribed or ConsumerEventKind.Resumed:
                    Started(e);
                    break;
                case ConsumerEventKind.Message:
                    Message(e);
                    break;
                case ConsumerEventKind.Gap:
                    Gap(e);
                    break;
                case ConsumerEventKind.Checkpoint:
                    _checkpoint = Math.Max(_checkpoint, e.Offset);
                    break;
                case ConsumerEventKind.Lost:
                    Add(ViolationKind.SessionLost, e.Text ?? "");
                    break;
                case ConsumerEventKind.Finished:
                    Finished();
                    break;
            }
        }
    }

    private void Started(in ConsumerEvent e)
    {
        _epochDue = null;
        _atServersCursor = false;
        if (e.From >= 0)
        {
            // A position was asked for: the subscription goes on right after it, or a gap says why not.
            _position = new RawPosition(e.Text!, e.From);
            if (e.Epoch != e.Text) _epochDue = e.Epoch;
            else if (e.Offset < e.From) Add(ViolationKind.WrongCursor, $"asked for {e.From}, got the earlier cursor {e.Offset}");
            return;
        }

        if (e.Kind == ConsumerEventKind.Resumed && _position is { } before)
        {
            ResumedByServer(e, before);
            return;
        }

        _position = new RawPosition(e.Epoch!, e.Offset);
        _highest = e.Offset;
    }

    private void ResumedByServer(in ConsumerEvent e, RawPosition before)
    {
        _atServersCursor = true;
        if (e.Epoch != before.Epoch)
        {
            _epochDue = e.Epoch;
            return;
        }

        if (e.Offset < _checkpoint)
        {
            Add(ViolationKind.ResumeTooEarly, $"resumed at {e.Offset} although {_checkpoint} was checkpointed");
        }

        if (e.Offset <= _highest)
        {
            _position = new RawPosition(before.Epoch, e.Offset);
            return;
        }

        // Beyond what the consumer had: right only when a gap explains it, and then the gap comes next.
        _position = new RawPosition(before.Epoch, _highest);
        if (NextIsGap(e.Offset)) return;
        Add(ViolationKind.ResumeSkipped, $"resumed at {e.Offset}, but the consumer had only got to {_highest}");
        _position = new RawPosition(before.Epoch, e.Offset);
    }

    private bool NextIsGap(long to) => _index + 1 < _events.Count && _events[_index + 1] is { Kind: ConsumerEventKind.Gap } gap && gap.Offset >= to;

    private void Message(in ConsumerEvent e)
    {
        if (_position is not { } position)
        {
            Add(ViolationKind.Skipped, "a message before the subscription's start was told");
            _position = position = new RawPosition(stored.Epoch, e.Offset - 1);
        }

        if (_epochDue is { } epoch)
        {
            Add(ViolationKind.SilentEpochChange, $"the epoch changed from {position.Epoch} to {epoch} and a message came without a gap");
            _position = position = new RawPosition(epoch, e.Offset - 1);
            _epochDue = null;
        }

        if (e.Offset <= position.Offset) Add(ViolationKind.Repeated, $"message {e.Offset} came again (cursor {position.Offset})");
        else if (e.Offset > position.Offset + 1) Add(ViolationKind.Skipped, $"message {e.Offset} came after {position.Offset}: {e.Offset - position.Offset - 1} missing");
        _position = position with { Offset = Math.Max(position.Offset, e.Offset) };
        _highest = Math.Max(_highest, e.Offset);
        _atServersCursor = false;
        CheckContent(e);
    }

    private void CheckContent(in ConsumerEvent e)
    {
        if (_position?.Epoch != stored.Epoch || e.Offset < stored.Oldest) return;
        if (e.Offset > stored.Head)
        {
            Add(ViolationKind.BeyondHead, $"message {e.Offset} was delivered, but the stored head is {stored.Head}");
        }
        else if (byOffset.TryGetValue(e.Offset, out var message) && (message.Payload != e.Text || message.Key != e.Key))
        {
            Add(ViolationKind.ContentDiffers, $"message {e.Offset} differs from what is stored: {ChannelJudge.Show(message)}");
        }
    }

    private void Gap(in ConsumerEvent e)
    {
        var position = _position ?? new RawPosition(e.Epoch!, e.From - 1);
        switch (e.Text)
        {
            case "epoch":
                if (e.Epoch == position.Epoch) Add(ViolationKind.UnjustifiedGap, "a gap for an epoch that did not change");
                if (e.From != 1) Add(ViolationKind.GapMisplaced, $"an epoch's gap begins at 1, not at {e.From}");
                if (e.Epoch == stored.Epoch && e.Offset >= Math.Max(1, stored.Oldest)) Add(ViolationKind.UnjustifiedGap, $"the new epoch still has messages from {stored.Oldest} on");
                _highest = e.Offset;
                break;
            case "retention":
                CheckPlace(e, position);
                if (e.Epoch == stored.Epoch && e.Offset >= stored.Oldest) Add(ViolationKind.UnjustifiedGap, $"the store still has messages from {stored.Oldest} on");
                break;
            case "dropped":
                CheckPlace(e, position);
                if (!consumer.MayDrop) Add(ViolationKind.UnjustifiedGap, "this channel's policy drops nothing");
                break;
            default:
                Add(ViolationKind.GapMisplaced, $"'{e.Text}' is no reason of a gap");
                break;
        }

        if (e.Text != "epoch" && e.Epoch != position.Epoch)
        {
            Add(ViolationKind.SilentEpochChange, $"the gap names epoch {e.Epoch}, the consumer is in {position.Epoch}, and the reason is not 'epoch'");
        }

        _epochDue = null;
        _atServersCursor = false;
        _position = new RawPosition(e.Epoch!, e.Offset);
        _highest = Math.Max(_highest, e.Offset);
    }

    private void CheckPlace(in ConsumerEvent e, RawPosition position)
    {
        if (e.Offset < e.From) Add(ViolationKind.GapMisplaced, "the gap ends before it begins");
        var right = _atServersCursor ? e.From <= position.Offset + 1 : e.From == position.Offset + 1;
        if (!right) Add(ViolationKind.GapMisplaced, $"the gap begins at {e.From}, the consumer's cursor is {position.Offset}");
    }

    private void Finished()
    {
        if (_position is { } position && position.Epoch == stored.Epoch && position.Offset == stored.Head) return;
        Add(ViolationKind.NotWhole, $"the consumer ended at {_position?.Epoch}:{_position?.Offset}, the head is {stored.Epoch}:{stored.Head}");
    }

    private void Add(ViolationKind kind, string what)
    {
        var context = new List<string>();
        for (var i = Math.Max(0, _index - 4); i < Math.Min(_events.Count, _index + 3); i++)
        {
            context.Add($"{(i == _index ? ">" : " ")} [{i}] {_events[i]}");
        }

        violations.Add(new(kind, stored.Channel, $"{consumer.Name} (cursors of the {consumer.Owner.ToString().ToLowerInvariant()})", what, context));
    }
}

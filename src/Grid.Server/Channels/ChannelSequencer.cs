using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.Server.Channels;

/// <summary>
/// Decides the order of a channel's messages: gathers drafts while an append is under way, numbers them, joins repeated keys, checks
/// <c>ifOffset</c>, and answers what the log decided. No I/O and no clock: its grain does both, a simulation as well.
/// </summary>
/// <remarks>
/// The cycle: <see cref="Enqueue"/> at any time; when nothing is in flight, <see cref="NextProbe"/> (keys that must be looked up
/// first), then <see cref="NextAppend"/>; the log's answer goes to <see cref="OnAppended"/>, its failure to <see cref="OnUnknown"/>.
/// </remarks>
/// <param name="channel">The channel.</param>
/// <param name="keyWindow">How long keys are remembered; zero where they are no idempotency keys (<see cref="Hosting.NamespacePolicy.KeyWindow"/>).</param>
/// <param name="head">How far the log says the channel reaches.</param>
/// <param name="lastAt">The time stamp of the last message stored; 0 for none.</param>
internal sealed class ChannelSequencer(ChannelId channel, TimeSpan keyWindow, ChannelHead head, long lastAt)
{
    /// <summary>The most messages of one append.</summary>
    public const int MaxBatchMessages = 1024;

    /// <summary>The payload bytes after which an append takes no further message.</summary>
    public const int MaxBatchBytes = 1024 * 1024;

    private readonly LinkedList<Draft> _pending = new();
    private readonly Dictionary<string, int> _keysInBatch = new(StringComparer.Ordinal);
    private readonly List<Draft> _inFlight = [];
    private List<Message> _messages = [];
    private long _lastAt = lastAt;
    private readonly bool _idempotent = keyWindow > TimeSpan.Zero;
    private int _toProbe;

    /// <summary>How far the channel reaches, as far as this activation knows.</summary>
    public ChannelHead Head { get; private set; } = head;

    /// <summary>Whether an append's outcome is awaited.</summary>
    public bool InFlight { get; private set; }

    /// <summary>Whether drafts wait for the next append.</summary>
    public bool HasPending => _pending.Count > 0;

    /// <summary>Adds a call's drafts behind those that wait.</summary>
    public void Enqueue(PublishTicket ticket)
    {
        for (var i = 0; i < ticket.Batch.Drafts.Length; i++)
        {
            var draft = new Draft(ticket, i);
            _pending.AddLast(draft);
            if (_idempotent && draft.NeedsProbe) _toProbe++;
        }
    }

    /// <summary>
    /// Keys to look up before the next append, or null: a conditional publish whose condition fails must still be answered as a
    /// duplicate if its key was stored before, or a retry of one that succeeded would be called a conflict.
    /// </summary>
    public IReadOnlyList<string>? NextProbe()
    {
        if (_toProbe == 0) return null;
        List<string>? keys = null;
        foreach (var draft in _pending)
        {
            if (draft.NeedsProbe) (keys ??= []).Add(draft.Data.Key!);
        }

        return keys;
    }

    /// <summary>Takes the answer to <see cref="NextProbe"/>: offsets by key, 0 for unknown ones.</summary>
    public void OnProbed(IReadOnlyList<string> keys, IReadOnlyList<long> offsets)
    {
        var known = new Dictionary<string, long>(StringComparer.Ordinal);
        for (var i = 0; i < keys.Count; i++) known[keys[i]] = offsets[i];
        for (var node = _pending.First; node is not null;)
        {
            var (draft, next) = (node.Value, node.Next);
            if (draft.NeedsProbe && known.TryGetValue(draft.Data.Key!, out var offset))
            {
                draft.Probed = true;
                _toProbe--;
                if (offset > 0)
                {
                    _pending.Remove(node);
                    draft.Resolve(new PublishReceipt(new Position(Head.Epoch, offset), true));
                }
            }

            node = next;
        }
    }

    /// <summary>The next append, or null when one is in flight or nothing needs storing.</summary>
    /// <param name="nowMs">The time to stamp, in Unix milliseconds; a clock that went back does not show.</param>
    public AppendRequest? NextAppend(long nowMs)
    {
        if (InFlight) return null;
        while (_pending.Count > 0)
        {
            Gather(Math.Max(nowMs, _lastAt));
            if (_messages.Count > 0)
            {
                InFlight = true;
                return new AppendRequest
                {
                    Channel = channel, ExpectedHead = Head.Position, Messages = _messages, KeyWindow = keyWindow,
                };
            }

            Settle();
        }

        return null;
    }

    /// <summary>
    /// Takes the log's answer. Returns the messages that are now part of the channel (empty when none), or null when the head has
    /// moved: another activation appended, and this one must stop.
    /// </summary>
    public List<Message>? OnAppended(AppendResult result)
    {
        InFlight = false;
        switch (result.Status)
        {
            case AppendStatus.Appended:
                Head = Head with { Head = result.Head.Offset };
                _lastAt = _messages[^1].At;
                var stored = _messages;
                _messages = [];
                Settle();
                return stored;

            case AppendStatus.KeysSeen:
                // Nothing was stored. The repeated ones have their answer; the others are numbered anew, since what they were
                // judged against (offsets, conditions) has changed.
                foreach (var seen in result.Seen)
                {
                    var position = new Position(Head.Epoch, seen.Offset);
                    foreach (var draft in _inFlight)
                    {
                        if (draft.Index == seen.Index && !draft.Conflicts) draft.Resolve(new PublishReceipt(position, true));
                    }
                }

                Requeue();
                return [];

            default:
                Requeue();
                return null;
        }
    }

    /// <summary>
    /// Takes an append's failure: its outcome is unknown, so its drafts are refused as unavailable (a retry with the same key finds
    /// out), and the head must be read again by <see cref="Resync"/> before the next append. What is left of the same calls is refused
    /// too, or it could be stored before what it follows.
    /// </summary>
    public void OnUnknown()
    {
        InFlight = false;

        // Should it be stored after all, what follows must not be stamped with an earlier time.
        if (_messages.Count > 0) _lastAt = _messages[^1].At;
        foreach (var draft in _inFlight) draft.Resolve(ChannelPublisher.Unavailable);

        // Drafts are taken in order, so of the calls in flight only the last can have more of them, and they come first.
        var last = _inFlight.LastOrDefault()?.Ticket;
        while (_pending.First?.Value is { } rest && rest.Ticket == last)
        {
            if (_idempotent && rest.NeedsProbe) _toProbe--;
            rest.Resolve(ChannelPublisher.Unavailable);
            _pending.RemoveFirst();
        }

        _inFlight.Clear();
        _messages = [];
    }

    /// <summary>Takes the head, and the time stamp of the last message, as the log tells them after an unknown outcome.</summary>
    public void Resync(ChannelHead head, long lastAt) => (Head, _lastAt) = (head, Math.Max(_lastAt, lastAt));

    /// <summary>Refuses everything that waits; nothing of it was stored.</summary>
    public void RefusePending()
    {
        foreach (var draft in _pending) draft.Resolve(ChannelPublisher.Unavailable);
        _pending.Clear();
        _toProbe = 0;
    }

    /// <summary>
    /// Fails every call that waits: this activation was overtaken, and nothing of what waits was stored. A call of which a part was
    /// stored before is not failed as a whole; the rest of it is refused as unavailable.
    /// </summary>
    public void FailPending(Exception exception)
    {
        foreach (var draft in _pending)
        {
            if (draft.Ticket.IsUntouched) draft.Ticket.Fail(exception);
            else draft.Resolve(ChannelPublisher.Unavailable);
        }

        _pending.Clear();
        _toProbe = 0;
    }

    private void Gather(long at)
    {
        _messages = new List<Message>(Math.Min(_pending.Count, MaxBatchMessages));
        _inFlight.Clear();
        _keysInBatch.Clear();
        var bytes = 0;
        while (_pending.First is { } node && _messages.Count < MaxBatchMessages && bytes < MaxBatchBytes)
        {
            var draft = node.Value;
            var data = draft.Data;
            _pending.Remove(node);
            _inFlight.Add(draft);
            draft.Conflicts = draft.Joins = false;
            if (_idempotent && data.Key is { } key && _keysInBatch.TryGetValue(key, out var first))
            {
                (draft.Joins, draft.Index) = (true, first);
                continue;
            }

            var head = Head.Head + _messages.Count;
            if (data.IfOffset is { } wanted && wanted != head)
            {
                draft.Conflicts = true;
                continue;
            }

            draft.Index = _messages.Count;
            if (data.Key is not null) _keysInBatch[data.Key] = draft.Index;
            bytes += data.Data.Length;
            _messages.Add(new Message
            {
                Offset = head + 1,
                At = at,
                Payload = new Payload(data.Data, data.IsBinary),
                Key = data.Key,
                Event = data.Event,
                From = draft.Ticket.Batch.From,
            });
        }
    }

    /// <summary>Answers the batch that was just decided; its messages start after the head before it.</summary>
    private void Settle()
    {
        var first = Head.Head - _inFlight.Count(d => d is { Conflicts: false, Joins: false }) + 1;
        foreach (var draft in _inFlight)
        {
            draft.Resolve(draft.Conflicts
                ? PublishReceipt.Refused(ErrorCode.Conflict)
                : new PublishReceipt(new Position(Head.Epoch, first + draft.Index), draft.Joins));
        }

        _inFlight.Clear();
    }

    private void Requeue()
    {
        for (var i = _inFlight.Count - 1; i >= 0; i--)
        {
            if (!_inFlight[i].Resolved) _pending.AddFirst(_inFlight[i]);
        }

        _inFlight.Clear();
        _messages = [];
    }

    /// <summary>One draft of a ticket, and how the batch under way judges it.</summary>
    private sealed class Draft(PublishTicket ticket, int position)
    {
        public PublishTicket Ticket => ticket;

        public MessageDraft Data => ticket.Batch.Drafts[position];

        /// <summary>The index in the append of its message, or of the message with the same key that it joins.</summary>
        public int Index { get; set; }

        public bool Conflicts { get; set; }

        public bool Joins { get; set; }

        public bool Probed { get; set; }

        public bool NeedsProbe => !Probed && Data is { Key: not null, IfOffset: not null };

        public bool Resolved { get; private set; }

        public void Resolve(PublishReceipt receipt)
        {
            if (Resolved) return;
            Resolved = true;
            ticket.Resolve(position, receipt);
        }
    }
}

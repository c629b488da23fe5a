using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;

namespace Grid.Server.Relay;

/// <content>How a subscription that is behind reads on at the pace of its socket.</content>
internal sealed partial class LocalChannel
{
    private const int CatchUpMessages = 500;

    /// <summary>
    /// Delivers what there is room for, from memory if that reaches back far enough, else from the log. The consumer calls it when its
    /// socket has drained, one call at a time. False: the subscription is live again, or has left.
    /// </summary>
    public async Task<bool> CatchUpAsync(Subscription subscription)
    {
        Position cursor;
        lock (_gate)
        {
            if (subscription.Mode != SubscriptionMode.Behind) return false;
            cursor = subscription.Cursor;
            var have = _cursor!.Have;
            if (cursor.Epoch == have.Epoch)
            {
                if (TrySetLive(subscription)) return false;
                if (subscription.FellBehind && policy.SlowConsumer == SlowConsumerPolicy.Drop)
                {
                    var gap = new GapFrame(id.Name, have.Epoch, cursor.Offset + 1, have.Offset, GapReason.Dropped);
                    return !(WriteGap(subscription, gap) && TrySetLive(subscription));
                }

                if (InMemory(cursor.Offset) is { Length: > 0 } recent)
                {
                    metrics.Read(fromRing: true);
                    Write(subscription, recent);
                    return !TrySetLive(subscription);
                }
            }
        }

        metrics.Read(fromRing: false);
        var page = await reader.ReadAsync(id, cursor.Offset, CatchUpMessages, RunBytes * 4);
        lock (_gate)
        {
            if (subscription.Mode != SubscriptionMode.Behind) return false;
            if (page.Head.Epoch == cursor.Epoch)
            {
                if (page.Head.Oldest > cursor.Offset + 1)
                {
                    var gap = new GapFrame(id.Name, cursor.Epoch, cursor.Offset + 1, page.Head.Oldest - 1, GapReason.Retention);
                    if (!WriteGap(subscription, gap)) return true;
                }

                Message[] messages = [.. page.Messages];
                if (_behind > 1 && page.Head.Epoch == _cursor!.Have.Epoch) _page.Add(messages);
                Write(subscription, messages);
                return !TrySetLive(subscription);
            }

            if (!WriteGap(subscription, RelayCursor.EpochGap(id.Name, page.Head))) return true;
        }

        // The silo itself may not have noticed the new epoch yet.
        await PostAsync(new DeliverBatch { Channel = id, Head = page.Head, Messages = [] });
        return true;
    }

    private void FallBehind(Subscription subscription)
    {
        if (policy.SlowConsumer == SlowConsumerPolicy.Disconnect)
        {
            subscription.Mode = SubscriptionMode.Paused;
            subscription.Consumer.OnTooSlow(subscription);
            return;
        }

        subscription.FellBehind = true;
        metrics.FellBehind();
        BecomeBehind(subscription);
    }

    private void BecomeBehind(Subscription subscription)
    {
        subscription.Mode = SubscriptionMode.Behind;
        _behind++;
        metrics.BeganBehind();
        subscription.Consumer.OnBehind(subscription);
    }

    private void EndBehind()
    {
        if (--_behind == 0) _ring.Clear();
        metrics.EndedBehind();
    }

    private Message[] InMemory(long after)
    {
        var recent = _ring.After(after, CatchUpMessages);
        return recent.Length > 0 ? recent : _page.After(after, CatchUpMessages);
    }

    private bool TrySetLive(Subscription subscription)
    {
        var have = _cursor!.Have;
        if (subscription.Cursor.Epoch != have.Epoch || subscription.Cursor.Offset < have.Offset) return false;
        subscription.Mode = SubscriptionMode.Live;
        EndBehind();
        subscription.FellBehind = false;
        return true;
    }

    /// <summary>Writes messages that follow the cursor, as many as there is room for.</summary>
    private void Write(Subscription subscription, ReadOnlySpan<Message> messages)
    {
        if (subscription.FellBehind && policy.SlowConsumer == SlowConsumerPolicy.Conflate) messages = Conflate(messages);
        while (!messages.IsEmpty)
        {
            // What conflation left out is announced before what follows it.
            if (messages[0].Offset > subscription.Cursor.Offset + 1)
            {
                var gap = new GapFrame(
                    id.Name, subscription.Cursor.Epoch, subscription.Cursor.Offset + 1, messages[0].Offset - 1, GapReason.Dropped);
                if (!WriteGap(subscription, gap)) return;
            }

            var count = 1;
            var bytes = messages[0].Payload.Bytes.Length;
            for (; count < messages.Length && bytes < RunBytes && messages[count].Offset == messages[count - 1].Offset + 1; count++)
                bytes += messages[count].Payload.Bytes.Length;

            var encoded = new EncodedRun(subscription.Consumer.Encoder, id, subscription.Cursor.Epoch, messages[..count]);
            var fitting = encoded.CountFitting(0, subscription.Consumer.Room);
            if (fitting == 0) return;
            var slice = encoded.Slice(0, fitting);
            if (!subscription.Consumer.TryDeliver(slice)) return;
            subscription.Cursor = subscription.Cursor with { Offset = messages[fitting - 1].Offset };
            metrics.Delivered(fitting, slice.Length);
            if (fitting < count) return;
            messages = messages[count..];
        }
    }

    /// <summary>Keeps the newest message of each key, and those without a key.</summary>
    private static Message[] Conflate(ReadOnlySpan<Message> messages)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var kept = new List<Message>(messages.Length);
        for (var i = messages.Length - 1; i >= 0; i--)
        {
            if (messages[i].Key is not { } key || seen.Add(key)) kept.Add(messages[i]);
        }

        kept.Reverse();
        return [.. kept];
    }

    private bool WriteGap(Subscription subscription, GapFrame gap)
    {
        if (!subscription.Consumer.TryDeliver(EncodedRun.Gap(subscription.Consumer.Encoder, gap))) return false;

        // To take an old epoch's ack for the new one's would skip messages at a resume; to take a new one's for old only repeats some.
        if (gap.Epoch != subscription.Cursor.Epoch)
            subscription.OldEpochUpTo = Math.Max(subscription.OldEpochUpTo, subscription.Cursor.Offset);
        subscription.Cursor = new Position(gap.Epoch, gap.To);
        metrics.Gap(gap.Reason);
        return true;
    }
}

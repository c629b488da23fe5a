using System.Globalization;
using Grid.Abstractions;
using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks;

// Polling: attempts are leased to whoever asks instead of being sent.
internal sealed partial class WebhookGrain
{
    private const int MaxPollBytes = 1024 * 1024;

    /// <summary>How many ends of leases are remembered before those of leases that are over are looked for.</summary>
    internal const int MaxLeaseEnds = 4 * WebhookDocument.MaxLeases;

    private static readonly TimeSpan MinLease = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxLease = TimeSpan.FromHours(12);
    private static readonly TimeSpan PollPatience = TimeSpan.FromSeconds(5);

    private readonly Dictionary<long, WebhookAttempt> _leases = [];
    private readonly PriorityQueue<long, long> _leaseEnds = new();

    /// <summary>How often messages were handed out that were not acknowledged.</summary>
    private readonly Dictionary<MessageRef, int> _handedOut = [];
    private int _polls;

    /// <summary>How many ends of leases are remembered.</summary>
    internal int LeaseEnds => _leaseEnds.Count;

    private long FirstLeaseEnd
    {
        get
        {
            while (_leaseEnds.TryPeek(out var number, out var end))
            {
                if (_leases.ContainsKey(number)) return end;
                _leaseEnds.Dequeue();
            }

            return long.MaxValue;
        }
    }

    public async Task<WebhookPulled[]?> PollAsync(int limit, TimeSpan lease)
    {
        if (!await ExistsAsync() || !IsPull) return null;
        var machine = _machine!;
        limit = Math.Clamp(limit, 1, WebhookDocument.MaxLeases);
        var leaseMs = (long)TimeSpan.FromTicks(Math.Clamp(lease.Ticks, MinLease.Ticks, MaxLease.Ticks)).TotalMilliseconds;
        var started = time.GetTimestamp();
        var taken = new List<WebhookPulled>();
        var bytes = 0;
        _polls++;
        try
        {
            // Nobody wakes it, and a wake-up may have been lost.
            LookForMarks();
            while (true)
            {
                Run();
                var before = taken.Count;
                while (!_stopped && taken.Count < limit && bytes < MaxPollBytes && machine.NextDelivery(NowMs) is { } attempt)
                {
                    bytes += attempt.Message.Payload.Bytes.Length;
                    taken.Add(Lease(attempt, NowMs + leaseMs));
                }

                if (_stopped || taken.Count >= limit || bytes >= MaxPollBytes) break;

                // Taking made room for more to be read; when that brings nothing, there is no more.
                if (_reads > 0 || _loading || _readingPage)
                {
                    if (time.GetElapsedTime(started) > PollPatience) break;
                    await NextStepAsync();
                }
                else if (taken.Count == before)
                {
                    break;
                }
            }
        }
        finally
        {
            _polls--;
            Run();
        }

        return [.. taken];
    }

    public async Task<int?> AckAsync(string[] acknowledged, string[] returned)
    {
        if (!await ExistsAsync() || !IsPull) return null;
        var machine = _machine!;
        ReturnEnded(NowMs);
        var count = 0;
        foreach (var lease in acknowledged)
        {
            if (EndLease(lease) is not { } attempt) continue;
            _handedOut.Remove(attempt.Ref);
            machine.OnOutcome(attempt.Number, new Outcome(OutcomeKind.Delivered), NowMs);
            count++;
        }

        foreach (var lease in returned)
        {
            if (EndLease(lease) is { } attempt) machine.OnOutcome(attempt.Number, new Outcome(OutcomeKind.Returned), NowMs);
        }

        if (count > 0) await FlushAsync(machine);
        Run();
        return count;
    }

    private WebhookPulled Lease(WebhookAttempt attempt, long end)
    {
        _leases.Add(attempt.Number, attempt);
        _leaseEnds.Enqueue(attempt.Number, end);
        if (_leaseEnds.Count > MaxLeaseEnds)
        {
            // Those acknowledged leave when they are the first; behind one that is kept for hours they would gather.
            var open = _leaseEnds.UnorderedItems.Where(l => _leases.ContainsKey(l.Element)).ToArray();
            _leaseEnds.Clear();
            _leaseEnds.EnqueueRange(open);
        }

        var times = _handedOut.GetValueOrDefault(attempt.Ref) + 1;
        if (times > 1 || _handedOut.Count < 4 * WebhookDocument.MaxLeases) _handedOut[attempt.Ref] = times;
        var id = attempt.Ref.ToId();
        return new WebhookPulled
        {
            // With the message's id: the numbers of another activation mean other messages.
            Lease = string.Create(CultureInfo.InvariantCulture, $"{attempt.Number}.{id}"),
            MessageId = id,
            Channel = attempt.Ref.Channel,
            Epoch = attempt.Ref.Epoch,
            Attempt = times,
            Message = attempt.Message,
        };
    }

    private WebhookAttempt? EndLease(string lease)
    {
        var dot = lease.IndexOf('.', StringComparison.Ordinal);
        if (dot <= 0 || !long.TryParse(lease.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out var number)) return null;
        if (!_leases.TryGetValue(number, out var attempt) || !lease.AsSpan(dot + 1).SequenceEqual(attempt.Ref.ToId())) return null;
        _leases.Remove(number);
        return attempt;
    }

    /// <summary>Takes back what was not acknowledged in time.</summary>
    private void ReturnEnded(long now)
    {
        while (FirstLeaseEnd <= now)
        {
            var number = _leaseEnds.Dequeue();
            _leases.Remove(number);
            _machine!.OnOutcome(number, new Outcome(OutcomeKind.Returned), now);
        }
    }

    private void ReturnAll()
    {
        foreach (var number in _leases.Keys) _machine!.OnOutcome(number, new Outcome(OutcomeKind.Returned), NowMs);
        _leases.Clear();
    }
}

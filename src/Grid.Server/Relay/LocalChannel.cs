using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;

namespace Grid.Server.Relay;

/// <summary>
/// One channel on one silo: the consumer of the channel for all local sockets. It has one position, repairs from the log what it
/// missed, encodes each message once for each kind of consumer, and hands the bytes to every live subscription.
/// </summary>
/// <remarks>
/// Batches are taken one after the other (<see cref="RunAsync"/>), on the thread pool, so that channels do not wait for each other.
/// The lock guards position, ring and subscriptions for short synchronous sections; no await happens under it. Subscriptions that
/// have no room for a run become <see cref="SubscriptionMode.Behind"/> and read on by <see cref="CatchUpAsync"/> (in the other part of
/// this class) when their socket has drained.
/// </remarks>
/// <param name="id">The channel.</param>
/// <param name="policy">Its namespace's policy.</param>
/// <param name="reader">Reads what the silo missed.</param>
/// <param name="attach">Tells the channel's grain that this silo listens.</param>
/// <param name="metrics">What is counted.</param>
/// <param name="queue">Where the taking of batches runs.</param>
internal sealed partial class LocalChannel(
    ChannelId id,
    NamespacePolicy policy,
    IChannelReader reader,
    Func<ChannelId, Task<ChannelHead>> attach,
    RelayMetrics metrics,
    WorkQueue queue) : IThreadPoolWorkItem
{
    /// <summary>The payload bytes after which a run is handed over before more is encoded: keeps buffers off the large object heap.</summary>
    private const int RunBytes = 24 * 1024;

    private readonly Lock _gate = new();
    private readonly List<Subscription> _subscriptions = [];
    private readonly List<(IDeliveryEncoder Encoder, EncodedRun Run)> _encoded = [];
    private readonly Queue<(DeliverBatch Batch, TaskCompletionSource<DeliverAck> Done)> _arrived = new();

    /// <summary>What was delivered since a subscription is behind. With none behind nothing is kept; see <see cref="_page"/>.</summary>
    private readonly RecentMessages _ring = new(maxMessages: 256, maxBytes: 256 * 1024);

    /// <summary>What was last read from the log: those that come back together, after a break of the network, go on from one place.</summary>
    private readonly RecentMessages _page = new(maxMessages: CatchUpMessages, maxBytes: RunBytes * 4);
    private Task? _attached;
    private RelayCursor? _cursor;
    private int _behind;
    private bool _running;
    private bool _retired;
    private long _heard;
    private long _quietSince = Environment.TickCount64;

    /// <summary>The channel.</summary>
    public ChannelId Id => id;

    /// <summary>How many subscriptions it has.</summary>
    public int SubscriptionCount
    {
        get { lock (_gate) return _subscriptions.Count; }
    }

    /// <summary>What its subscribers were served; null before the first attach.</summary>
    public Position? Have
    {
        get { lock (_gate) return _cursor?.Have; }
    }

    /// <summary>How many messages it has heard of and not yet handed on. Takes no lock: a look must not wait for a delivery.</summary>
    public long Behind => _cursor is { } cursor ? Math.Max(0, Volatile.Read(ref _heard) - cursor.Have.Offset) : 0;

    /// <summary>How long nothing was delivered, in milliseconds.</summary>
    public long QuietMs
    {
        get { lock (_gate) return Environment.TickCount64 - _quietSince; }
    }

    /// <summary>
    /// Adds a subscription, not yet started. Null: the channel was retired meanwhile; ask for it again.
    /// </summary>
    /// <param name="consumer">Who consumes.</param>
    /// <param name="cursor">After which message to start; of the epoch that the log has now.</param>
    /// <param name="head">How far the log says the channel reaches: the silo's own position is brought there first.</param>
    public async Task<Subscription?> JoinAsync(IConsumer consumer, Position cursor, ChannelHead head)
    {
        await EnsureAttachedAsync();
        if (Have != head.Position)
        {
            var ack = await PostAsync(new DeliverBatch { Channel = id, Head = head, Messages = [] });
            if (!ack.Interested) return null;
        }

        lock (_gate)
        {
            if (_retired) return null;
            var subscription = new Subscription(this, consumer, cursor) { Index = _subscriptions.Count };
            _subscriptions.Add(subscription);
            metrics.Joined();
            return subscription;
        }
    }

    /// <summary>Starts a subscription: live if it is at the silo's position, else behind.</summary>
    public void Start(Subscription subscription)
    {
        lock (_gate)
        {
            if (subscription.Mode != SubscriptionMode.Paused) return;
            if (subscription.Cursor.Epoch == _cursor!.Have.Epoch && subscription.Cursor.Offset >= _cursor.Have.Offset)
            {
                subscription.Mode = SubscriptionMode.Live;
                return;
            }

            BecomeBehind(subscription);
        }
    }

    /// <summary>Removes a subscription; nothing is delivered to it afterwards.</summary>
    public void Leave(Subscription subscription)
    {
        lock (_gate)
        {
            if (subscription.Mode == SubscriptionMode.Left) return;
            if (subscription.Mode == SubscriptionMode.Behind) EndBehind();
            metrics.Left();
            subscription.Mode = SubscriptionMode.Left;
            var last = _subscriptions[^1];
            _subscriptions[subscription.Index] = last;
            last.Index = subscription.Index;
            _subscriptions.RemoveAt(_subscriptions.Count - 1);
            if (_subscriptions.Count == 0) _quietSince = Environment.TickCount64;
        }
    }

    /// <summary>Notes what the client has finished with. After a change of epoch, only what cannot mean the old one. False: it names a message that it was never sent.</summary>
    public bool Ack(Subscription subscription, long offset)
    {
        // Under the lock, since the client may answer a message before the delivering thread has moved the cursor.
        lock (_gate)
        {
            if (offset <= subscription.OldEpochUpTo) return true;
            if (offset > subscription.Cursor.Offset) return false;
            subscription.OldEpochUpTo = 0;
            if (subscription.Acked.Epoch != subscription.Cursor.Epoch || offset > subscription.Acked.Offset)
                subscription.Acked = new Position(subscription.Cursor.Epoch, offset);
            return true;
        }
    }

    /// <summary>Takes a batch; the task ends when local subscribers were served or have fallen behind.</summary>
    public Task<DeliverAck> PostAsync(DeliverBatch batch)
    {
        lock (_gate)
        {
            if (_retired) return Task.FromResult(default(DeliverAck));
            if (batch.Head.Epoch == _cursor?.Have.Epoch && batch.Head.Head > _heard) _heard = batch.Head.Head;
            var done = new TaskCompletionSource<DeliverAck>(TaskCreationOptions.RunContinuationsAsynchronously);
            _arrived.Enqueue((batch, done));
            if (!_running)
            {
                _running = true;
                queue.Add(this);
            }

            return done.Task;
        }
    }

    /// <summary>Whether the silo still wants this channel, and from where on.</summary>
    /// <remarks>
    /// While it attaches, the answer is yes, from an unknown place on: the activation that it attaches to may be overtaken by the one
    /// that asks.
    /// </remarks>
    public DeliverAck Interest()
    {
        lock (_gate) return _retired || _attached is null ? default : new DeliverAck(true, _cursor?.Have ?? default);
    }

    /// <summary>Ends the silo's interest if nobody has listened for a while. True: it has ended, and this object is of no more use.</summary>
    public bool TryRetire(long quietMs)
    {
        lock (_gate)
        {
            if (_behind == 0) _page.Clear();
            if (_subscriptions.Count > 0) return false;

            if (_running || Environment.TickCount64 - _quietSince < quietMs) return false;
            return _retired = true;
        }
    }

    /// <summary>Tells the channel's grain again that this silo listens: for a feed that was lost unnoticed.</summary>
    public async Task ReattachAsync()
    {
        await attach(id);

        // How far to go is the log's to say: the grain may have been overtaken, or have slept through a purge, and not know yet.
        var head = await reader.GetHeadAsync(id);
        await PostAsync(new DeliverBatch { Channel = id, Head = head, Messages = [] });
    }

    /// <summary>Tells the channel's grain once that this silo listens, and takes its head as the first position.</summary>
    public Task EnsureAttachedAsync()
    {
        lock (_gate) return _attached ??= AttachAsync();
    }

    private async Task AttachAsync()
    {
        await Task.Yield();
        try
        {
            var head = await attach(id);
            lock (_gate) (_cursor, _heard) = (new RelayCursor(head), head.Head);
        }
        catch
        {
            lock (_gate) _attached = null;
            throw;
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private async Task RunAsync()
    {
        while (true)
        {
            DeliverBatch batch;
            TaskCompletionSource<DeliverAck> done;
            lock (_gate)
            {
                if (!_arrived.TryDequeue(out var next))
                {
                    _running = false;
                    return;
                }

                (batch, done) = next;
            }

            try
            {
                await EnsureAttachedAsync();
                await ReconcileAsync(batch);
                done.SetResult(Interest());
            }
            catch (Exception e)
            {
                // The sender tries again; subscribers have lost nothing, since the position did not move past it.
                done.SetException(e);
            }
        }
    }

    /// <summary>Delivers a batch, after whatever is missing before it.</summary>
    private async Task ReconcileAsync(DeliverBatch batch)
    {
        while (true)
        {
            Position have;
            lock (_gate)
            {
                var step = _cursor!.Judge(batch);
                have = _cursor.Have;
                switch (step.Action)
                {
                    case RelayAction.Done:
                        return;
                    case RelayAction.Deliver:
                        FanOut(batch.Messages.AsSpan(step.Skip));
                        continue;
                    case RelayAction.Repair:
                        metrics.Repair();
                        break;
                    case RelayAction.CheckEpoch:
                        have = default;
                        break;
                }
            }

            // Repair, or another epoch: the log knows.
            var page = have.Epoch is null
                ? new ChannelPage(await reader.GetHeadAsync(id), [])
                : await reader.ReadAsync(id, have.Offset, maxMessages: 1000, maxBytes: 1024 * 1024);
            lock (_gate)
            {
                if (page.Head.Epoch != _cursor!.Have.Epoch)
                {
                    EnterEpoch(page.Head);
                    batch = batch.Head.Epoch == page.Head.Epoch
                        ? batch : new DeliverBatch { Channel = id, Head = page.Head, Messages = [] };
                    continue;
                }

                // A batch of an epoch that is over, from a sender that does not know: nothing to do.
                if (have.Epoch is null) return;
                if (_cursor.GapBefore(id.Name, page) is { } gap) FanOutGap(gap);
                else if (page.Messages.Count == 0) return;
                FanOut([.. page.Messages]);
            }
        }
    }

    private void FanOut(ReadOnlySpan<Message> messages)
    {
        if (messages.IsEmpty) return;
        _quietSince = Environment.TickCount64;
        var at = messages[0].At;
        for (var rest = messages; !rest.IsEmpty;)
        {
            var count = 0;
            for (var bytes = 0; count < rest.Length && bytes < RunBytes; count++) bytes += rest[count].Payload.Bytes.Length;
            FanOutRun(rest[..count]);
            rest = rest[count..];
        }

        // After it, so that the run for which the first had no room is there too.
        if (_behind > 0) _ring.Add(messages);

        if (_subscriptions.Count > 0) metrics.Served(at);
    }

    private void FanOutRun(ReadOnlySpan<Message> run)
    {
        var first = run[0].Offset;
        var (delivered, bytes) = (0L, 0L);

        // The position first: a client may answer a message while others are still being served.
        _cursor!.MoveTo(run[^1].Offset);
        for (var i = 0; i < _subscriptions.Count; i++)
        {
            var subscription = _subscriptions[i];
            if (subscription.Mode != SubscriptionMode.Live) continue;
            var skip = (int)Math.Max(0, subscription.Cursor.Offset + 1 - first);
            if (skip >= run.Length) continue;
            var encoded = Encoded(subscription.Consumer.Encoder, run);
            var count = encoded.CountFitting(skip, subscription.Consumer.Room);
            var slice = count > 0 ? encoded.Slice(skip, count) : default;
            if (count > 0 && subscription.Consumer.TryDeliver(slice))
            {
                subscription.Cursor = subscription.Cursor with { Offset = first + skip + count - 1 };
                delivered += count;
                bytes += slice.Length;
            }
            else
            {
                count = 0;
            }

            if (skip + count < run.Length) FallBehind(subscription);
        }

        _encoded.Clear();
        metrics.Delivered(delivered, bytes);
    }

    private void FanOutGap(GapFrame gap)
    {
        _cursor!.MoveTo(gap.To);
        foreach (var subscription in _subscriptions)
        {
            if (subscription.Mode != SubscriptionMode.Live || subscription.Cursor.Offset >= gap.To) continue;
            if (!WriteGap(subscription, gap with { From = subscription.Cursor.Offset + 1 })) FallBehind(subscription);
        }
    }

    private void EnterEpoch(ChannelHead head)
    {
        _ring.Clear();
        _page.Clear();
        _heard = head.Head;
        var gap = _cursor!.Enter(id.Name, head);
        foreach (var subscription in _subscriptions)
        {
            if (subscription.Mode == SubscriptionMode.Live && !WriteGap(subscription, gap)) FallBehind(subscription);
        }
    }

    private EncodedRun Encoded(IDeliveryEncoder encoder, ReadOnlySpan<Message> run)
    {
        foreach (var (known, encoded) in _encoded)
        {
            if (ReferenceEquals(known, encoder)) return encoded;
        }

        var made = new EncodedRun(encoder, id, _cursor!.Have.Epoch, run);
        _encoded.Add((encoder, made));
        return made;
    }
}

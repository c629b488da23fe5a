using Grid.Abstractions;
using Grid.Server.Channels;

namespace Grid.Server.Gateway;

/// <summary>
/// The publishes of one connection to one channel: one call is on its way, what comes meanwhile goes with the next. That keeps a
/// client's pipelined publishes in order, and makes one call of many.
/// </summary>
/// <remarks>
/// A publish that is answered as unavailable may come again, and what the client had sent behind it must not be stored before. So that
/// is refused too: what waits here, and what arrives until the time has passed after which the client was told to try again.
/// </remarks>
internal sealed class PublishLane(ClientConnection connection, ChannelId channel, ChannelPublisher publisher, string? from, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly IChannelGrain _grain = publisher.GrainOf(channel);
    private List<MessageDraft> _drafts = [];
    private List<long?> _ids = [];
    private bool _busy;
    private long _heldFrom;
    private TimeSpan _held;

    /// <summary>The channel.</summary>
    public ChannelId Channel => channel;

    /// <summary>Whether nothing is on its way, waiting, or to be refused.</summary>
    public bool IsIdle
    {
        get { lock (_gate) return !_busy && HeldMs() == 0; }
    }

    /// <summary>Takes one draft; its answer, if <paramref name="id"/> asks for one, goes to the connection.</summary>
    public void Add(MessageDraft draft, long? id)
    {
        lock (_gate)
        {
            _drafts.Add(draft);
            _ids.Add(id);
            if (_busy) return;
            _busy = true;
        }

        _ = RunAsync();
    }

    private async Task RunAsync()
    {
        while (true)
        {
            List<MessageDraft> drafts;
            List<long?> ids;
            lock (_gate)
            {
                if (_drafts.Count == 0)
                {
                    _busy = false;
                    return;
                }

                (drafts, ids) = (_drafts, _ids);
                (_drafts, _ids) = ([], []);
            }

            if (HeldMs() is > 0 and var heldMs)
            {
                var refused = new PublishReceipt[drafts.Count];
                Array.Fill(refused, PublishReceipt.Refused(ErrorCode.Unavailable, heldMs));
                connection.OnPublished(channel, drafts, ids, refused);
                continue;
            }

            // The publisher answers every failure by a receipt, so this loop cannot end in between.
            var receipts = await publisher.PublishAsync(_grain, channel, new PublishBatch { Drafts = [.. drafts], From = from });
            Hold(ids, receipts);
            connection.OnPublished(channel, drafts, ids, receipts);
        }
    }

    /// <summary>Before the answers go out: from now on refuses, if one of them is unavailable and somebody hears of it.</summary>
    private void Hold(List<long?> ids, PublishReceipt[] receipts)
    {
        for (var i = 0; i < receipts.Length; i++)
        {
            if (receipts[i].Error != ErrorCode.Unavailable || ids[i] is null) continue;
            (_heldFrom, _held) = (time.GetTimestamp(), TimeSpan.FromMilliseconds(receipts[i].RetryAfterMs ?? 0));
            return;
        }
    }

    /// <summary>For how long publishes are refused yet, in milliseconds.</summary>
    private long HeldMs() =>
        _held == TimeSpan.Zero ? 0 : Math.Max(0, (long)Math.Ceiling((_held - time.GetElapsedTime(_heldFrom)).TotalMilliseconds));
}

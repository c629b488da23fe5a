using Grid.Abstractions;
using Grid.Server.Channels;

namespace Grid.Server.Gateway;

/// <summary>
/// The publishes of one connection to one channel: one call is on its way, what comes meanwhile goes with the next. That keeps a
/// client's pipelined publishes in order, and makes one call of many.
/// </summary>
/// <remarks>
/// A publish with a key that is answered as unavailable will come again, and what the client had sent behind it must not be stored
/// before. So that is refused too: what waits here, and what arrives, until the refused one is here again. Its client sends that after
/// it has heard of the refusal, hence behind all that it had sent before. A client that does not send it again is refused for
/// <see cref="HoldFor"/> in which its socket was read.
/// </remarks>
/// <param name="connection">The connection.</param>
/// <param name="channel">The channel.</param>
/// <param name="publisher">Publishes.</param>
/// <param name="from">Who, for the subscribers.</param>
/// <param name="holds">Whether keys say which publish is which, so that one can be waited for.</param>
/// <param name="time">The clock.</param>
internal sealed class PublishLane(
    ClientConnection connection, ChannelId channel, ChannelPublisher publisher, string? from, bool holds, TimeProvider time)
{
    /// <summary>How long a publish that was answered as unavailable is waited for: longer than clients take to send it again.</summary>
    private static readonly TimeSpan HoldFor = TimeSpan.FromSeconds(2);

    /// <summary>The same where the socket is hardly read, since other channels keep it full.</summary>
    private static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly IChannelGrain _grain = publisher.GrainOf(channel);
    private List<MessageDraft> _drafts = [];
    private List<long?> _ids = [];
    private bool _busy;
    private string? _heldKey;
    private long _heldSince;

    /// <summary>The channel.</summary>
    public ChannelId Channel => channel;

    /// <summary>Whether nothing is on its way, waiting, or to be refused.</summary>
    public bool IsIdle
    {
        get { lock (_gate) return !_busy && !IsHeld(); }
    }

    /// <summary>Takes one draft; its answer, if <paramref name="id"/> asks for one, goes to the connection.</summary>
    /// <returns>Whether no call is on its way to take it along: then <see cref="Start"/> has to be called.</returns>
    public bool Add(MessageDraft draft, long? id)
    {
        lock (_gate)
        {
            _drafts.Add(draft);
            _ids.Add(id);
            if (_busy) return false;
            return _busy = true;
        }
    }

    /// <summary>Sends what has gathered since <see cref="Add"/> asked for it.</summary>
    public void Start() => _ = RunAsync();

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

            if (IsHeld()) Refuse(drafts, ids);
            if (drafts.Count == 0) continue;

            using var underWay = publisher.UnderWay.Begin();

            // The publisher answers every failure by a receipt, so this loop cannot end in between.
            var receipts = await publisher.PublishAsync(_grain, channel, new PublishBatch { Drafts = [.. drafts], From = from });
            Hold(drafts, ids, receipts);
            connection.OnPublished(channel, drafts, ids, receipts);
        }
    }

    /// <summary>Before the answers go out: if one of them is unavailable, nothing goes on until it is here again.</summary>
    private void Hold(List<MessageDraft> drafts, List<long?> ids, PublishReceipt[] receipts)
    {
        for (var i = 0; holds && i < receipts.Length; i++)
        {
            if (receipts[i].Error != ErrorCode.Unavailable || ids[i] is null || drafts[i].Key is null) continue;
            (_heldKey, _heldSince) = (drafts[i].Key, time.GetTimestamp());
            return;
        }
    }

    private bool IsHeld()
    {
        if (_heldKey is not null && (time.GetElapsedTime(_heldSince) > LongestHold
            || time.GetElapsedTime(Math.Max(_heldSince, connection.ReadingSince)) > HoldFor)) _heldKey = null;
        return _heldKey is not null;
    }

    /// <summary>Takes out, and answers, what comes before the publish that is waited for.</summary>
    private void Refuse(List<MessageDraft> drafts, List<long?> ids)
    {
        var count = drafts.FindIndex(d => d.Key == _heldKey);
        if (count >= 0) _heldKey = null;
        else count = drafts.Count;
        if (count == 0) return;
        connection.OnPublished(channel, drafts.GetRange(0, count), ids.GetRange(0, count), publisher.Refuse(count));
        drafts.RemoveRange(0, count);
        ids.RemoveRange(0, count);
    }
}

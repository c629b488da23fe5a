using Grid.Abstractions;
using Grid.Server.Channels;

namespace Grid.Server.Gateway;

/// <summary>
/// The publishes of one connection to one channel: one call is on its way, what comes meanwhile goes with the next. That keeps a
/// client's pipelined publishes in order, and makes one call of many.
/// </summary>
internal sealed class PublishLane(ClientConnection connection, ChannelId channel, ChannelPublisher publisher, string? from)
{
    private readonly Lock _gate = new();
    private readonly IChannelGrain _grain = publisher.GrainOf(channel);
    private List<MessageDraft> _drafts = [];
    private List<long?> _ids = [];
    private bool _busy;

    /// <summary>The channel.</summary>
    public ChannelId Channel => channel;

    /// <summary>Whether nothing is on its way or waiting.</summary>
    public bool IsIdle
    {
        get { lock (_gate) return !_busy; }
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

            // The publisher answers every failure by a receipt, so this loop cannot end in between.
            var receipts = await publisher.PublishAsync(_grain, channel, new PublishBatch { Drafts = [.. drafts], From = from });
            connection.OnPublished(channel, drafts, ids, receipts);
        }
    }
}

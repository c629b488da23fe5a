using System.Collections.Concurrent;
using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Webhooks.Store.RocksDb;

namespace Grid.Server.Log;

/// <summary>How a channel stood after some write that is finished. Readers work on one such view.</summary>
/// <param name="Number">The number that its messages' keys start with; 0 when nothing was ever stored.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Oldest">The oldest offset kept.</param>
/// <param name="Head">The last offset.</param>
internal sealed record ChannelView(long Number, string Epoch, long Oldest, long Head)
{
    /// <summary>What callers get to see of it.</summary>
    public ChannelHead ToHead() => new(Epoch, Oldest, Head);
}

/// <summary>
/// A channel as the writer knows it: what is stored and, on top, what the group in the making changes. Only the writer's thread
/// touches it, but for <see cref="View"/> and <see cref="Used"/>.
/// </summary>
internal sealed class ChannelState(ChannelId channel, NamespacePolicy policy, ChannelRecord record, long head, long total)
{
    private volatile ChannelView _view = new(record.Number, record.Epoch, record.Oldest, head);

    public ChannelId Channel { get; } = channel;

    public NamespacePolicy Policy { get; } = policy;

    /// <summary>Its record; number 0 means that none is stored.</summary>
    public ChannelRecord Record { get; set; } = record;

    /// <summary>The last offset given.</summary>
    public long Head { get; set; } = head;

    /// <summary>The payload bytes that the channel ever took in its epoch.</summary>
    public long Total { get; set; } = total;

    /// <summary>The group that changed it last. While that one is not written, the database does not know it all.</summary>
    public long Group { get; set; }

    /// <summary>The first append of the group in the making; null between groups, or when a trim or purge came before it.</summary>
    public AppendRequest? GroupFirst { get; set; }

    /// <summary>The keys that the group in the making stores, made when a second append of the channel joins the group; else null.</summary>
    public Dictionary<string, long>? GroupKeys { get; set; }

    /// <summary>The webhook subscriptions that match it, as last looked up; null: never.</summary>
    public ChannelHooks? Hooks { get; set; }

    /// <summary>The group that changed marks of webhooks on it last. While that one is not written, the database does not know them.</summary>
    public long MarksGroup { get; set; }

    /// <summary>What readers see.</summary>
    public ChannelView View => _view;

    /// <summary>Whether it was used since the cache last looked.</summary>
    public bool Used { get; set; }

    /// <summary>The payload bytes kept.</summary>
    public long Bytes => Total - Record.TotalBefore;

    /// <summary>The number of messages kept.</summary>
    public long Count => Head - Record.Oldest + 1;

    /// <summary>What readers are to see once the group is written.</summary>
    public ChannelView NewView() => new(Record.Number, Record.Epoch, Record.Oldest, Head);

    /// <summary>The group is written: lets readers see it.</summary>
    public void EndGroup(ChannelView view)
    {
        _view = view;
        GroupFirst = null;
        GroupKeys = null;
    }
}

/// <summary>
/// The channels in memory, bounded in number. Only the writer's thread adds and removes, so there is one state per channel and
/// never a stale one; readers look up, and read the database for what is not here.
/// </summary>
internal sealed class ChannelCache(int capacity)
{
    private readonly ConcurrentDictionary<ChannelId, ChannelState> _states = new();

    /// <summary>In the order of the next look; one that was used since the last goes to the back (the clock algorithm).</summary>
    private readonly Queue<ChannelState> _clock = new();

    /// <summary>The channels in memory.</summary>
    public int Count => _clock.Count;

    /// <summary>Finds a channel.</summary>
    public ChannelState? Find(ChannelId channel)
    {
        if (!_states.TryGetValue(channel, out var state)) return null;
        state.Used = true;
        return state;
    }

    /// <summary>
    /// Adds a channel. States of the group <paramref name="group"/> are not put out for it; nor is it itself, which the group is about to
    /// change.
    /// </summary>
    public void Add(ChannelState state, long group)
    {
        _states[state.Channel] = state;
        _clock.Enqueue(state);

        // Twice around finds a victim unless the group holds them all.
        for (var looks = _clock.Count * 2; _clock.Count > capacity && looks > 0; looks--)
        {
            var oldest = _clock.Dequeue();
            if (oldest == state || oldest.Used || oldest.Group == group || oldest.MarksGroup == group)
            {
                oldest.Used = false;
                _clock.Enqueue(oldest);
            }
            else
            {
                _states.TryRemove(oldest.Channel, out _);
            }
        }
    }

    /// <summary>Forgets all.</summary>
    public void Clear()
    {
        _states.Clear();
        _clock.Clear();
    }
}

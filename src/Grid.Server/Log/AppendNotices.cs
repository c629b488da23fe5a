using System.Collections.Concurrent;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Log;

/// <summary>Hears of appends that were made on this silo.</summary>
internal interface IAppendListener
{
    /// <summary>A channel reaches further. On the thread of who appended: to be noted, and looked at elsewhere.</summary>
    void OnAppended(ChannelId channel, Position head);
}

/// <summary>
/// Tells whoever reads a channel on this silo that it was appended to here, which saves them from asking the log again and again. A
/// hint only: a channel's grain may live on another silo, or move there at any time.
/// </summary>
internal sealed class AppendNotices
{
    private readonly ConcurrentDictionary<ChannelId, byte> _here = new();
    private readonly ConcurrentDictionary<ChannelId, HashSet<IAppendListener>> _listeners = new();

    /// <summary>A channel that somebody may read is appended to here from now on.</summary>
    public void Here(ChannelId channel) => _here.TryAdd(channel, 0);

    /// <summary>It is not any more.</summary>
    public void Gone(ChannelId channel) => _here.TryRemove(channel, out _);

    /// <summary>Whether a channel is appended to here: then who listens need not look.</summary>
    public bool IsHere(ChannelId channel) => _here.ContainsKey(channel);

    /// <summary>Tells a listener of a channel's appends.</summary>
    public void Listen(ChannelId channel, IAppendListener listener)
    {
        while (true)
        {
            var set = _listeners.GetOrAdd(channel, static _ => new HashSet<IAppendListener>(ReferenceEqualityComparer.Instance));
            lock (set)
            {
                // The last listener may just have left, and taken the set with it.
                if (!_listeners.TryGetValue(channel, out var current) || current != set) continue;
                set.Add(listener);
                return;
            }
        }
    }

    /// <summary>Tells it no more.</summary>
    public void Ignore(ChannelId channel, IAppendListener listener)
    {
        if (!_listeners.TryGetValue(channel, out var set)) return;
        lock (set)
        {
            set.Remove(listener);
            if (set.Count == 0) _listeners.TryRemove(KeyValuePair.Create(channel, set));
        }
    }

    /// <summary>A channel was appended to.</summary>
    public void Appended(ChannelId channel, Position head)
    {
        if (!_listeners.TryGetValue(channel, out var set)) return;
        lock (set)
        {
            foreach (var listener in set) listener.OnAppended(channel, head);
        }
    }
}

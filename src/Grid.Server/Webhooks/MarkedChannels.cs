using System.Collections;
using Grid.Abstractions;
using Grid.Server.Log;

namespace Grid.Server.Webhooks;

/// <summary>
/// The channels of a subscription that have a mark in the store, as far as is known. A channel that has one wakes nobody, so its appends
/// are listened to while it is here, as far as they are made on this silo; no more than a few channels' at once.
/// </summary>
internal sealed class MarkedChannels(AppendNotices notices, string tenant, IAppendListener listener) : IReadOnlyCollection<string>
{
    private const int MaxListened = 64;

    private readonly Dictionary<string, bool> _channels = new(StringComparer.Ordinal);
    private int _listened;
    private bool _ended;

    /// <inheritdoc/>
    public int Count => _channels.Count;

    /// <summary>Whether a channel is marked.</summary>
    public bool Contains(string channel) => _channels.ContainsKey(channel);

    /// <summary>Whether every append to a channel is heard of.</summary>
    public bool Hears(string channel) => _channels.GetValueOrDefault(channel) && notices.IsHere(new ChannelId(tenant, channel));

    /// <summary>Adds a channel, unless all has ended.</summary>
    public void Add(string channel)
    {
        if (_ended) return;
        var listens = _listened < MaxListened;
        if (!_channels.TryAdd(channel, listens) || !listens) return;
        _listened++;
        notices.Listen(new ChannelId(tenant, channel), listener);
    }

    /// <summary>Removes a channel.</summary>
    public bool Remove(string channel)
    {
        if (!_channels.Remove(channel, out var listened)) return false;
        if (!listened) return true;
        _listened--;
        notices.Ignore(new ChannelId(tenant, channel), listener);
        return true;
    }

    /// <summary>Removes all, for good: what was under way when its activation ended may still come, and must not listen again.</summary>
    public void End()
    {
        _ended = true;
        foreach (var channel in _channels.Keys.ToArray()) Remove(channel);
    }

    /// <inheritdoc/>
    public IEnumerator<string> GetEnumerator() => _channels.Keys.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

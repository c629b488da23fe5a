namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>A subscription as the store's writer knows it. Touched by its thread only.</summary>
internal sealed class KnownWebhook(WebhookId id, IReadOnlyList<string> channels)
{
    /// <summary>Which.</summary>
    public WebhookId Id { get; } = id;

    /// <summary>Its shard.</summary>
    public int Shard { get; } = id.Shard;

    /// <summary>Its patterns.</summary>
    public IReadOnlyList<string> Channels { get; set; } = channels;

    /// <summary>How many marks it has.</summary>
    public long Marks { get; set; }

    /// <summary>The generation that claimed it last, or wrote its header.</summary>
    public long Generation { get; set; }

    /// <summary>The generation that claimed it last; 0: none did since the start.</summary>
    public long Claimed { get; set; }

    /// <summary>See <see cref="WebhookWake.NotBefore"/>.</summary>
    public long NotBefore { get; set; }

    /// <summary>When its progress was synced last, in Unix milliseconds.</summary>
    public long SyncedAt { get; set; }

    /// <summary>When it has something to do though nothing happens.</summary>
    public long NextWake { get; set; } = WebhookWake.Never;

    /// <summary>Whether it is to be woken.</summary>
    public bool IsDue(long nowMs) => NotBefore <= nowMs && (Marks > 0 || NextWake <= nowMs);
}

/// <summary>The subscriptions that match a channel, and which of them have a mark on it.</summary>
internal sealed class ChannelHooks(long version, KnownWebhook[] matching, bool[] marked)
{
    /// <summary>The version of the tenant's patterns for which this holds.</summary>
    public long Version { get; } = version;

    /// <summary>Those that match.</summary>
    public KnownWebhook[] Matching { get; } = matching;

    /// <summary>How many of them have no mark.</summary>
    public int Unmarked { get; private set; } = marked.Count(m => !m);

    /// <summary>Where a subscription stands; -1: it does not match.</summary>
    public int IndexOf(KnownWebhook webhook) => Array.IndexOf(Matching, webhook);

    /// <summary>Whether it has a mark.</summary>
    public bool IsMarked(int index) => marked[index];

    /// <summary>Notes that a mark was set or removed.</summary>
    public void Note(int index, bool isMarked)
    {
        if (marked[index] == isMarked) return;
        marked[index] = isMarked;
        Unmarked += isMarked ? -1 : 1;
    }
}

/// <summary>A tenant's subscriptions, found by the channels that they match.</summary>
internal sealed class TenantHooks
{
    private readonly Dictionary<string, KnownWebhook> _webhooks = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<KnownWebhook>> _names = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<KnownWebhook>> _prefixes = new(StringComparer.Ordinal);

    /// <summary>How many prefixes have a length.</summary>
    private readonly SortedDictionary<int, int> _lengths = [];

    /// <summary>Another one after every change of patterns, never used before by any tenant.</summary>
    public long Version { get; set; }

    /// <summary>How many subscriptions there are.</summary>
    public int Count => _webhooks.Count;

    /// <summary>All of them.</summary>
    public IEnumerable<KnownWebhook> All => _webhooks.Values;

    /// <summary>Finds one.</summary>
    public KnownWebhook? Find(string id) => _webhooks.GetValueOrDefault(id);

    /// <summary>Adds one.</summary>
    public void Add(KnownWebhook webhook)
    {
        _webhooks.Add(webhook.Id.Id, webhook);
        foreach (var pattern in webhook.Channels.Distinct(StringComparer.Ordinal))
        {
            var (table, text) = Place(pattern);
            if (!table.TryGetValue(text, out var list))
            {
                table[text] = list = [];
                if (table == _prefixes) _lengths[text.Length] = _lengths.GetValueOrDefault(text.Length) + 1;
            }

            list.Add(webhook);
        }
    }

    /// <summary>Removes one.</summary>
    public void Remove(KnownWebhook webhook)
    {
        _webhooks.Remove(webhook.Id.Id);
        foreach (var pattern in webhook.Channels.Distinct(StringComparer.Ordinal))
        {
            var (table, text) = Place(pattern);
            var list = table[text];
            list.Remove(webhook);
            if (list.Count > 0) continue;
            table.Remove(text);
            if (table == _prefixes && --_lengths[text.Length] == 0) _lengths.Remove(text.Length);
        }
    }

    /// <summary>Those that match a channel, each once.</summary>
    public KnownWebhook[] Match(string channel)
    {
        var found = new HashSet<KnownWebhook>();
        if (_names.TryGetValue(channel, out var named)) found.UnionWith(named);
        var prefixes = _prefixes.GetAlternateLookup<ReadOnlySpan<char>>();
        var isOwn = ChannelPatterns.IsOwn(channel);
        foreach (var length in _lengths.Keys)
        {
            if (length > channel.Length) break;
            if (isOwn && length < ChannelPatterns.Own.Length) continue;
            if (prefixes.TryGetValue(channel.AsSpan(0, length), out var wild)) found.UnionWith(wild);
        }

        return [.. found];
    }

    private (Dictionary<string, List<KnownWebhook>> Table, string Text) Place(string pattern) =>
        ChannelPatterns.IsPrefix(pattern, out var prefix) ? (_prefixes, prefix.ToString()) : (_names, pattern);
}

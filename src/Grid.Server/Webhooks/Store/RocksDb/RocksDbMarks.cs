using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// What the writer of the embedded store remembers of webhooks: whose patterns match a channel, and which of them have a mark on it. For
/// the writer's thread only.
/// </summary>
/// <remarks>
/// <para>An append to a channel whose tenant has no subscriptions costs one look-up. Else the channel's state remembers who matches and
/// who is marked, until the tenant's patterns change: an append to a channel where all are marked costs nothing more.</para>
/// <para>What a group changes cannot be read from the database yet. So every change of a mark goes through the channel's state, which
/// stays in memory as long as the group is open (<see cref="ChannelState.MarksGroup"/>), and two jobs that concern one subscription
/// are never in one group.</para>
/// </remarks>
internal sealed class RocksDbMarks
{
    private readonly Dictionary<string, TenantHooks> _tenants = new(StringComparer.Ordinal);

    /// <summary>
    /// What was claimed when all was forgotten, and of what an open group removes: activations outlive a failed write, and their claims are
    /// stored nowhere.
    /// </summary>
    private readonly Dictionary<WebhookId, long> _claimed = [];
    private bool _loaded;
    private long _version;

    /// <summary>All subscriptions.</summary>
    public IEnumerable<KnownWebhook> All(WriteGroup group)
    {
        Load(group.Database);
        return _tenants.Values.SelectMany(t => t.All);
    }

    /// <summary>A subscription.</summary>
    public KnownWebhook? Find(WriteGroup group, WebhookId webhook)
    {
        Load(group.Database);
        return _tenants.GetValueOrDefault(webhook.Tenant)?.Find(webhook.Id);
    }

    /// <summary>How many subscriptions a tenant has.</summary>
    public int Count(string tenant) => _tenants.GetValueOrDefault(tenant)?.Count ?? 0;

    /// <summary>Adds a subscription whose row the group stores.</summary>
    public void Add(KnownWebhook webhook)
    {
        if (!_tenants.TryGetValue(webhook.Id.Tenant, out var tenant)) _tenants[webhook.Id.Tenant] = tenant = new TenantHooks();
        tenant.Add(webhook);
        tenant.Version = ++_version;
    }

    /// <summary>Changes the patterns of a subscription.</summary>
    public void Change(KnownWebhook webhook, IReadOnlyList<string> channels)
    {
        var tenant = _tenants[webhook.Id.Tenant];
        tenant.Remove(webhook);
        webhook.Channels = channels;
        tenant.Add(webhook);
        tenant.Version = ++_version;
    }

    /// <summary>Removes a subscription. What was claimed of it stays known until the group is written: if that fails, it may still be there.</summary>
    public void Remove(KnownWebhook webhook)
    {
        _claimed[webhook.Id] = webhook.Claimed;
        var tenant = _tenants[webhook.Id.Tenant];
        tenant.Remove(webhook);
        tenant.Version = ++_version;
        if (tenant.Count == 0) _tenants.Remove(webhook.Id.Tenant);
    }

    /// <summary>The group that removes a subscription is written.</summary>
    public void Removed(WebhookId webhook) => _claimed.Remove(webhook);

    /// <summary>Adds marks to an append's group, and tells who got one; null: nobody.</summary>
    /// <param name="group">The group.</param>
    /// <param name="state">The channel.</param>
    /// <param name="before">Its head before the append.</param>
    public IReadOnlyList<string>? Append(WriteGroup group, ChannelState state, Position before)
    {
        Load(group.Database);
        if (_tenants.Count == 0 || !_tenants.TryGetValue(state.Channel.Tenant, out var tenant)) return null;
        var hooks = Hooks(group, state, tenant);
        if (hooks.Unmarked == 0) return null;
        var woken = new List<string>(hooks.Unmarked);
        for (var i = 0; i < hooks.Matching.Length; i++)
        {
            if (hooks.IsMarked(i)) continue;
            Put(group, state, hooks, i, before);
            woken.Add(hooks.Matching[i].Id.Id);
        }

        return woken;
    }

    /// <summary>Who matches a channel; null: its tenant has no subscriptions.</summary>
    public ChannelHooks? Hooks(WriteGroup group, ChannelState state)
    {
        Load(group.Database);
        return _tenants.TryGetValue(state.Channel.Tenant, out var tenant) ? Hooks(group, state, tenant) : null;
    }

    /// <summary>Sets a mark, in the place of the one there is.</summary>
    public static void Put(WriteGroup group, ChannelState state, ChannelHooks hooks, int index, Position place)
    {
        var webhook = hooks.Matching[index];
        group.Rows.Put(
            group.Database.Webhooks.Number,
            WebhookRowKeys.Of(webhook.Id, WebhookRow.Mark, state.Channel.Name),
            WebhookRowRecords.ToBytes(place));
        state.MarksGroup = group.Number;
        if (hooks.IsMarked(index)) return;
        hooks.Note(index, true);
        webhook.Marks++;
    }

    /// <summary>Forgets all but claims, after a failed write: what is stored is read again.</summary>
    public void Forget()
    {
        foreach (var webhook in _tenants.Values.SelectMany(t => t.All)) _claimed[webhook.Id] = webhook.Claimed;
        _tenants.Clear();
        _loaded = false;
    }

    private static ChannelHooks Hooks(WriteGroup group, ChannelState state, TenantHooks tenant)
    {
        var known = state.Hooks;
        if (known?.Version == tenant.Version) return known;
        var matching = tenant.Match(state.Channel.Name);
        var marked = new bool[matching.Length];
        for (var i = 0; i < matching.Length; i++)
        {
            // What was known of those that matched before is still so; of the others the database knows.
            var earlier = known?.IndexOf(matching[i]) ?? -1;
            marked[i] = earlier >= 0 ? known!.IsMarked(earlier) : IsStored(group.Database, matching[i], state.Channel.Name);
        }

        return state.Hooks = new ChannelHooks(tenant.Version, matching, marked);
    }

    private static bool IsStored(OpenDatabase database, KnownWebhook webhook, string channel) =>
        database.Db.Get(WebhookRowKeys.Of(webhook.Id, WebhookRow.Mark, channel).AsSpan(), database.Webhooks.Handle) is not null;

    private void Load(OpenDatabase database)
    {
        if (_loaded) return;
        _tenants.Clear();
        foreach (var (key, value) in WebhookRows.Scan(database, database.Webhooks, WebhookRowKeys.Definitions))
        {
            var stored = WebhookRowRecords.ReadWebhook(WebhookRowKeys.ReadDefinition(key), value);
            var webhook = new KnownWebhook(stored.Id, stored.Channels) { Marks = CountMarks(database, stored.Id) };
            if (database.Db.Get(WebhookRowKeys.Of(stored.Id, WebhookRow.Header).AsSpan(), database.Webhooks.Handle) is { } header)
            {
                var (snapshot, nextWake) = WebhookRowRecords.ReadHeader(header);
                webhook.Generation = snapshot.Generation;
                webhook.NotBefore = WebhookWake.NotBefore(snapshot);
                webhook.NextWake = nextWake;
            }

            webhook.Claimed = _claimed.GetValueOrDefault(webhook.Id);
            webhook.Generation = Math.Max(webhook.Generation, webhook.Claimed);
            Add(webhook);
        }

        _claimed.Clear();
        _loaded = true;
    }

    private static long CountMarks(OpenDatabase database, WebhookId webhook)
    {
        var start = WebhookRowKeys.Of(webhook, WebhookRow.Mark);
        using var rows = database.Db.NewIterator(database.Webhooks.Handle);
        var count = 0L;
        for (rows.Seek(start); rows.Valid() && rows.GetKeySpan().StartsWith(start); rows.Next()) count++;
        RocksDbSharp.Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return count;
    }
}

/// <summary>Reads rows of the embedded store.</summary>
internal static class WebhookRows
{
    /// <summary>Rows whose keys have a start, in order.</summary>
    /// <param name="database">The database.</param>
    /// <param name="family">Where.</param>
    /// <param name="start">What all keys begin with.</param>
    /// <param name="from">The first key wanted; null: the start.</param>
    /// <param name="limit">The most rows.</param>
    public static List<(byte[] Key, byte[] Value)> Scan(
        OpenDatabase database, Family family, byte[] start, byte[]? from = null, int limit = int.MaxValue)
    {
        var found = new List<(byte[], byte[])>();
        using var rows = database.Db.NewIterator(family.Handle);
        for (rows.Seek(from ?? start); found.Count < limit && rows.Valid() && rows.GetKeySpan().StartsWith(start); rows.Next())
            found.Add((rows.Key(), rows.Value()));
        RocksDbSharp.Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return found;
    }

    /// <summary>Values of rows whose keys have a start, from the last one before a key backwards.</summary>
    public static List<byte[]> ScanBack(OpenDatabase database, Family family, byte[] start, byte[] before, int limit)
    {
        var found = new List<byte[]>();
        using var rows = database.Db.NewIterator(family.Handle);
        rows.SeekForPrev(before);
        if (rows.Valid() && rows.GetKeySpan().SequenceEqual(before)) rows.Prev();
        for (; found.Count < limit && rows.Valid() && rows.GetKeySpan().StartsWith(start); rows.Prev()) found.Add(rows.Value());
        RocksDbSharp.Native.Instance.rocksdb_iter_get_error(rows.Handle);
        return found;
    }
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.RocksDb;
using Grid.Testing.Webhooks;
using Grid.UnitTests.Log;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.UnitTests.Webhooks.Store;

/// <summary>The contract of the store of webhooks, in the embedded database.</summary>
public sealed class RocksDbWebhookStoreConformance : WebhookStoreConformance, IDisposable
{
    private readonly TempFolder _folder = new();
    private ServiceProvider? _services;

    public void Dispose() => _folder.Dispose();

    protected override Task<IServiceProvider> OpenAsync()
    {
        var services = new ServiceCollection().AddLogging().AddSingleton<TimeProvider>(Time).AddGridEmbeddedStore();
        services.Configure<GridOptions>(options => options.DataDirectory = _folder.Path);
        return Task.FromResult<IServiceProvider>(_services = services.BuildServiceProvider());
    }

    protected override async Task CloseAsync() => await _services!.DisposeAsync();
}

/// <summary>The same with hardly any channel in memory, so that what is marked comes from the database.</summary>
public sealed class UncachedRocksDbWebhookStoreConformance : WebhookStoreConformance, IDisposable
{
    private readonly TempFolder _folder = new();
    private ServiceProvider? _services;

    public void Dispose() => _folder.Dispose();

    protected override Task<IServiceProvider> OpenAsync()
    {
        var services = new ServiceCollection().AddLogging().AddSingleton<TimeProvider>(Time);
        services.AddSingleton(sp => new RocksDbMessageLog(sp.GetRequiredService<RocksDbStore>(), sp.GetRequiredService<NamespacePolicies>(), cachedChannels: 1));
        services.AddGridEmbeddedStore().Configure<GridOptions>(options => options.DataDirectory = _folder.Path);
        return Task.FromResult<IServiceProvider>(_services = services.BuildServiceProvider());
    }

    protected override async Task CloseAsync() => await _services!.DisposeAsync();
}

/// <summary>What is the embedded store's own: failures of the disk, and jobs that share a write.</summary>
public sealed class RocksDbWebhookStoreTests : IAsyncLifetime, IDisposable
{
    private static readonly WebhookId Webhook = new("acme", "wh_1");
    private static readonly ChannelId Channel = new("acme", "room:1");

    private readonly TempFolder _folder = new();
    private readonly StoreFaults _faults = new();
    private RocksDbMessageLog _log = null!;
    private RocksDbWebhookStore _store = null!;

    public Task InitializeAsync()
    {
        _log = Logs.Open(_folder.Path, faults: _faults);
        _store = new RocksDbWebhookStore(_log);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _log.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_failed_write_ends_no_activation_so_claims_outlive_it()
    {
        Assert.True(await _store.CreateAsync(WebhookStoreConformance.Webhook(Webhook, "*"), most: 10));
        var last = 0L;
        for (var failures = 0; failures < 2; failures++)
        {
            for (var claims = 0; claims < 2; claims++)
            {
                var claimed = (await _store.ClaimAsync(Webhook))!.Value;
                Assert.True(claimed > last);
                last = claimed;
            }

            _faults.BeforeWrite = static () => throw new IOException("The disk is full.");
            await Assert.ThrowsAsync<LogUnavailableException>(async () => await _log.PurgeAsync(Channel));
            _faults.BeforeWrite = null;
            await Logs.HealedAsync(_log, _faults);
        }

        Assert.False(await _store.WriteAsync(Webhook, WebhookStoreConformance.Write(new WebhookSnapshot { Generation = last - 1 }), null));
        Assert.True(await _store.WriteAsync(Webhook, WebhookStoreConformance.Write(new WebhookSnapshot { Generation = last }), null));
    }

    [Fact]
    public async Task A_failed_deletion_forgets_no_claim()
    {
        Assert.True(await _store.CreateAsync(Stored("room:*"), 10));
        var older = (await _store.ClaimAsync(Webhook))!.Value;
        var last = (await _store.ClaimAsync(Webhook))!.Value;
        await FailAsync(async () => await _store.DeleteAsync(Webhook), stored: false);
        Assert.False(await _store.UpdateAsync(Stored("chat") with { Version = 2 }, older));
        Assert.True(await _store.ClaimAsync(Webhook) > last);
        Assert.True(await _store.DeleteAsync(Webhook));
        Assert.Null(await _store.ClaimAsync(Webhook));
    }

    [Fact]
    public async Task A_failed_write_leaves_memory_as_the_disk_is()
    {
        Assert.True(await _store.CreateAsync(Stored("room:*"), 10));
        var head = (await AppendAsync(Channel)).Head;
        Assert.Equal((bool[])[true], await _store.ClearMarksAsync(Webhook, [new("room:1", head)]));

        // Not stored: the mark was not left, so the next append must leave it.
        await FailAsync(() => AppendAsync(Channel), stored: false);
        Assert.Empty(await _store.GetMarksAsync(Webhook));
        Assert.Empty(await DueAsync());
        Assert.Equal(["wh_1"], (await AppendAsync(Channel)).Woken!);
        Assert.Equal(1, Assert.Single(await _store.GetMarksAsync(Webhook)).Position.Offset);

        // Stored, though the caller was told otherwise: marked once.
        var other = new ChannelId("acme", "room:2");
        await FailAsync(() => AppendAsync(other), stored: true);
        Assert.Null((await AppendAsync(other)).Woken);
        Assert.Equal(2, (await _store.GetMarksAsync(Webhook)).Count);

        // A mark that was not cleared stays; one that was is gone, whatever was answered.
        head = (await _log.GetHeadAsync(Channel)).Position;
        await FailAsync(async () => await _store.ClearMarksAsync(Webhook, [new("room:1", head)]), stored: false);
        Assert.Null((await AppendAsync(Channel)).Woken);
        head = (await _log.GetHeadAsync(Channel)).Position;
        await FailAsync(async () => await _store.ClearMarksAsync(Webhook, [new("room:1", head)]), stored: true);
        Assert.Equal(["room:2"], (await _store.GetMarksAsync(Webhook)).Select(m => m.Channel));
        Assert.Equal(["wh_1"], (await AppendAsync(Channel)).Woken!);
    }

    [Fact]
    public async Task A_failed_creation_update_or_deletion_leaves_memory_as_the_disk_is()
    {
        await FailAsync(async () => await _store.CreateAsync(Stored("room:*"), 1), stored: false);
        Assert.Null((await AppendAsync(Channel)).Woken);
        await FailAsync(async () => await _store.CreateAsync(Stored("room:*"), 1), stored: true);
        Assert.True(await _store.CreateAsync(Stored("room:*"), 1));
        Assert.Equal(["wh_1"], (await AppendAsync(Channel)).Woken!);

        await FailAsync(async () => await _store.UpdateAsync(Stored("chat") with { Version = 2 }), stored: false);
        Assert.Equal(["wh_1"], (await AppendAsync(new("acme", "room:2"))).Woken!);
        Assert.Null((await AppendAsync(new("acme", "chat"))).Woken);
        await FailAsync(async () => await _store.DeleteAsync(Webhook), stored: false);
        Assert.Equal(2, (await _store.GetMarksAsync(Webhook)).Count);
        Assert.Equal([Webhook], await DueAsync());
        await FailAsync(async () => await _store.DeleteAsync(Webhook), stored: true);
        Assert.Empty(await DueAsync());
        Assert.Null((await AppendAsync(new("acme", "room:3"))).Woken);
    }

    [Fact]
    public async Task A_failed_write_of_progress_changes_neither_generation_nor_wake_up()
    {
        Assert.True(await _store.CreateAsync(Stored("x"), 1));
        Assert.True(await WriteAsync(1, 50));
        await FailAsync(() => WriteAsync(2, null), stored: false);
        Assert.Equal([Webhook], await DueAsync());
        Assert.True(await WriteAsync(1, 50));
        await FailAsync(() => WriteAsync(2, null), stored: true);
        Assert.Empty(await DueAsync());
        Assert.False(await WriteAsync(1, 50));
    }

    [Fact]
    public async Task Jobs_that_share_a_write_see_each_other()
    {
        Assert.True(await _store.CreateAsync(Stored("room:*"), 10));
        var head = (await AppendAsync(Channel)).Head;
        using var hold = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _faults.BeforeWrite = () =>
        {
            entered.TrySetResult();
            hold.Wait();
        };
        var writing = _log.TrimAsync(Channel, 0).AsTask();
        var blocking = AppendAsync(new("acme", "block"), new Position(head.Epoch, 0));
        await entered.Task;

        // All of these gather into one group, or as few as they can.
        var clear = _store.ClearMarksAsync(Webhook, [new("room:1", head)]).AsTask();
        var again = AppendAsync(Channel, head);
        var fresh = AppendAsync(new("acme", "room:2"), new Position(head.Epoch, 0));
        var more = AppendAsync(new("acme", "room:2"), new Position(head.Epoch, 1));
        var away = _store.UpdateAsync(Stored("none") with { Version = 2 }).AsTask();
        var unseen = AppendAsync(new("acme", "room:3"), new Position(head.Epoch, 0));
        var settled = _store.ClearMarksAsync(Webhook, [new("room:2", head with { Offset = 2 }), new("room:1", head)]).AsTask();
        var back = _store.UpdateAsync(Stored("room:*") with { Version = 3 }).AsTask();
        var marked = AppendAsync(new("acme", "room:2"), new Position(head.Epoch, 2));
        var gone = _store.DeleteAsync(Webhook).AsTask();
        var late = AppendAsync(new("acme", "room:4"), new Position(head.Epoch, 0));
        var anew = _store.CreateAsync(Stored("room:*"), 1).AsTask();
        var found = AppendAsync(new("acme", "room:2"), new Position(head.Epoch, 3));
        hold.Set();
        await writing;
        await blocking;

        Assert.Equal((bool[])[true], await clear);
        Assert.Equal(["wh_1"], (await again).Woken!);
        Assert.Equal(["wh_1"], (await fresh).Woken!);
        Assert.Null((await more).Woken);
        Assert.True(await away);
        Assert.Null((await unseen).Woken);
        Assert.Equal((bool[])[true, false], await settled);
        Assert.True(await back);
        await marked;
        Assert.True(await gone);
        Assert.Null((await late).Woken);
        Assert.True(await anew);
        await found;

        // By the append, or from further back by the creation: what was appended before it had no answer yet, or had.
        var marks = (await _store.GetMarksAsync(Webhook)).ToDictionary(m => m.Channel, m => m.Position.Offset);
        Assert.InRange(marks["room:2"], 0, 3);
        Assert.All(marks, m => Assert.StartsWith("room:", m.Key, StringComparison.Ordinal));
        Assert.Equal([Webhook], await DueAsync());
    }

    [Fact]
    public async Task A_store_of_the_version_before_goes_on()
    {
        var head = (await AppendAsync(Channel)).Head;
        using (var lease = _log.Store.Lease()) lease.Database.Db.Put("format"u8, [1], lease.Database.Meta.Handle);
        await DisposeAsync();
        await InitializeAsync();
        using (var lease = _log.Store.Lease()) Assert.Equal([2], lease.Database.Db.Get("format"u8, lease.Database.Meta.Handle));
        Assert.True(await _store.CreateAsync(Stored("*"), 1));
        await _store.MarkAllAsync(Stored("*"));
        Assert.Equal([new WebhookMark("room:1", head with { Offset = 0 })], await _store.GetMarksAsync(Webhook));
    }

    [Fact]
    public async Task Random_appends_changes_and_clearings_agree_with_a_model()
    {
        for (var seed = 0; seed < 12; seed++) await RunModelAsync(seed);
    }

    /// <summary>
    /// Jobs are sent without waiting, so that they share groups; the writer takes them in the order sent, as the model does.
    /// </summary>
    private async Task RunModelAsync(int seed)
    {
        var random = new Random(seed);
        var tenant = $"t{seed}";
        var epoch = _log.Store.Epoch;
        string[] channels = ["a", "ab", "b:1", "b:2"];
        string[][] patterns = [["a"], ["a*"], ["b:*"], ["*"], ["b:2", "a"], ["none"]];
        var heads = channels.ToDictionary(c => c, _ => 0L);
        var webhooks = new Dictionary<string, (long Version, string[] Patterns)>();
        var marks = new SortedDictionary<(string Id, string Channel), long>();
        var checks = new List<Func<Task>>();
        for (var step = 0; step < 400; step++)
        {
            var (id, channel) = ($"wh_{random.Next(3)}", channels[random.Next(channels.Length)]);
            var webhook = new WebhookId(tenant, id);
            var head = new Position(epoch, heads[channel]);
            switch (random.Next(10))
            {
                case < 5:
                    string[] woken = [.. webhooks.Where(w => ChannelPatterns.Match(w.Value.Patterns, channel) && !marks.ContainsKey((w.Key, channel))).Select(w => w.Key).Order()];
                    foreach (var w in woken) marks[(w, channel)] = head.Offset;
                    heads[channel]++;
                    var append = AppendAsync(new(tenant, channel), head);
                    checks.Add(async () => Assert.Equal(woken, ((await append).Woken ?? []).Order()));
                    break;
                case < 8:
                    var at = random.Next(4) == 0 ? head with { Offset = Math.Max(0, head.Offset - 1) } : head;
                    var expected = at == head || !webhooks.ContainsKey(id);
                    if (expected) marks.Remove((id, channel));
                    var clear = _store.ClearMarksAsync(webhook, [new(channel, at)]).AsTask();
                    checks.Add(async () => Assert.Equal((bool[])[expected], await clear));
                    break;
                case 8:
                    // A subscription that is made gets what was not answered yet: so that there is nothing of the kind, all is.
                    foreach (var check in checks) await check();
                    checks.Clear();
                    var next = patterns[random.Next(patterns.Length)];
                    var known = webhooks.TryGetValue(id, out var current);
                    webhooks[id] = (known ? current.Version + 1 : 1, next);
                    var stored = Stored(next) with { Id = webhook, Version = webhooks[id].Version };
                    var change = known ? _store.UpdateAsync(stored).AsTask() : _store.CreateAsync(stored, 9).AsTask();
                    checks.Add(async () => Assert.True(await change));
                    break;
                default:
                    if (random.Next(4) != 0) break;
                    var removed = webhooks.Remove(id);
                    foreach (var key in marks.Keys.Where(k => k.Id == id).ToArray()) marks.Remove(key);
                    var delete = _store.DeleteAsync(webhook).AsTask();
                    checks.Add(async () => Assert.Equal(removed, await delete));
                    break;
            }

            if (random.Next(40) != 0) continue;
            foreach (var check in checks) await check();
            checks.Clear();
            await CompareAsync();
        }

        foreach (var check in checks) await check();
        await CompareAsync();

        async Task CompareAsync()
        {
            var found = new List<((string, string), long)>();
            for (var i = 0; i < 3; i++)
            {
                foreach (var mark in await _store.GetMarksAsync(new(tenant, $"wh_{i}"))) found.Add((($"wh_{i}", mark.Channel), mark.Position.Offset));
            }

            Assert.Equal(marks.Select(m => (m.Key, m.Value)), found);
            var due = await _store.FindDueAsync([.. Enumerable.Range(0, WebhookId.Shards)], 0, null, 9999);
            Assert.Equal(marks.Keys.Select(k => k.Id).Distinct(), due.Where(d => d.Tenant == tenant).Select(d => d.Id));
        }
    }

    private static StoredWebhook Stored(params string[] channels) => new()
    {
        Id = Webhook, Channels = channels, Version = 1, Definition = new byte[] { 1 }, Secrets = new byte[] { 2 },
    };

    private async Task<bool> WriteAsync(long generation, long? wake) =>
        await _store.WriteAsync(Webhook, new WebhookWrite([], new WebhookSnapshot { Generation = generation }), wake);

    private ValueTask<IReadOnlyList<WebhookId>> DueAsync() => _store.FindDueAsync([.. Enumerable.Range(0, WebhookId.Shards)], 100, null, 9);

    private async Task<AppendResult> AppendAsync(ChannelId channel) => await AppendAsync(channel, (await _log.GetHeadAsync(channel)).Position);

    private Task<AppendResult> AppendAsync(ChannelId channel, Position head) => _log.AppendAsync(new AppendRequest
    {
        Channel = channel,
        ExpectedHead = head,
        Messages = [new Message { Offset = head.Offset + 1, At = 1, Payload = Payload.Json("1"u8.ToArray()) }],
        KeyWindow = TimeSpan.Zero,
    }).AsTask();

    /// <summary>Makes the next write fail, before it is stored or after, and waits until the store is well again.</summary>
    private async Task FailAsync(Func<Task> call, bool stored)
    {
        var failed = false;
        void Fail()
        {
            if (failed) return;
            failed = true;
            throw new IOException("injected");
        }

        if (stored) _faults.AfterWrite = Fail;
        else _faults.BeforeWrite = Fail;
        await Assert.ThrowsAsync<LogUnavailableException>(call);
        (_faults.BeforeWrite, _faults.AfterWrite) = (null, null);
        await Logs.HealedAsync(_log, _faults);
    }
}

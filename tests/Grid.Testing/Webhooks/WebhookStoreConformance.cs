using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Grid.Testing.Webhooks;

/// <summary>
/// What every <see cref="IWebhookStore"/> must do, whatever it stands on, together with the log whose appends leave marks. Inherit, give
/// the registered services, and all of these run against them.
/// </summary>
public abstract partial class WebhookStoreConformance : IAsyncLifetime
{
    private IServiceProvider _services = null!;

    /// <summary>The clock.</summary>
    protected FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 10, 12, 0, 0, TimeSpan.Zero));

    /// <summary>The log.</summary>
    protected IMessageLog Log => _services.GetRequiredService<MessageLogs>().Durable;

    internal IWebhookStore Store => _services.GetRequiredService<IWebhookStore>();

    internal Grid.Server.Webhooks.Signing.SecretVault Vault => _services.GetRequiredService<Grid.Server.Webhooks.Signing.SecretVault>();

    /// <summary>The time in Unix milliseconds.</summary>
    protected long Now => Time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>Opens over the same data each time.</summary>
    protected abstract Task<IServiceProvider> OpenAsync();

    /// <summary>Closes what <see cref="OpenAsync"/> opened.</summary>
    protected abstract Task CloseAsync();

    public async Task InitializeAsync() => _services = await OpenAsync();

    public Task DisposeAsync() => CloseAsync();

    /// <summary>Closes and opens again, as after a restart.</summary>
    protected async Task ReopenAsync()
    {
        await CloseAsync();
        _services = await OpenAsync();
    }

    internal static WebhookId Id(string id = "wh_1", string tenant = "acme") => new(tenant, id);

    internal static StoredWebhook Webhook(WebhookId id, params string[] channels) => new()
    {
        Id = id,
        Channels = channels,
        Version = 1,
        Definition = "{\"url\":\"https://example.com\"}"u8.ToArray(),
        Secrets = new byte[] { 1, 0, 255 },
    };

    internal async Task<WebhookId> CreateAsync(string id, params string[] channels)
    {
        Assert.True(await Store.CreateAsync(Webhook(Id(id), channels), most: 100));
        return Id(id);
    }

    /// <summary>Appends messages at the head, and returns the answer.</summary>
    protected async Task<AppendResult> AppendAsync(string channel, int count = 1, string tenant = "acme")
    {
        var id = new ChannelId(tenant, channel);
        var result = await Log.AppendAsync(Request(id, (await Log.GetHeadAsync(id)).Position, count));
        Assert.Equal(AppendStatus.Appended, result.Status);
        return result;
    }

    /// <summary>A request to append at a place.</summary>
    protected AppendRequest Request(ChannelId channel, Position head, int count = 1, string? key = null) => new()
    {
        Channel = channel,
        ExpectedHead = head,
        KeyWindow = TimeSpan.FromHours(1),
        Messages = [.. Enumerable.Range(1, count).Select(i => new Message
        {
            Offset = head.Offset + i, At = Now, Payload = Payload.Json(Encoding.UTF8.GetBytes($"{head.Offset + i}")), Key = key,
        })],
    };

    internal static WebhookWrite Write(WebhookSnapshot snapshot, params WebhookEffect[] effects) => new(effects, snapshot);

    internal async Task<string[]> MarksAsync(WebhookId webhook) =>
        [.. (await Store.GetMarksAsync(webhook)).Select(m => $"{m.Channel}@{m.Position.Offset}")];

    internal async Task<string[]> DueAsync(long? now = null, IReadOnlyCollection<int>? shards = null, WebhookId? after = null, int limit = 100) =>
        [.. (await Store.FindDueAsync(shards ?? [.. Enumerable.Range(0, WebhookId.Shards)], now ?? Now, after, limit)).Select(w => w.ToString())];

    internal static void AssertWoken(AppendResult result, params string[] ids) =>
        Assert.Equal(ids, (result.Woken ?? []).Order(StringComparer.Ordinal));

    [Fact]
    public async Task An_append_marks_a_channel_that_was_not_there_once()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var first = await AppendAsync("room:1", 3);
        AssertWoken(first, "wh_1");
        AssertWoken(await AppendAsync("room:1"));
        AssertWoken(await AppendAsync("room:2"), "wh_1");
        Assert.Equal(["room:1@0", "room:2@0"], await MarksAsync(webhook));
        Assert.Equal(first.Head.Epoch, (await Store.GetMarksAsync(webhook))[0].Position.Epoch);
    }

    [Fact]
    public async Task A_channel_that_was_there_is_marked_from_the_creation_on()
    {
        await AppendAsync("room:1", 5);
        var webhook = await CreateAsync("wh_1", "room:1");
        Assert.Empty(await MarksAsync(webhook));
        AssertWoken(await AppendAsync("room:1", 2), "wh_1");
        Assert.Equal(["room:1@5"], await MarksAsync(webhook));
    }

    [Fact]
    public async Task Only_patterns_that_match_and_the_same_tenant_are_marked()
    {
        await CreateAsync("wh_exact", "room:1");
        await CreateAsync("wh_prefix", "room:*", "room:1*", "other");
        await CreateAsync("wh_all", "*");
        await CreateAsync("wh_none", "room", "room:11", "room:2*");
        Assert.True(await Store.CreateAsync(Webhook(Id("wh_other", "globex"), "*"), most: 10));
        AssertWoken(await AppendAsync("room:1"), "wh_all", "wh_exact", "wh_prefix");
        AssertWoken(await AppendAsync("plain"), "wh_all");
        AssertWoken(await AppendAsync("room:1", tenant: "globex"), "wh_other");
        AssertWoken(await AppendAsync("room:1", tenant: "nobody"));
        Assert.Empty(await MarksAsync(Id("wh_none")));
        Assert.Equal(["plain@0", "room:1@0"], await MarksAsync(Id("wh_all")));
        Assert.Equal(["room:1@0"], await MarksAsync(Id("wh_other", "globex")));
    }

    [Fact]
    public async Task An_append_that_stores_nothing_marks_nothing()
    {
        var webhook = await CreateAsync("wh_1", "*");
        var channel = new ChannelId("acme", "room:1");
        var head = (await Log.AppendAsync(Request(channel, (await Log.GetHeadAsync(channel)).Position, key: "k"))).Head;
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(webhook, [new WebhookMark("room:1", head)]));
        Assert.Equal(AppendStatus.HeadMoved, (await Log.AppendAsync(Request(channel, head with { Offset = 7 }))).Status);
        Assert.Equal(AppendStatus.KeysSeen, (await Log.AppendAsync(Request(channel, head, key: "k"))).Status);
        Assert.Empty(await MarksAsync(webhook));
    }

    [Fact]
    public async Task A_mark_is_cleared_at_the_head_only()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var first = (await AppendAsync("room:1", 2)).Head;
        var other = (await AppendAsync("room:2")).Head;
        var second = (await AppendAsync("room:1")).Head;
        Assert.Equal(
            (bool[])[false, true, true],
            await Store.ClearMarksAsync(webhook, [new("room:1", first), new("room:2", other), new("room:9", new Position(other.Epoch, 0))]));
        Assert.Equal(["room:1@0"], await MarksAsync(webhook));
        Assert.Equal((bool[])[false], await Store.ClearMarksAsync(webhook, [new("room:1", second with { Epoch = "another" })]));
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(webhook, [new("room:1", second)]));
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(webhook, [new("room:1", second)]));
        Assert.Empty(await MarksAsync(webhook));

        // From there on the next append marks again, each of those that match by itself.
        await CreateAsync("wh_2", "room:1");
        AssertWoken(await AppendAsync("room:1"), "wh_1", "wh_2");
        Assert.Equal(["room:1@3"], await MarksAsync(webhook));
    }

    [Fact]
    public async Task Another_epoch_keeps_the_mark_until_it_is_settled_in_that_one()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var old = (await AppendAsync("room:1", 2)).Head;
        var purged = await Log.PurgeAsync(new ChannelId("acme", "room:1"));
        Assert.Equal((bool[])[false], await Store.ClearMarksAsync(webhook, [new("room:1", old)]));
        AssertWoken(await AppendAsync("room:1", 2));
        var mark = Assert.Single(await Store.GetMarksAsync(webhook));
        Assert.Equal(new Position(old.Epoch, 0), mark.Position);
        Assert.Equal((bool[])[false], await Store.ClearMarksAsync(webhook, [new("room:1", old)]));
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(webhook, [new("room:1", new Position(purged.Epoch, 2))]));
        AssertWoken(await AppendAsync("room:1"), "wh_1");
        Assert.Equal(new Position(purged.Epoch, 2), Assert.Single(await Store.GetMarksAsync(webhook)).Position);
    }

    [Fact]
    public async Task Marks_are_read_page_by_page_and_by_channel()
    {
        var webhook = await CreateAsync("wh_1", "room:*", "same");
        await CreateAsync("wh_2", "room:*");
        for (var i = 9; i >= 0; i--) await AppendAsync($"room:{i}");
        await AppendAsync("same");
        Assert.Equal(["room:0", "room:1", "room:2"], (await Store.GetMarksAsync(webhook, "", 3)).Select(m => m.Channel));
        Assert.Equal(["room:3", "room:4"], (await Store.GetMarksAsync(webhook, "room:2", 2)).Select(m => m.Channel));
        Assert.Equal(["room:2"], (await Store.GetMarksAsync(webhook, "room:1zz", 1)).Select(m => m.Channel));
        Assert.Equal(["room:9", "same"], (await Store.GetMarksAsync(webhook, "room:8z", 10)).Select(m => m.Channel));
        Assert.Empty(await Store.GetMarksAsync(webhook, "same", 10));
        Assert.Empty(await Store.GetMarksAsync(Id("wh_9"), "", 10));

        await AppendAsync("room:7");
        var found = await Store.FindMarksAsync(webhook, ["room:7", "none", "same", "room:77"]);
        Assert.Equal([("room:7", 0L), ("same", 0L)], found.Select(m => (m.Channel, m.Position.Offset)).Order());
        Assert.Empty(await Store.FindMarksAsync(webhook, []));
        Assert.Empty(await Store.FindMarksAsync(Id("wh_9"), ["room:7"]));
    }

    [Fact]
    public async Task From_the_start_all_that_is_kept_is_marked()
    {
        await AppendAsync("room:1", 5);
        await AppendAsync("room:2");
        await AppendAsync("other");
        await AppendAsync("room:1", tenant: "globex");
        await Log.TrimAsync(new ChannelId("acme", "room:1"), 3);
        await AppendAsync("room:empty", 2);
        await Log.TrimAsync(new ChannelId("acme", "room:empty"), 2);
        Assert.True(await Store.CreateAsync(Webhook(Id(), "room:*"), most: 10));
        await Store.MarkAllAsync(Webhook(Id(), "room:*"));
        Assert.Equal(["room:1@3", "room:2@0"], await MarksAsync(Id()));
        AssertWoken(await AppendAsync("room:1"));
        AssertWoken(await AppendAsync("room:empty"), "wh_1");
        Assert.Equal(["room:1@3", "room:2@0", "room:empty@2"], await MarksAsync(Id()));
    }

    [Fact]
    public async Task Subscriptions_are_stored_listed_and_limited()
    {
        foreach (var id in (string[])["wh_b", "wh_a", "wh_c"]) Assert.True(await Store.CreateAsync(Webhook(Id(id), "x"), most: 3));
        Assert.False(await Store.CreateAsync(Webhook(Id("wh_d"), "x"), most: 3));
        Assert.Null(await Store.GetAsync(Id("wh_d")));
        Assert.Null(await Store.GetAsync(Id("wh_a", "globex")));

        // The same call again, as after an answer that was lost; but no other one in its place.
        Assert.True(await Store.CreateAsync(Webhook(Id("wh_b"), "x"), most: 3));
        Assert.False(await Store.CreateAsync(Webhook(Id("wh_b"), "y"), most: 9));
        await ReopenAsync();
        var stored = (await Store.GetAsync(Id("wh_a")))!;
        Assert.Equal((Id("wh_a"), 1L), (stored.Id, stored.Version));
        Assert.Equal(["x"], stored.Channels);
        Assert.Equal("{\"url\":\"https://example.com\"}", Encoding.UTF8.GetString(stored.Definition.Span));
        Assert.Equal([1, 0, 255], stored.Secrets.ToArray());
        Assert.Equal(["wh_a", "wh_b"], (await Store.ListAsync("acme", "", 2)).Select(w => w.Id.Id));
        Assert.Equal(["wh_c"], (await Store.ListAsync("acme", "wh_b", 2)).Select(w => w.Id.Id));
        Assert.Empty(await Store.ListAsync("acm", "", 2));
    }

    [Fact]
    public async Task An_update_needs_the_version_before_and_counts_from_then_on()
    {
        var webhook = await CreateAsync("wh_1", "room:*", "same");
        var room = (await AppendAsync("room:1")).Head;
        var changed = Webhook(webhook, "chat:*", "same") with { Version = 2, Secrets = new byte[] { 9 } };
        Assert.True(await Store.UpdateAsync(changed));
        Assert.True(await Store.UpdateAsync(changed));
        Assert.False(await Store.UpdateAsync(changed with { Secrets = new byte[] { 8 } }));
        Assert.False(await Store.UpdateAsync(changed with { Version = 4 }));
        Assert.False(await Store.UpdateAsync(changed with { Id = Id("wh_9") }));
        Assert.Equal([9], (await Store.GetAsync(webhook))!.Secrets.ToArray());

        // With the channels as they are.
        Assert.True(await Store.UpdateAsync(changed with { Version = 3, Secrets = new byte[] { 7 } }));
        Assert.Equal([7], (await Store.GetAsync(webhook))!.Secrets.ToArray());

        AssertWoken(await AppendAsync("room:2"));
        AssertWoken(await AppendAsync("room:1"));
        AssertWoken(await AppendAsync("chat:1"), "wh_1");
        AssertWoken(await AppendAsync("same"), "wh_1");
        Assert.Equal(["chat:1@0", "room:1@0", "same@0"], await MarksAsync(webhook));

        // The mark on what matches no more stays until it is cleared; and matches again as before.
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(webhook, [new("room:1", room with { Offset = 2 })]));
        Assert.True(await Store.UpdateAsync(Webhook(webhook, "room:*") with { Version = 4 }));
        AssertWoken(await AppendAsync("room:1"), "wh_1");
        AssertWoken(await AppendAsync("chat:1"));
        Assert.Equal(["chat:1@0", "room:1@2", "same@0"], await MarksAsync(webhook));
    }

    [Fact]
    public async Task A_change_that_leaves_the_channels_as_they_are_is_stored()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var changed = Webhook(webhook, "room:*") with { Version = 2, Secrets = new byte[] { 9 } };
        Assert.True(await Store.UpdateAsync(changed));
        Assert.True(await Store.UpdateAsync(changed));
        Assert.False(await Store.UpdateAsync(changed with { Secrets = new byte[] { 8 } }));
        Assert.Equal([9], (await Store.GetAsync(webhook))!.Secrets.ToArray());
        Assert.Empty(await MarksAsync(webhook));
        AssertWoken(await AppendAsync("room:1"), "wh_1");
    }

    [Fact]
    public async Task Every_append_that_begins_after_the_creation_is_marked()
    {
        var channels = Enumerable.Range(0, 6).Select(i => $"race:{i}").ToArray();
        var begun = new long[channels.Length];
        var answered = channels.Select(_ => new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        using var stop = new CancellationTokenSource();
        var appenders = channels.Select((c, i) => Task.Run(() => AppendOnAsync(c, i))).ToArray();
        for (var round = 0; round < 20; round++)
        {
            var id = Id($"wh_{round:d2}");
            if (round % 2 == 0)
            {
                Assert.True(await Store.CreateAsync(Webhook(id, round % 4 == 0 ? ["race:*"] : channels), most: 100));
            }
            else
            {
                Assert.True(await Store.CreateAsync(Webhook(id, "elsewhere"), most: 100));
                Assert.True(await Store.UpdateAsync(Webhook(id, "race:*") with { Version = 2 }));
            }

            // The last that may have begun before, and all that comes after it.
            var required = begun.Select((_, i) => Volatile.Read(ref begun[i]) + 1).ToArray();
            for (var i = 0; i < channels.Length; i++)
            {
                while (await Volatile.Read(ref answered[i]).Task < required[i])
                {
                }
            }

            var marks = (await Store.GetMarksAsync(id)).ToDictionary(m => m.Channel, m => m.Position.Offset);
            for (var i = 0; i < channels.Length; i++)
            {
                Assert.True(
                    marks.TryGetValue(channels[i], out var place) && place < required[i],
                    $"round {round}: {channels[i]} is marked at {(marks.TryGetValue(channels[i], out var p) ? p : -1)}, and {required[i]} began later");
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(appenders);

        async Task AppendOnAsync(string name, int slot)
        {
            var channel = new ChannelId("acme", name);
            var head = (await Log.GetHeadAsync(channel)).Position;
            while (!stop.IsCancellationRequested)
            {
                Volatile.Write(ref begun[slot], head.Offset + 1);
                head = (await Log.AppendAsync(Request(channel, head))).Head;
                var next = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
                Interlocked.Exchange(ref answered[slot], next).SetResult(head.Offset);
            }
        }
    }

    [Fact]
    public async Task From_the_start_misses_no_channel_that_appears_meanwhile()
    {
        for (var round = 0; round < 5; round++)
        {
            var webhook = Webhook(Id($"wh_{round}"), $"new{round}:*");
            using var stop = new CancellationTokenSource();
            var appending = Task.Run(async () =>
            {
                var made = 0;
                while (!stop.IsCancellationRequested) await AppendAsync($"new{round}:{made++}");
                return made;
            });
            Assert.True(await Store.CreateAsync(webhook, most: 100));
            await Store.MarkAllAsync(webhook);
            await stop.CancelAsync();
            var made = await appending;
            Assert.Equal(Enumerable.Range(0, made).Select(i => $"new{round}:{i}@0").Order(StringComparer.Ordinal), (await MarksAsync(webhook.Id)).Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public async Task Channels_are_found_by_pattern()
    {
        foreach (var channel in (string[])["room:2", "room:1", "room", "chat", "zoo"]) await AppendAsync(channel);
        await AppendAsync("room:3", tenant: "acme-2");
        Assert.Equal(["room:1", "room:2"], await Store.FindChannelsAsync("acme", "room:*", "", 10));
        Assert.Equal(["room", "room:1"], await Store.FindChannelsAsync("acme", "room*", "", 2));
        Assert.Equal(["room:2"], await Store.FindChannelsAsync("acme", "room*", "room:1", 2));
        Assert.Equal(["chat", "room", "room:1", "room:2", "zoo"], await Store.FindChannelsAsync("acme", "*", "", 10));
        Assert.Equal(["zoo"], await Store.FindChannelsAsync("acme", "*", "room:2", 10));
        Assert.Equal(["chat"], await Store.FindChannelsAsync("acme", "chat", "", 10));
        Assert.Empty(await Store.FindChannelsAsync("acme", "chat", "chat", 10));
        Assert.Empty(await Store.FindChannelsAsync("acme", "cha", "", 10));
    }

    [Fact]
    public async Task Grids_own_channels_are_matched_by_patterns_that_name_them_alone()
    {
        foreach (var channel in (string[])["grid:webhooks", "gri:1", "grid", "grie:1"]) await AppendAsync(channel);
        await CreateAsync("wh_1", "*", "g*", "grid*");
        await CreateAsync("wh_2", "grid:*");
        await CreateAsync("wh_3", "grid:webhooks");
        var past = Id("wh_4");
        Assert.True(await Store.CreateAsync(Webhook(past, "*"), most: 100));
        await Store.MarkAllAsync(Webhook(past, "*"));
        Assert.Equal(["gri:1@0", "grid@0", "grie:1@0"], (await MarksAsync(past)).Order(StringComparer.Ordinal));
        AssertWoken(await AppendAsync("grid:webhooks"), "wh_2", "wh_3");
        AssertWoken(await AppendAsync("grid:others"), "wh_2");
        AssertWoken(await AppendAsync("gri:1"), "wh_1");
        Assert.Equal(["gri:1", "grid", "grie:1"], await Store.FindChannelsAsync("acme", "g*", "", 10));
        Assert.Equal(["gri:1", "grid"], await Store.FindChannelsAsync("acme", "*", "", 2));
        Assert.Equal(["grie:1"], await Store.FindChannelsAsync("acme", "*", "grid", 2));
        Assert.Equal(["grid:others", "grid:webhooks"], await Store.FindChannelsAsync("acme", "grid:*", "", 10));
    }
}

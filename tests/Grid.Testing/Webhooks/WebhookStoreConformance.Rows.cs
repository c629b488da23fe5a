using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Xunit;

namespace Grid.Testing.Webhooks;

// Progress, failed messages, attempts, and who is to be woken.
public abstract partial class WebhookStoreConformance
{
    private static MessageRef Ref(long offset, string channel = "room:1") => new(channel, "e1", offset);

    private static ProgressRecord Progress(string channel, long floor) =>
        new(channel, new Position("e1", floor), [new OffsetRange(floor + 2, floor + 4)], [new ParkedRecord(floor + 5, 2, 1000, null)]);

    private static string Text(WebhookSnapshot? snapshot) => snapshot is null ? "none" : Convert.ToHexString(SnapshotRecord.ToBytes(snapshot));

    [Fact]
    public async Task Progress_is_read_as_it_was_written_and_joined()
    {
        var webhook = await CreateAsync("wh_1", "*");
        Assert.Null(await Store.ReadProgressAsync(webhook));
        var first = new WebhookSnapshot
        {
            Generation = 1,
            Window = 8,
            HeldUntil = 5,
            Circuit = new CircuitRecord(1, 2, 3),
            StoredDue = 7,
            Replay = new ReplayRecord("rp_1", 10, 1, 2, [new ReplayChannelRecord("a", new Position("e1", 1), 9, [])]),
            Channels = [Progress("a", 1), Progress("b", 2)],
        };
        Assert.True(await Store.WriteAsync(webhook, Write(first), null));
        Assert.Equal(Text(first), Text(await Store.ReadProgressAsync(webhook)));
        var second = new WebhookSnapshot { Generation = 1, Status = WebhookStatus.Paused, Channels = [Progress("b", 9), Progress("c", 1)] };
        Assert.True(await Store.WriteAsync(webhook, Write(second), 5));
        await ReopenAsync();
        Assert.Equal(Text(first.With(second)), Text(await Store.ReadProgressAsync(webhook)));
    }

    [Fact]
    public async Task A_channel_is_forgotten_unless_the_same_write_or_a_later_one_has_it()
    {
        var webhook = await CreateAsync("wh_1", "*");
        var other = await CreateAsync("wh_2", "*");
        var both = new WebhookSnapshot { Generation = 1, Channels = [Progress("a", 1), Progress("b", 2)] };
        Assert.True(await Store.WriteAsync(webhook, Write(both), null));
        Assert.True(await Store.WriteAsync(other, Write(both), null));
        var later = new WebhookSnapshot { Generation = 1, Channels = [Progress("b", 7)] };
        Assert.True(await Store.WriteAsync(
            webhook, Write(later, new WebhookEffect.ForgetChannel("a"), new WebhookEffect.ForgetChannel("b"), new WebhookEffect.ForgetChannel("c")), null));
        await ReopenAsync();
        Assert.Equal(Text(later), Text(await Store.ReadProgressAsync(webhook)));
        Assert.Equal(Text(both), Text(await Store.ReadProgressAsync(other)));
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 1, Channels = [Progress("a", 9)] }), null));
        Assert.Equal(Text(later with { Channels = [Progress("a", 9), Progress("b", 7)] }), Text(await Store.ReadProgressAsync(webhook)));
    }

    [Fact]
    public async Task Who_claims_a_subscription_fences_off_those_before()
    {
        var webhook = await CreateAsync("wh_1", "x");
        Assert.Null(await Store.ClaimAsync(Id("wh_9")));
        var first = (await Store.ClaimAsync(webhook))!.Value;
        Assert.True(first >= 1);
        Assert.Empty((await Store.ReadProgressAsync(webhook))?.Channels ?? []);
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = first, Channels = [Progress("a", 1)] }), null));
        var second = (await Store.ClaimAsync(webhook))!.Value;
        Assert.True(second > first);
        Assert.False(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = first, Channels = [Progress("a", 2)] }), null));
        Assert.Equal(1, Assert.Single((await Store.ReadProgressAsync(webhook))!.Channels).Floor.Offset);
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = second, Channels = [Progress("a", 3)] }), null));
        Assert.Equal(3, Assert.Single((await Store.ReadProgressAsync(webhook))!.Channels).Floor.Offset);

        // What somebody asks for between the two is in the header all the same.
        var third = (await Store.ClaimAsync(webhook))!.Value;
        await Store.ParkAsync(webhook, [new ParkedRow(Ref(1), 0, 5_000)]);
        var progress = (await Store.ReadProgressAsync(webhook))!;
        Assert.Equal(5_000, progress.StoredDue);
        Assert.True(third >= progress.Generation);
        var claims = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Store.ClaimAsync(webhook).AsTask()));
        Assert.Equal(8, claims.Distinct().Count());
    }

    [Fact]
    public async Task A_definition_is_changed_by_who_claimed_last_only()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var first = (await Store.ClaimAsync(webhook))!.Value;
        var changed = Webhook(webhook, "chat:*") with { Version = 2 };
        Assert.True(await Store.UpdateAsync(changed, first));
        var second = (await Store.ClaimAsync(webhook))!.Value;
        Assert.False(await Store.UpdateAsync(changed, first));
        Assert.False(await Store.UpdateAsync(changed with { Version = 3 }, first));
        Assert.Equal(2, (await Store.GetAsync(webhook))!.Version);
        Assert.True(await Store.UpdateAsync(changed with { Version = 3 }, second));
        Assert.False(await Store.UpdateAsync(changed with { Id = Id("wh_9") }, second));
        AssertWoken(await AppendAsync("room:1"));
        AssertWoken(await AppendAsync("chat:1"), "wh_1");
    }

    [Fact]
    public async Task Marks_are_cleared_by_who_claimed_last_only()
    {
        var webhook = await CreateAsync("wh_1", "room:*");
        var head = (await AppendAsync("room:1")).Head;
        var first = (await Store.ClaimAsync(webhook))!.Value;
        var second = (await Store.ClaimAsync(webhook))!.Value;
        WebhookMark[] settled = [new("room:1", head), new("room:9", head with { Offset = 0 })];
        Assert.Null(await Store.ClearMarksAsync(webhook, first, settled));
        Assert.Equal(["room:1@0"], await MarksAsync(webhook));
        Assert.Equal((bool[])[true, true], (await Store.ClearMarksAsync(webhook, second, settled))!);
        Assert.Empty(await MarksAsync(webhook));
        Assert.Equal((bool[])[true], (await Store.ClearMarksAsync(Id("wh_9"), 1, [new("room:1", head)]))!);
        AssertWoken(await AppendAsync("room:1"), "wh_1");
    }

    [Fact]
    public async Task A_higher_generation_fences_off_a_lower_one()
    {
        var webhook = await CreateAsync("wh_1", "*");
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 2 }), null));
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 2, Window = 3 }), null));
        await ReopenAsync();
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 3 }), null));
        Assert.False(await Store.WriteAsync(
            webhook,
            Write(new WebhookSnapshot { Generation = 2, Channels = [Progress("a", 1)] }, new WebhookEffect.DeadLetter(Ref(1), 1, 1, null, 0)),
            null));
        Assert.Equal(Text(new WebhookSnapshot { Generation = 3 }), Text(await Store.ReadProgressAsync(webhook)));
        Assert.Empty(await Store.ListDeadLettersAsync(webhook, default, 10));
        Assert.False(await Store.WriteAsync(Id("wh_9"), Write(new WebhookSnapshot { Generation = 9 }), null));
        Assert.Null(await Store.ReadProgressAsync(Id("wh_9")));
    }

    [Fact]
    public async Task Many_subscriptions_are_written_at_once_each_by_its_own_outcome()
    {
        var webhooks = new List<WebhookId>();
        for (var i = 0; i < 40; i++) webhooks.Add(await CreateAsync($"wh_{i:d2}", "*"));
        foreach (var webhook in webhooks.Where((_, i) => i % 4 == 0))
            Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 9 }), null));
        var written = await Task.WhenAll(webhooks.Select((w, i) => Store.WriteAsync(
            w,
            Write(
                new WebhookSnapshot { Generation = 5, Channels = [Progress($"c{i}", i)] },
                new WebhookEffect.ParkDurably(new ParkedRow(Ref(i + 1), 1, 100 + i), 0),
                new WebhookEffect.Truncated("c", "e1", 1, i + 1, i + 1, TruncationReason.Retention, null)),
            null).AsTask()));
        for (var i = 0; i < webhooks.Count; i++)
        {
            Assert.Equal(i % 4 != 0, written[i]);
            Assert.Equal(i % 4 != 0 ? [$"c{i}"] : [], (await Store.ReadProgressAsync(webhooks[i]))!.Channels.Select(c => c.Channel));
            Assert.Equal(i % 4 != 0 ? [new ParkedRow(Ref(i + 1), 1, 100 + i)] : [], await Store.ReadParkedAsync(webhooks[i], 0, 9));
            Assert.Equal(i % 4 != 0 ? [i + 1L] : [], (await Store.ListTruncationsAsync(webhooks[i], 9)).Select(t => t.To));
        }
    }

    [Fact]
    public async Task Effects_carried_out_twice_are_the_same_as_once()
    {
        var webhook = await CreateAsync("wh_1", "*");
        WebhookEffect[] before = [.. Enumerable.Range(1, 4).Select(i => new WebhookEffect.ParkDurably(new ParkedRow(Ref(i), i, 100 * i), 0))];
        Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 1 }, before), null));
        WebhookEffect[] effects =
        [
            new WebhookEffect.DeadLetter(Ref(1), 9, 5000, "no\0way", 100),
            new WebhookEffect.ParkDurably(new ParkedRow(Ref(2), 3, 50), 200),
            new WebhookEffect.ForgetParked(Ref(3), 0),
            new WebhookEffect.ForgetParked(Ref(4), 399),
            new WebhookEffect.ParkDurably(new ParkedRow(Ref(5), 1, 60), 0),
            new WebhookEffect.ForgetParked(Ref(5), 60),
            new WebhookEffect.ParkDurably(new ParkedRow(Ref(6), 1, 70), 0),
            new WebhookEffect.DeadLetter(Ref(6), 2, 5001, null, 70),
            new WebhookEffect.Truncated("room:2", "e1", 1, 5, 5, TruncationReason.Retention, null),
            new WebhookEffect.Truncated("room:2", "e1", 6, 6, 1, TruncationReason.Epoch, null),
            new WebhookEffect.Truncated("room:2", "e1", 1, 9, 9, TruncationReason.Retention, "rp_1"),
            new WebhookEffect.Failing(1, "x"),
        ];
        for (var i = 0; i < 2; i++)
        {
            Assert.True(await Store.WriteAsync(webhook, Write(new WebhookSnapshot { Generation = 1 }, effects), null));
            Assert.Equal(
                [new ParkedRow(Ref(2), 3, 50), new ParkedRow(Ref(4), 4, 400)], await Store.ReadParkedAsync(webhook, 0, 10));
            Assert.Equal(
                [new StoredDeadLetter(Ref(6), 2, 5001, null), new StoredDeadLetter(Ref(1), 9, 5000, "no\0way")],
                await Store.ListDeadLettersAsync(webhook, default, 10));
            var cuts = await Store.ListTruncationsAsync(webhook, 10);
            Assert.Equal(
                [("room:2", 1L, 5L, 5L, TruncationReason.Retention), ("room:2", 6, 6, 1, TruncationReason.Epoch)],
                cuts.OrderBy(c => c.From).Select(c => (c.Channel, c.From, c.To, c.Count, c.Reason)));
        }

        // A repetition that reaches further takes the place of the first; one that does not, not.
        Assert.True(await Store.WriteAsync(
            webhook,
            Write(
                new WebhookSnapshot { Generation = 1 },
                new WebhookEffect.Truncated("room:2", "e1", 1, 8, 8, TruncationReason.Retention, null),
                new WebhookEffect.DeadLetter(Ref(1), 9, 6000, "again", 0)),
            null));
        Assert.Contains(new StoredTruncation("room:2", "e1", 1, 8, 8, TruncationReason.Retention), await Store.ListTruncationsAsync(webhook, 10));
        Assert.Equal([1L, 6L], (await Store.ListDeadLettersAsync(webhook, default, 10)).Select(d => d.Ref.Offset));
    }

    [Fact]
    public async Task Dead_letters_and_truncations_are_dropped_by_age()
    {
        const int Many = 1_200;
        var (webhook, other) = (await CreateAsync("wh_1", "*"), await CreateAsync("wh_2", "*"));
        foreach (var id in (WebhookId[])[webhook, other])
        {
            var old = Enumerable.Range(1, id == webhook ? Many : 1).Select(i => new WebhookEffect.DeadLetter(Ref(i), 1, 1_000 + i, "500", 0));
            Assert.True(await Store.WriteAsync(
                id,
                Write(
                    new WebhookSnapshot { Generation = 1 },
                    [
                        .. old, new WebhookEffect.DeadLetter(Ref(Many + 1), 1, 5_000, "500", 0),
                        new WebhookEffect.Truncated("c", "e1", 1, 5, 5, TruncationReason.Retention, null),
                    ]),
                null));
        }

        // One that failed again later is not old.
        Assert.True(await Store.WriteAsync(
            webhook, Write(new WebhookSnapshot { Generation = 1 }, new WebhookEffect.DeadLetter(Ref(7), 2, 6_000, "500", 0)), null));
        await Store.DropDeadLettersAsync(DateTimeOffset.FromUnixTimeMilliseconds(5_000));
        await Store.DropDeadLettersAsync(DateTimeOffset.FromUnixTimeMilliseconds(5_000));
        Assert.Equal([7L, Many + 1], (await Store.ListDeadLettersAsync(webhook, default, 10)).Select(d => d.Ref.Offset));
        Assert.Equal([Many + 1L], (await Store.ListDeadLettersAsync(other, default, 10)).Select(d => d.Ref.Offset));
        Assert.Single(await Store.ListTruncationsAsync(webhook, 10));
        Assert.Single(await Store.ListTruncationsAsync(other, 10));

        // The time of a truncation is when it was stored, by the store's own clock.
        var now = Time.GetUtcNow() > DateTimeOffset.UtcNow ? Time.GetUtcNow() : DateTimeOffset.UtcNow;
        await Store.DropDeadLettersAsync(now.AddMinutes(1));
        Assert.Empty(await Store.ListDeadLettersAsync(webhook, default, 10));
        Assert.Empty(await Store.ListTruncationsAsync(webhook, 10));

        // What was dropped can come again.
        Assert.True(await Store.WriteAsync(
            webhook,
            Write(
                new WebhookSnapshot { Generation = 1 },
                new WebhookEffect.DeadLetter(Ref(7), 2, 6_000, "500", 0),
                new WebhookEffect.Truncated("c", "e1", 1, 3, 3, TruncationReason.Retention, null)),
            null));
        Assert.Single(await Store.ListDeadLettersAsync(webhook, default, 10));
        Assert.Equal(3, Assert.Single(await Store.ListTruncationsAsync(webhook, 10)).To);
    }

    [Fact]
    public async Task Truncations_are_listed_newest_first()
    {
        var webhook = await CreateAsync("wh_1", "*");
        for (var i = 1; i <= 5; i++)
        {
            Time.Advance(TimeSpan.FromMinutes(1));
            Assert.True(await Store.WriteAsync(
                webhook,
                Write(new WebhookSnapshot { Generation = 1 }, new WebhookEffect.Truncated($"c{9 - i}", "e1", i, i, 1, TruncationReason.Retention, null)),
                null));
        }

        Assert.Equal([5L, 4L, 3L], (await Store.ListTruncationsAsync(webhook, 3)).Select(t => t.From));
    }

    [Fact]
    public async Task Parked_messages_come_by_due_time()
    {
        var webhook = await CreateAsync("wh_1", "*");
        var rows = new (long Offset, long Due)[] { (1, 300), (2, 100), (3, 200), (4, 200) };
        Assert.True(await Store.WriteAsync(
            webhook,
            Write(
                new WebhookSnapshot { Generation = 1 },
                [.. rows.Select(r => new WebhookEffect.ParkDurably(new ParkedRow(Ref(r.Offset), 1, r.Due), 0))]),
            null));
        Assert.Equal([100L, 200], (await Store.ReadParkedAsync(webhook, 0, 2)).Select(r => r.Due));
        Assert.Equal([200L, 200, 300], (await Store.ReadParkedAsync(webhook, 200, 9)).Select(r => r.Due));
        Assert.Equal([1L], (await Store.ReadParkedAsync(webhook, 201, 9)).Select(r => r.Ref.Offset));
        Assert.Empty(await Store.ReadParkedAsync(Id("wh_11"), 0, 9));
    }

    [Fact]
    public async Task A_message_parked_on_request_leaves_the_dead_letters_and_will_be_looked_for()
    {
        var webhook = await CreateAsync("wh_1", "*");
        Assert.True(await Store.WriteAsync(
            webhook,
            Write(
                new WebhookSnapshot { Generation = 4, Window = 5, Channels = [Progress("a", 1)] },
                new WebhookEffect.DeadLetter(Ref(1), 9, 5000, null, 0),
                new WebhookEffect.DeadLetter(Ref(2), 9, 5000, null, 0),
                new WebhookEffect.ParkDurably(new ParkedRow(Ref(3), 1, Now + 5000), 0)),
            null));
        Assert.Empty(await DueAsync());
        await Store.ParkAsync(webhook, [new ParkedRow(Ref(1), 0, Now), new ParkedRow(Ref(3), 0, Now + 1)]);
        Assert.Equal([2L], (await Store.ListDeadLettersAsync(webhook, default, 9)).Select(d => d.Ref.Offset));
        Assert.Equal([new ParkedRow(Ref(1), 0, Now), new ParkedRow(Ref(3), 0, Now + 1)], await Store.ReadParkedAsync(webhook, 0, 9));

        // After a crash nobody else would know of it.
        await ReopenAsync();
        Assert.Equal(["acme/wh_1"], await DueAsync());
        var progress = (await Store.ReadProgressAsync(webhook))!;
        Assert.Equal((4L, 5, Now, 1), (progress.Generation, progress.Window, progress.StoredDue, progress.Channels.Count));

        // What the machine forgets under its former due time is not the one asked for since.
        Assert.True(await Store.WriteAsync(
            webhook, Write(new WebhookSnapshot { Generation = 4 }, new WebhookEffect.ForgetParked(Ref(3), Now + 5000)), null));
        Assert.Equal(2, (await Store.ReadParkedAsync(webhook, 0, 9)).Count);
        await Store.ParkAsync(Id("wh_9"), [new ParkedRow(Ref(1), 0, Now)]);
        Assert.Empty(await Store.ReadParkedAsync(Id("wh_9"), 0, 9));
    }

    [Fact]
    public async Task Dead_letters_are_paged_newest_first()
    {
        var webhook = await CreateAsync("wh_1", "*");
        Assert.True(await Store.WriteAsync(
            webhook,
            Write(
                new WebhookSnapshot { Generation = 1 },
                [.. Enumerable.Range(1, 7).Select(i => new WebhookEffect.DeadLetter(Ref(i), 1, 1000 + (i / 3), $"f{i}", 0))]),
            null));
        var all = await Store.ListDeadLettersAsync(webhook, default, 100);
        Assert.Equal([1002L, 1002, 1001, 1001, 1001, 1000, 1000], all.Select(d => d.At));
        var paged = new List<StoredDeadLetter>();
        StoredPlace before = default;
        while (await Store.ListDeadLettersAsync(webhook, before, 2) is { Count: > 0 } page)
        {
            paged.AddRange(page);
            before = new StoredPlace(page[^1].At, page[^1].Ref.ToId());
        }

        Assert.Equal(all, paged);
        Assert.Equal([1000L, 1000], (await Store.ListDeadLettersAsync(webhook, new StoredPlace(1001, null), 9)).Select(d => d.At));
    }

    [Fact]
    public async Task Who_is_due_has_marks_or_a_time_that_has_come()
    {
        foreach (var id in (string[])["wh_c", "wh_a", "wh_b", "wh_d", "wh_e", "wh_f", "wh_g"]) await CreateAsync(id, id == "wh_g" ? "g" : "room:*");
        Assert.Empty(await DueAsync());
        await AppendAsync("room:1");
        Assert.Equal(["acme/wh_a", "acme/wh_b", "acme/wh_c", "acme/wh_d", "acme/wh_e", "acme/wh_f"], await DueAsync());

        var one = new WebhookSnapshot { Generation = 1 };
        Assert.True(await Store.WriteAsync(Id("wh_a"), Write(one with { Status = WebhookStatus.Paused }), Now));
        Assert.True(await Store.WriteAsync(Id("wh_b"), Write(one with { Circuit = new CircuitRecord(1, Now + 1000, 1) }), Now));
        Assert.True(await Store.WriteAsync(Id("wh_c"), Write(one with { HeldUntil = Now + 2000 }), null));
        Assert.True(await Store.WriteAsync(Id("wh_d"), Write(one), Now + 99_000));
        Assert.True(await Store.WriteAsync(Id("wh_g"), Write(one), Now + 3000));
        await ReopenAsync();
        Assert.Equal(["acme/wh_d", "acme/wh_e", "acme/wh_f"], await DueAsync());
        Assert.Equal(["acme/wh_b", "acme/wh_d"], await DueAsync(Now + 1000, limit: 2));
        Assert.Equal(["acme/wh_c", "acme/wh_d", "acme/wh_e", "acme/wh_f"], await DueAsync(Now + 2999, after: Id("wh_b")));
        Assert.Equal(["acme/wh_f", "acme/wh_g"], await DueAsync(Now + 3000, after: Id("wh_e")));
        Assert.Equal(["acme/wh_d"], await DueAsync(shards: [Id("wh_d").Shard]));
        Assert.Empty(await DueAsync(shards: [.. Enumerable.Range(0, WebhookId.Shards).Except([Id("wh_d").Shard, Id("wh_e").Shard, Id("wh_f").Shard])]));

        // Settled, or changed back.
        var head = (await Log.GetHeadAsync(new("acme", "room:1"))).Position;
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(Id("wh_e"), [new("room:1", head)]));
        Assert.True(await Store.WriteAsync(Id("wh_a"), Write(one), null));
        Assert.Equal(["acme/wh_a", "acme/wh_d", "acme/wh_f"], await DueAsync());
        Assert.True(await Store.DeleteAsync(Id("wh_d")));
        Assert.Equal(["acme/wh_a", "acme/wh_f"], await DueAsync());
    }

    [Fact]
    public async Task Deletion_leaves_nothing_and_other_subscriptions_alone()
    {
        foreach (var id in (string[])["wh_1", "wh_2"])
        {
            var webhook = await CreateAsync(id, "*");
            Assert.True(await Store.WriteAsync(
                webhook,
                Write(
                    new WebhookSnapshot { Generation = 1, Channels = [Progress("a", 1)] },
                    new WebhookEffect.DeadLetter(Ref(1), 9, 5000, null, 0),
                    new WebhookEffect.ParkDurably(new ParkedRow(Ref(2), 1, 1), 0),
                    new WebhookEffect.Truncated("a", "e1", 1, 1, 1, TruncationReason.Retention, null)),
                1));
        }

        await AppendAsync("room:1");
        Assert.True(await Store.DeleteAsync(Id("wh_1")));
        Assert.False(await Store.DeleteAsync(Id("wh_1")));
        AssertWoken(await AppendAsync("room:1"));
        AssertWoken(await AppendAsync("room:2"), "wh_2");
        await ReopenAsync();
        foreach (var (id, count) in new[] { ("wh_1", 0), ("wh_2", 1) })
        {
            Assert.Equal(count, await Store.GetAsync(Id(id)) is null ? 0 : 1);
            Assert.Equal(count * 2, (await Store.GetMarksAsync(Id(id))).Count);
            Assert.Equal(count, await Store.ReadProgressAsync(Id(id)) is null ? 0 : 1);
            Assert.Equal(count, (await Store.ReadParkedAsync(Id(id), 0, 9)).Count);
            Assert.Equal(count, (await Store.ListDeadLettersAsync(Id(id), default, 9)).Count);
            Assert.Equal(count, (await Store.ListTruncationsAsync(Id(id), 9)).Count);
        }

        Assert.Equal(["acme/wh_2"], await DueAsync());
        Assert.True(await Store.DeleteAsync(Id("wh_2")));
        AssertWoken(await AppendAsync("room:3"));
        Assert.Empty(await Store.ClearMarksAsync(Id("wh_2"), []));
        await CreateAsync("wh_3", "room:1");
        AssertWoken(await AppendAsync("room:1"), "wh_3");
    }

    [Fact]
    public async Task Marks_and_patterns_outlive_a_restart()
    {
        await CreateAsync("wh_1", "room:*");
        await CreateAsync("wh_2", "room:*");
        var head = (await AppendAsync("room:1", 2)).Head;
        Assert.Equal((bool[])[true], await Store.ClearMarksAsync(Id("wh_2"), [new("room:1", head)]));
        await ReopenAsync();
        Assert.Equal(["acme/wh_1"], await DueAsync());
        AssertWoken(await AppendAsync("room:1"), "wh_2");
        AssertWoken(await AppendAsync("room:2"), "wh_1", "wh_2");
        Assert.Equal(["room:1@0", "room:2@0"], await MarksAsync(Id("wh_1")));
        Assert.Equal(["room:1@2", "room:2@0"], await MarksAsync(Id("wh_2")));
    }

    [Fact]
    public async Task Secrets_are_opened_with_the_keys_that_are_stored()
    {
        var secrets = SecretSet.Create(WebhookSecret.Generate());
        var stored = Vault.Protect(secrets, "acme", "wh_1");
        await ReopenAsync();
        Assert.Equal(secrets.Serialize(), Vault.Unprotect(stored, "acme", "wh_1").Serialize());
    }
}

using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>What is written and when, restarts, retention, limits, and what people do.</summary>
public sealed class WebhookStateTests
{
    [Fact]
    public void What_a_former_endpoint_still_answers_tells_nothing_of_the_new_one()
    {
        var rig = new Rig();
        rig.Publish("a", 16);
        var former = rig.Take();
        Assert.Equal(16, former.Count);
        rig.Machine.OnEndpointChanged(rig.Now);
        rig.Answer(former[0], OutcomeKind.Gone);
        rig.Answer(former[1], OutcomeKind.Hold, 3_600_000);
        rig.Answer(former.Skip(2).Take(12), OutcomeKind.Failed);
        Assert.Equal((WebhookStatus.Active, 0L, false, 0), (rig.Machine.Status, rig.Machine.AskedUntil, rig.Machine.IsOpen, rig.Machine.Parked));

        // What it took is delivered, and the rest goes to the new one, with all attempts before it.
        rig.Answer(former.Skip(14));
        var all = rig.DeliverAll();
        Assert.Equal(former.Take(14).Select(static a => a.Ref.Offset).Order(), all.Select(static a => a.Ref.Offset).Order());
        Assert.All(all, static a => Assert.Equal(1, a.Attempt));
        Assert.Equal(16, rig.Floor("a"));
    }

    [Fact]
    public void What_is_being_read_has_to_be_woken_for()
    {
        // A cursor that was moved back has no mark, and a replay never has one.
        var rig = new Rig();
        rig.Publish("a", 3);
        rig.DeliverAll();
        rig.Machine.Seek("a", new Position("e1", 0), rig.Now);
        rig.Write();
        Assert.NotEmpty(rig.Machine.NextReads(rig.Now));
        Assert.Equal(rig.Now, rig.Machine.NextWake(rig.Now));

        var other = new Rig();
        other.Publish("a", 3);
        other.DeliverAll();
        other.Write();
        Assert.Null(other.Machine.NextWake(other.Now));
        Assert.True(other.Machine.StartReplay("rp_1", [new ReplayRange("a", new Position("e1", 0), 3)], 10, other.Now));
        Assert.NotEmpty(other.Machine.NextReads(other.Now));
        Assert.Equal(other.Now, other.Machine.NextWake(other.Now));
    }

    [Fact]
    public void A_restart_repeats_what_was_not_written_and_nothing_else()
    {
        var rig = new Rig();
        rig.Publish("a", 30);
        var first = rig.Take();
        rig.Answer(first[..8]);
        rig.Write();
        rig.Answer(first[8..12]);
        rig.Crash();
        var again = rig.DeliverAll();
        Assert.Equal(Enumerable.Range(9, 22).Select(i => (long)i), again.Select(d => d.Ref.Offset).Order());
        Assert.Equal(first[8].Ref.ToId(), again[0].Ref.ToId());
    }

    [Fact]
    public void It_is_written_after_so_many_acknowledgements_or_so_long()
    {
        var rig = new Rig();
        rig.Publish("a", 200);
        rig.Write();
        for (var acks = 0; acks < 64;)
        {
            foreach (var delivery in rig.Take().Take(64 - acks))
            {
                Assert.Null(rig.Machine.BeginWrite(rig.Now));
                rig.Answer(delivery, OutcomeKind.Delivered);
                acks++;
            }
        }

        Assert.NotNull(rig.Write(force: false));
        rig.Answer(rig.Take()[..1]);
        Assert.Null(rig.Machine.BeginWrite(rig.Now));
        Assert.Equal(250, rig.Machine.NextDue(rig.Now) - rig.Now);
    }

    [Fact]
    public void One_write_is_under_way_and_a_failed_one_comes_again_whole()
    {
        var rig = new Rig();
        rig.Publish("a", 2);
        rig.DeliverAll();
        rig.Machine.Skip(new MessageRef("a", "e1", 2), rig.Now);
        var write = rig.Machine.BeginWrite(rig.Now, force: true)!;
        Assert.Null(rig.Machine.BeginWrite(rig.Now, force: true));
        rig.Machine.EndWrite(false, rig.Now);
        Assert.Null(rig.Machine.BeginWrite(rig.Now));
        rig.AdvanceToDue();
        var again = rig.Machine.BeginWrite(rig.Now)!;
        Assert.Equal(write.Effects, again.Effects);
        Assert.Equivalent(write.Snapshot, again.Snapshot);
    }

    [Fact]
    public void Only_channels_that_changed_are_written()
    {
        var rig = new Rig();
        for (var i = 0; i < 50; i++) rig.Publish($"c{i}");
        rig.DeliverAll();
        Assert.Equal(50, rig.Write()!.Snapshot.Channels.Count);
        rig.Publish("c7");
        rig.DeliverAll();
        Assert.Equal("c7", Assert.Single(rig.Write()!.Snapshot.Channels).Channel);
        Assert.Equal(50, rig.Stored!.Channels.Count);
    }

    [Fact]
    public void Nothing_is_sent_while_the_store_is_far_behind()
    {
        var rig = new Rig(new() { Limits = new DeliveryLimits { MaxUnwritten = 20 } });
        rig.Publish("a", 200);
        var delivered = rig.DeliverAll().Count;
        Assert.InRange(delivered, 20, 20 + 256);
        rig.Write();
        Assert.NotEmpty(rig.Take());
    }

    [Fact]
    public void Each_activation_has_a_higher_generation()
    {
        var rig = new Rig();
        rig.Publish("a");
        rig.Write();
        Assert.Equal(1, rig.Stored!.Generation);
        rig.Crash();
        Assert.Equal(2, rig.Machine.Generation);
    }

    [Fact]
    public void What_retention_takes_is_recorded()
    {
        var rig = new Rig();
        rig.Publish("a", 20);
        rig.Machine.Pause(rig.Now);
        rig.Topic("a").Trim(15);
        rig.Machine.Resume(rig.Now);
        Assert.Equal([16L, 17, 18, 19, 20], rig.DeliverAll().Select(d => d.Ref.Offset).Order());
        var lost = rig.Effect<WebhookEffect.Truncated>();
        Assert.Equal((1L, 15L, 15L, TruncationReason.Retention), (lost.From, lost.To, lost.Count, lost.Reason));
    }

    [Fact]
    public void A_failed_message_that_retention_took_is_recorded()
    {
        var rig = new Rig();
        rig.Publish("a", 3);
        var all = rig.Take();
        rig.Answer(all[1], OutcomeKind.Failed);
        rig.Answer([all[0], all[2]]);
        rig.Topic("a").Trim(3);
        rig.Advance(10_000);
        Assert.Empty(rig.DeliverAll());
        var lost = rig.Effect<WebhookEffect.Truncated>();
        Assert.Equal((2L, 2L), (lost.From, lost.To));
        Assert.Equal(3, rig.Floor("a"));
        Assert.Equal(0, rig.Machine.Parked);
    }

    [Fact]
    public void A_lane_that_retention_frees_loses_nothing_that_waited_behind()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Keyed, KeySeparator = ':' });
        rig.Publish("a", key: "x:1");
        rig.Answer(rig.TakeOne(), OutcomeKind.Failed);
        rig.Publish("a", 5, key: "x:2");
        rig.Publish("a", 5, key: "y:1");
        rig.DeliverAll();
        rig.Topic("a").Trim(3);
        rig.Publish("a", key: "y:2");
        Assert.Equal([4L, 5, 6, 12], rig.DeliverAll().Select(d => d.Ref.Offset).Order());
        Assert.Equal(12, rig.Floor("a"));
    }

    [Fact]
    public void A_new_epoch_is_recorded_and_read_from_its_start()
    {
        var rig = new Rig();
        rig.Publish("a", 20);
        rig.Answer(rig.Take()[..5]);
        rig.Topic("a").Purge();
        rig.Publish("a", 3);
        rig.Advance(1);
        rig.Machine.Pause(rig.Now);
        rig.Machine.Resume(rig.Now);
        var delivered = rig.DeliverAll().Select(d => (d.Ref.Epoch, d.Ref.Offset));
        Assert.Equal([("e2", 1L), ("e2", 2L), ("e2", 3L)], delivered.Order());
        var lost = rig.Effect<WebhookEffect.Truncated>();
        Assert.Equal(("e1", 6L, 20L, 15L, TruncationReason.Epoch), (lost.Epoch, lost.From, lost.To, lost.Count, lost.Reason));
    }

    [Fact]
    public void Too_many_failures_are_parked_in_the_store_and_tried_from_there()
    {
        var rig = new Rig(new() { Limits = new DeliveryLimits { MaxParked = 20 }, Circuit = new CircuitSettings { ConsecutiveFailures = 10_000, FailureRate = 2 } });
        rig.Publish("a", 100);
        while (rig.Take() is { Count: > 0 } some)
        {
            rig.Answer(some, OutcomeKind.Failed);
            Assert.InRange(rig.Machine.Snapshot().Channels.Sum(c => c.Parked.Count), 0, 21);
            rig.Write();
        }

        Assert.InRange(rig.Rows.Count, 80, 99);
        Assert.Equal(100 - rig.Machine.Parked, rig.Floor("a"));
        rig.Crash();
        var delivered = new HashSet<long>();
        for (var round = 0; round < 500 && (rig.Rows.Count > 0 || rig.Machine.Lag > 0); round++)
        {
            foreach (var delivery in rig.DeliverAll())
            {
                Assert.Equal((2, DeliveryKind.Retry), (delivery.Attempt, delivery.Kind));
                Assert.True(delivered.Add(delivery.Ref.Offset));
            }

            rig.Write();
            if (rig.Machine.NextDue(rig.Now) is not null) rig.AdvanceToDue();
        }

        Assert.Equal(100, delivered.Count);
        Assert.Equal(100, rig.Floor("a"));
    }

    [Fact]
    public void A_parked_message_that_fails_again_is_parked_again_and_exhausted_in_the_end()
    {
        RetrySchedule.TryCreate([0, 1, 1], out var schedule, out _);
        var rig = new Rig(new() { Schedule = schedule!, Limits = new DeliveryLimits { MaxParked = 0 } });
        rig.Publish("a");
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            var delivery = rig.TakeOne();
            Assert.Equal(attempt, delivery.Attempt);
            rig.Answer(delivery, OutcomeKind.Rejected);
            rig.Write();
            Assert.Equal(attempt < 3 ? 1 : 0, rig.Rows.Count);
            rig.Advance(2_000);
        }

        Assert.Equal(3, rig.Effect<WebhookEffect.DeadLetter>().Attempts);
        Assert.Equal(1, rig.Floor("a"));
    }

    [Fact]
    public void Paused_it_sends_nothing_and_resumed_everything()
    {
        var rig = new Rig();
        rig.Publish("a", 40);
        var flying = rig.Take();
        Assert.True(rig.Machine.Pause(rig.Now));
        Assert.False(rig.Machine.Pause(rig.Now));
        rig.Answer(flying);
        rig.Publish("a", 40);
        Assert.Empty(rig.Take());
        rig.Write();
        rig.Crash();
        Assert.Empty(rig.Take());
        Assert.True(rig.Machine.Resume(rig.Now));
        Assert.Equal(64, rig.DeliverAll().Count);
    }

    [Fact]
    public void A_skipped_message_is_not_sent()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Ordered });
        rig.Publish("a", 4);
        var head = rig.TakeOne();
        rig.Answer(head, OutcomeKind.Failed);
        rig.Machine.Skip(head.Ref, rig.Now);
        rig.Machine.Skip(head.Ref with { Offset = 3 }, rig.Now);
        Assert.Equal([2L, 4], rig.DeliverAll().Select(d => d.Ref.Offset));
        rig.Write();
        Assert.Equal(2, rig.Effects.OfType<WebhookEffect.Skipped>().Count());
    }

    [Fact]
    public void A_cursor_can_be_moved_back_and_forth()
    {
        var rig = new Rig();
        rig.Publish("a", 10);
        rig.DeliverAll();
        rig.Machine.Seek("a", new Position("e1", 7), rig.Now);
        Assert.Equal([8L, 9, 10], rig.DeliverAll().Select(d => d.Ref.Offset));
        rig.Publish("a", 10);
        rig.Machine.Seek("a", new Position("e1", 18), rig.Now);
        Assert.Equal([19L, 20], rig.DeliverAll().Select(d => d.Ref.Offset));
        rig.Write();
        rig.Crash();
        Assert.Empty(rig.DeliverAll());
    }

    [Fact]
    public void A_message_can_be_asked_for_again()
    {
        var rig = new Rig();
        rig.Publish("a", 3);
        rig.DeliverAll();
        rig.Write();
        var message = new MessageRef("a", "e1", 2);
        rig.Rows[message] = new ParkedRow(message, 0, rig.Now);
        rig.Machine.NoticeParked(rig.Now, rig.Now);
        var again = rig.TakeOne();
        Assert.Equal((message, 1), (again.Ref, again.Attempt));
        rig.Answer(again, OutcomeKind.Delivered);
        rig.Write();
        Assert.Empty(rig.Rows);
        Assert.Empty(rig.Take());
    }

    [Fact]
    public void A_replay_keeps_its_rate_and_new_messages_come_first()
    {
        var rig = new Rig();
        rig.Publish("a", 100);
        rig.DeliverAll();
        Assert.True(rig.Machine.StartReplay("rp", [new ReplayRange("a", new Position("e1", 40), 100)], 10, rig.Now));
        Assert.False(rig.Machine.StartReplay("other", [], 10, rig.Now));
        var (replayed, from) = (new List<long>(), rig.Now);
        while (rig.Machine.Replay is not null)
        {
            rig.Publish("a", 20);
            while (rig.Take() is { Count: > 0 } some)
            {
                Assert.InRange(some.Count(d => d.Kind == DeliveryKind.Replay), 0, Math.Max(1, rig.Machine.Window / 4));
                replayed.AddRange(some.Where(d => d.Kind == DeliveryKind.Replay).Select(d => d.Ref.Offset));
                rig.Answer(some);
            }

            Assert.Equal(rig.Topic("a").Head, rig.Floor("a"));
            Assert.True(replayed.Count <= 10 + ((rig.Now - from) / 100.0) + 0.01);
            rig.Write();
            rig.Advance(100);
        }

        Assert.Equal(Enumerable.Range(41, 60).Select(i => (long)i), replayed.Order());
        var end = rig.Effect<WebhookEffect.ReplayEnded>();
        Assert.Equal(("rp", 60L, false), (end.Id, end.Progress.Delivered, end.Cancelled));
    }

    [Fact]
    public void A_replay_goes_on_after_a_restart_and_can_be_cancelled()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Ordered });
        rig.Publish("a", 20);
        rig.DeliverAll();
        rig.Machine.StartReplay("rp", [new ReplayRange("a", new Position("e1", 0), 20)], 5, rig.Now);
        Assert.Equal([1L, 2, 3, 4, 5], rig.DeliverAll().Select(d => d.Ref.Offset));
        rig.Write();
        rig.Crash();
        Assert.Equal(15, rig.Machine.Replay!.Value.Progress.Remaining);
        Assert.Equal(6, rig.DeliverAll()[0].Ref.Offset);
        Assert.False(rig.Machine.CancelReplay("other", rig.Now));
        Assert.True(rig.Machine.CancelReplay("rp", rig.Now));
        rig.Advance(10_000);
        Assert.Empty(rig.DeliverAll());
        Assert.True(rig.Effect<WebhookEffect.ReplayEnded>().Cancelled);
    }

    [Fact]
    public void A_retry_is_made_although_new_messages_never_end()
    {
        var rig = new Rig(new() { Limits = new DeliveryLimits { InitialWindow = 1, MaxWindow = 1 } });
        rig.Publish("a");
        rig.Answer(rig.TakeOne(), OutcomeKind.Rejected);
        rig.Advance(10_000);
        rig.Publish("b", 200);
        var order = rig.DeliverAll().Select(d => d.Kind).ToList();
        Assert.InRange(order.IndexOf(DeliveryKind.Retry), 0, 5);
    }
}

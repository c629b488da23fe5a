using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>Modes, filters, retries, outcomes.</summary>
public sealed class WebhookMachineTests
{
    [Fact]
    public void Messages_are_delivered_once_and_the_cursor_follows()
    {
        var rig = new Rig();
        rig.Publish("a", 20);
        rig.Publish("b", 5);
        Assert.Equal(25, rig.DeliverAll().Select(d => d.Ref).Distinct().Count());
        Assert.Equal((20, 5, 0), (rig.Floor("a"), rig.Floor("b"), rig.Machine.Lag));
        Assert.Empty(rig.DeliverAll());
    }

    [Fact]
    public void In_parallel_the_window_is_filled()
    {
        var rig = new Rig();
        rig.Publish("a", 100);
        Assert.Equal(16, rig.Take().Count);
        Assert.Empty(rig.Take());
    }

    [Fact]
    public void In_parallel_a_failing_message_holds_nothing_back()
    {
        var rig = new Rig();
        rig.Publish("a", 3);
        var first = rig.Take();
        rig.Answer(first[0], OutcomeKind.Failed);
        rig.Answer(first[1..]);
        rig.Publish("a", 10);
        Assert.Equal(10, rig.DeliverAll().Count);
        Assert.Equal(0, rig.Floor("a"));
        Assert.Equal(1, rig.Machine.Lag);

        rig.AdvanceToDue();
        rig.Write();
        rig.AdvanceToDue();
        var retry = rig.TakeOne();
        Assert.Equal((first[0].Ref, 2, DeliveryKind.Retry), (retry.Ref, retry.Attempt, retry.Kind));
        Assert.Equal(first[0].Ref.ToId(), retry.Ref.ToId());
        rig.Answer(retry, OutcomeKind.Delivered);
        Assert.Equal(13, rig.Floor("a"));
    }

    [Fact]
    public void A_message_is_tried_by_the_schedule_and_then_is_a_dead_letter()
    {
        var rig = new Rig();
        rig.Publish("a");
        var last = Rig.Start;
        double[] minutes = [5.0 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440];
        rig.Answer(rig.TakeOne(), OutcomeKind.Rejected);
        foreach (var expected in minutes)
        {
            // A success in between keeps the circuit closed.
            rig.Publish("b");
            rig.DeliverAll();
            while (rig.Machine.HasUnwritten) rig.Write();
            rig.AdvanceToDue();
            Assert.InRange(rig.Now - last, expected * 60_000 * 0.8 - 1, expected * 60_000 * 1.2 + 1);
            last = rig.Now;
            rig.Answer(rig.TakeOne(), OutcomeKind.Rejected);
        }

        var letter = rig.Effect<WebhookEffect.DeadLetter>();
        Assert.Equal((10, "Rejected", 1L), (letter.Attempts, letter.Failure, letter.Ref.Offset));
        Assert.Equal(1, rig.Floor("a"));
        Assert.Null(rig.Machine.NextDue(rig.Now));
    }

    [Fact]
    public void Keyed_by_channel_a_failing_channel_blocks_only_itself()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Keyed });
        rig.Publish("a", 5);
        rig.Publish("b", 5);
        var both = rig.Take();
        Assert.Equal(["a", "b"], both.Select(d => d.Ref.Channel).Order());
        rig.Answer(both.Single(d => d.Ref.Channel == "a"), OutcomeKind.Failed);
        rig.Answer(both.Single(d => d.Ref.Channel == "b"), OutcomeKind.Delivered);
        Assert.Equal([2L, 3, 4, 5], rig.DeliverAll().Select(d => d.Ref.Offset));
        Assert.Equal(1, Assert.Single(rig.Machine.Blocking).Ref.Offset);

        rig.Advance(10_000);
        Assert.Equal([1L, 2, 3, 4, 5], rig.DeliverAll().Select(d => d.Ref.Offset));
    }

    [Fact]
    public void Keyed_by_key_a_failing_key_blocks_only_itself()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Keyed, KeySeparator = ':' });
        for (var i = 0; i < 3; i++)
        {
            rig.Publish("a", key: $"x:{i}");
            rig.Publish("a", key: $"y:{i}");
            rig.Publish("a");
        }

        var heads = rig.Take();
        Assert.Equal([1L, 2, 3], heads.Select(d => d.Ref.Offset).Order());
        rig.Answer(heads.Single(d => d.Ref.Offset == 1), OutcomeKind.Failed);
        rig.Answer(heads.Where(d => d.Ref.Offset != 1));
        Assert.Equal([5L, 6, 8, 9], rig.DeliverAll().Select(d => d.Ref.Offset).Order());
        rig.Publish("a", key: "x:3");
        rig.Publish("a", key: "y:3");
        Assert.Equal([11L], rig.DeliverAll().Select(d => d.Ref.Offset));

        // Which key waits is stored, too.
        rig.Write();
        rig.Crash();
        Assert.Empty(rig.DeliverAll());
        rig.Advance(10_000);
        Assert.Equal([1L, 4, 7, 10], rig.DeliverAll().Select(d => d.Ref.Offset));
    }

    [Fact]
    public void Ordered_sends_one_at_a_time_and_a_failing_head_blocks_everything()
    {
        var rig = new Rig(new() { Mode = WebhookMode.Ordered });
        rig.Publish("a", 2);
        rig.Advance(1);
        rig.Publish("b", 2);
        rig.Advance(1);
        rig.Publish("a");
        rig.Answer(rig.TakeOne(), OutcomeKind.Failed);
        Assert.Empty(rig.Take());
        Assert.Equal("a", Assert.Single(rig.Machine.Blocking).Ref.Channel);
        rig.Advance(10_000);
        Assert.Equal(["a1", "a2", "b1", "b2", "a3"], rig.DeliverAll().Select(d => d.Ref.Channel + d.Ref.Offset));
    }

    [Theory]
    [InlineData((int)ExhaustionRule.Block)]
    [InlineData((int)ExhaustionRule.DeadLetter)]
    [InlineData((int)ExhaustionRule.Pause)]
    public void Ordered_has_three_ways_on_when_attempts_are_used_up(int rule)
    {
        RetrySchedule.TryCreate([1], out var schedule, out _);
        var rig = new Rig(new() { Mode = WebhookMode.Ordered, OnExhausted = (ExhaustionRule)rule, Schedule = schedule! });
        rig.Publish("a", 2);
        rig.Answer(rig.TakeOne(), OutcomeKind.Failed);
        rig.Advance(2_000);
        rig.Answer(rig.TakeOne(), OutcomeKind.Failed);
        rig.Advance(2_000);
        switch ((ExhaustionRule)rule)
        {
            case ExhaustionRule.Block:
                var again = rig.TakeOne();
                Assert.Equal((1L, 3), (again.Ref.Offset, again.Attempt));
                break;
            case ExhaustionRule.DeadLetter:
                Assert.Equal(2, rig.TakeOne().Ref.Offset);
                Assert.Equal(1, rig.Effect<WebhookEffect.DeadLetter>().Ref.Offset);
                break;
            default:
                Assert.Empty(rig.Take());
                Assert.Equal(WebhookStatus.Paused, rig.Machine.Status);
                Assert.Equal(1, rig.Effect<WebhookEffect.PausedAt>().Ref.Offset);
                rig.Crash();
                Assert.Equal(WebhookStatus.Paused, rig.Machine.Status);
                Assert.True(rig.Machine.Resume(rig.Now));
                Assert.Equal([1L, 2], rig.DeliverAll().Select(d => d.Ref.Offset));
                break;
        }
    }

    [Fact]
    public void What_the_filter_does_not_want_moves_the_cursor_only()
    {
        var rig = new Rig(new() { Events = EventFilter.Of(["order.*"]) });
        rig.Publish("a", 100, "user.created");
        rig.Publish("a", 1, "order.created");
        rig.Publish("a", 1_000, "user.created");
        Assert.Equal(101, Assert.Single(rig.DeliverAll()).Ref.Offset);
        Assert.Equal(1_101, rig.Floor("a"));
    }

    [Fact]
    public void Progress_over_what_is_not_wanted_is_written_seldom()
    {
        var rig = new Rig(new() { Events = EventFilter.Of(["order.*"]) });
        rig.Publish("a", 1, "user.created");
        rig.Write();
        rig.Publish("a", 1, "user.created");
        Assert.Empty(rig.Take());
        Assert.Equal(5_000, rig.Machine.NextDue(rig.Now) - rig.Now);
    }

    [Fact]
    public void A_hold_stops_the_whole_endpoint_and_uses_up_no_attempt()
    {
        var rig = new Rig();
        rig.Publish("a", 3);
        var all = rig.Take();
        rig.Answer(all[0], OutcomeKind.Hold, 60_000);
        rig.Answer(all[1..]);
        rig.Publish("b", 3);
        Assert.Empty(rig.Take());
        rig.Write();
        rig.Crash();
        Assert.Empty(rig.Take());
        Assert.Equal(60_000, rig.Machine.NextDue(rig.Now) - rig.Now);
        rig.AdvanceToDue();
        Assert.All(rig.DeliverAll(), d => Assert.Equal(1, d.Attempt));
        Assert.Equal(0, rig.Machine.Lag);
    }

    [Fact]
    public void A_hold_is_at_most_a_day()
    {
        var rig = new Rig();
        rig.Publish("a");
        rig.Answer(rig.TakeOne(), OutcomeKind.Hold, long.MaxValue / 4);
        rig.Write();
        Assert.Equal(WebhookMachine.MaxHoldMs, rig.Machine.NextDue(rig.Now) - rig.Now);
    }

    [Fact]
    public void An_endpoint_that_only_ever_asks_to_be_left_alone_is_disabled_after_five_days()
    {
        var rig = new Rig();
        rig.Publish("a");
        for (var day = 0; day < 5; day++)
        {
            rig.Answer(rig.TakeOne(), OutcomeKind.Hold, WebhookMachine.MaxHoldMs);
            Assert.Equal(WebhookStatus.Active, rig.Machine.Status);
            rig.Write();
            rig.Crash();
            Assert.Empty(rig.Take());
            rig.AdvanceToDue();
        }

        rig.Answer(rig.TakeOne(), OutcomeKind.Hold, WebhookMachine.MaxHoldMs);
        Assert.Equal((WebhookStatus.Disabled, DisabledReason.NoSuccess), (rig.Machine.Status, rig.Machine.Reason));

        // A success in between begins it anew.
        Assert.True(rig.Machine.Enable([], rig.Now));
        rig.Answer(rig.TakeOne(), OutcomeKind.Hold, 1_000);
        rig.Write();
        Assert.Empty(rig.Take());
        rig.AdvanceToDue();
        Assert.Single(rig.DeliverAll());
        rig.Advance(TimeSpan.FromDays(6));
        rig.Publish("a");
        rig.Answer(rig.TakeOne(), OutcomeKind.Hold, 1_000);
        Assert.Equal(WebhookStatus.Active, rig.Machine.Status);
    }

    [Fact]
    public void Gone_disables_and_keeps_the_message()
    {
        var rig = new Rig();
        rig.Publish("a", 2);
        var both = rig.Take();
        rig.Answer(both[0], OutcomeKind.Gone);
        rig.Answer(both[1], OutcomeKind.Delivered);
        Assert.Equal((WebhookStatus.Disabled, DisabledReason.Gone), (rig.Machine.Status, rig.Machine.Reason));
        Assert.Equal(DisabledReason.Gone, rig.Effect<WebhookEffect.Disabled>().Reason);
        Assert.Empty(rig.Take());
        rig.Crash();
        Assert.Empty(rig.Take());
        Assert.Null(rig.Machine.NextDue(rig.Now));
        Assert.True(rig.Machine.Enable([], rig.Now));
        Assert.Equal(both[0].Ref, rig.TakeOne().Ref);
    }

    [Theory]
    [InlineData((int)OutcomeKind.LocalFault)]
    [InlineData((int)OutcomeKind.Lost)]
    public void Faults_of_this_side_use_up_no_attempt_and_back_off(int kind)
    {
        var rig = new Rig();
        rig.Publish("a");
        long[] least = [800, 1_600, 3_200, 6_400];
        foreach (var delay in least)
        {
            var delivery = rig.TakeOne();
            Assert.Equal(1, delivery.Attempt);
            rig.Answer(delivery, (OutcomeKind)kind);
            Assert.Empty(rig.Take());
            rig.Write();
            var from = rig.Now;
            rig.AdvanceToDue();
            Assert.InRange(rig.Now - from, delay - 1, (delay * 1.5) + 1);
        }

        rig.Answer(rig.TakeOne(), OutcomeKind.Delivered);
        Assert.False(rig.Machine.IsOpen);
        Assert.Equal(0, rig.Machine.Lag);
    }

    [Fact]
    public void An_outcome_told_twice_or_of_nobody_changes_nothing()
    {
        var rig = new Rig();
        rig.Publish("a");
        var delivery = rig.TakeOne();
        rig.Answer(delivery, OutcomeKind.Delivered);
        rig.Answer(delivery, OutcomeKind.Gone);
        rig.Machine.OnOutcome(123_456, new Outcome(OutcomeKind.Gone), rig.Now);
        Assert.Equal(WebhookStatus.Active, rig.Machine.Status);
        Assert.Equal(0, rig.Machine.InFlight);
    }

    [Fact]
    public void The_rate_is_kept()
    {
        var rig = new Rig(new() { PerSecond = 5 });
        rig.Publish("a", 50);
        var (sent, from) = (0, rig.Now);
        while (rig.Machine.Lag > 0)
        {
            sent += rig.DeliverAll().Count;
            Assert.True(sent <= 5 + ((rig.Now - from) / 1000.0 * 5) + 0.01);
            rig.Write();
            if (rig.Machine.Lag > 0) rig.AdvanceToDue();
        }

        Assert.Equal(50, sent);
        Assert.InRange(rig.Now - from, 8_900, 9_200);
    }

    [Fact]
    public void A_read_that_failed_is_made_again_after_a_second()
    {
        var rig = new Rig();
        rig.Publish("a");
        rig.Machine.OnReadFailed(Assert.Single(rig.Machine.NextReads(rig.Now)).Number, rig.Now);
        Assert.Empty(rig.Take());
        rig.Write();
        Assert.Equal(1_000, rig.Machine.NextDue(rig.Now) - rig.Now);
        rig.AdvanceToDue();
        rig.TakeOne();
    }

    [Fact]
    public void After_a_change_of_mode_order_holds_from_then_on()
    {
        var rig = new Rig();
        rig.Publish("a", 30);
        var before = rig.Take();
        rig.Machine.Apply(new DeliverySettings { Mode = WebhookMode.Ordered }, rig.Now);
        Assert.Empty(rig.Take());
        rig.Answer(before[0], OutcomeKind.Failed);
        rig.Answer(before[1..]);
        Assert.Empty(rig.Take());
        rig.Advance(10_000);
        Assert.Equal([1L, .. Enumerable.Range(17, 14).Select(i => (long)i)], rig.DeliverAll().Select(d => d.Ref.Offset));
    }
}

using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>Endpoints that are dead: what they cost, and how they come back.</summary>
public sealed class WebhookCircuitTests
{
    [Fact]
    public void Open_it_sends_one_probe_at_a_time_and_nothing_else()
    {
        var rig = OpenRig(backlog: 500);
        Assert.Empty(rig.Take());
        var probes = 0;
        for (; probes < 12; probes++)
        {
            var from = rig.Now;
            rig.AdvanceToDue();
            Assert.InRange(rig.Now - from, Math.Min(3_600, 30 << probes) * 800 - 1, Math.Min(3_600, 30 << probes) * 1_200 + 1);
            var reads = rig.Reads;
            var probe = rig.TakeOne();
            Assert.True(probe.IsProbe);
            Assert.InRange(rig.Reads - reads, 1, 2);
            rig.Advance(1_000_000);
            Assert.Empty(rig.Take());
            rig.Advance(-1_000_000);
            rig.Answer(probe, OutcomeKind.Failed);
            Assert.Empty(rig.Take());
            while (rig.Machine.HasUnwritten) rig.Write();
        }
    }

    [Fact]
    public void Open_its_state_does_not_grow_with_the_backlog()
    {
        var rig = OpenRig(backlog: 10_000);
        Assert.InRange(SnapshotRecord.ToBytes(rig.Machine.Snapshot()).Length, 1, 600);
        Assert.InRange(rig.Machine.Parked, 1, 16);
        Assert.Equal(10_000, rig.Machine.Lag);
        rig.Publish("a", 5_000);
        Assert.Empty(rig.Take());
        Assert.InRange(rig.Machine.Parked, 1, 16);
    }

    [Fact]
    public void A_success_closes_it_and_the_window_starts_at_one()
    {
        var rig = OpenRig(backlog: 500);
        rig.AdvanceToDue();
        rig.Answer(rig.TakeOne(), OutcomeKind.Delivered);
        Assert.False(rig.Machine.IsOpen);
        Assert.NotNull(rig.Effect<WebhookEffect.Recovered>());
        foreach (var expected in new[] { 1, 2, 4, 8, 16 })
        {
            var taken = rig.Take();
            Assert.Equal(expected, taken.Count);
            rig.Answer(taken);
        }

        rig.DeliverAll();
        rig.Advance(TimeSpan.FromHours(1));
        rig.DeliverAll();
        Assert.Equal(0, rig.Machine.Lag);
        Assert.Empty(rig.Effects.OfType<WebhookEffect.DeadLetter>());
    }

    [Fact]
    public void It_tells_that_it_fails_and_that_it_opened()
    {
        var rig = OpenRig(backlog: 500);
        rig.Effect<WebhookEffect.Failing>();
        rig.Effect<WebhookEffect.CircuitOpened>();
    }

    [Fact]
    public void A_message_that_is_itself_the_cause_does_not_keep_it_open()
    {
        foreach (var mode in Enum.GetValues<WebhookMode>().Where(m => m != WebhookMode.Ordered))
        {
            var rig = new Rig(new() { Mode = mode });
            for (var channel = 0; channel < 30; channel++) rig.Publish($"c{channel}", 2);
            bool Poisonous(MessageRef message) => message.Offset == 1 && int.Parse(message.Channel[1..], null) < 20;
            for (var round = 0; round < 400 && rig.Machine.Lag > 40; round++)
            {
                foreach (var delivery in rig.Take()) rig.Answer(delivery, Poisonous(delivery.Ref) ? OutcomeKind.Failed : OutcomeKind.Delivered);
                while (rig.Machine.HasUnwritten) rig.Write();
                if (rig.Machine.NextDue(rig.Now) is not null) rig.AdvanceToDue();
            }

            Assert.Equal(WebhookStatus.Active, rig.Machine.Status);
            Assert.True(rig.Machine.Lag <= 40, $"{mode}: {rig.Machine.Lag} left");
        }
    }

    [Fact]
    public void Dead_for_five_days_it_is_disabled_and_told_and_enabling_asks_from_where()
    {
        var rig = OpenRig(backlog: 500);
        var from = rig.Now;
        while (rig.Machine.Status == WebhookStatus.Active)
        {
            rig.AdvanceToDue();
            rig.Answer(rig.Take(), OutcomeKind.Failed);
            while (rig.Machine.HasUnwritten) rig.Write();
        }

        Assert.InRange(rig.Now - from, TimeSpan.FromDays(5).TotalMilliseconds - 1, TimeSpan.FromDays(5.1).TotalMilliseconds);
        Assert.Equal(DisabledReason.NoSuccess, rig.Effect<WebhookEffect.Disabled>().Reason);
        Assert.Null(rig.Machine.NextDue(rig.Now));
        Assert.Null(rig.Machine.NextWake(rig.Now));
        Assert.Empty(rig.Effects.OfType<WebhookEffect.DeadLetter>());

        // What retention took meanwhile is recorded, the rest is delivered.
        rig.Topic("a").Trim(200);
        rig.Crash();
        Assert.True(rig.Machine.Enable([], rig.Now));
        var delivered = rig.DeliverAll().Select(d => d.Ref.Offset).ToHashSet();
        rig.Advance(TimeSpan.FromDays(1));
        delivered.UnionWith(rig.DeliverAll().Select(d => d.Ref.Offset));
        rig.Write();
        var lost = rig.Effects.OfType<WebhookEffect.Truncated>().ToList();
        Assert.All(lost, t => Assert.Equal(t.To - t.From + 1, t.Count));
        Assert.Equal(200, lost.Sum(t => t.Count));
        Assert.Equal(Enumerable.Range(201, 300).Select(i => (long)i), delivered.Order());
    }

    [Fact]
    public void Enabled_from_now_it_leaves_the_backlog()
    {
        var rig = OpenRig(backlog: 500);
        rig.Machine.Disable(DisabledReason.Request, rig.Now);
        var topic = rig.Topic("a");
        rig.Machine.Enable([new(topic.Name, new Position(topic.Epoch, topic.Head))], rig.Now);
        Assert.Empty(rig.DeliverAll());
        rig.Publish("a");
        Assert.Equal(501, Assert.Single(rig.DeliverAll()).Ref.Offset);
    }

    [Fact]
    public void It_stays_open_through_a_restart()
    {
        var rig = OpenRig(backlog: 50);
        rig.Crash();
        Assert.True(rig.Machine.IsOpen);
        Assert.Empty(rig.Take());
        rig.AdvanceToDue();
        Assert.True(rig.TakeOne().IsProbe);
    }

    private static Rig OpenRig(int backlog)
    {
        var rig = new Rig();
        rig.Publish("a", backlog);
        rig.Answer(rig.Take(), OutcomeKind.Failed);
        Assert.True(rig.Machine.IsOpen);
        while (rig.Machine.HasUnwritten) rig.Write();
        return rig;
    }
}

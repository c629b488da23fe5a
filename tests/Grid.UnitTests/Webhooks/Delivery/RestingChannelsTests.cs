using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>A subscription to a prefix that very many channels match.</summary>
public sealed class RestingChannelsTests
{
    private static readonly DeliverySettings Settings = new() { Limits = new DeliveryLimits { MaxRestingChannels = 100 } };

    private readonly Dictionary<string, SimTopic> _topics = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ProgressRecord> _stored = new(StringComparer.Ordinal);
    private long _now = Rig.Start;

    [Fact]
    public void Of_channels_at_rest_only_some_are_known_and_stored()
    {
        var machine = new WebhookMachine(Settings, null, new Random(1), _now);
        for (var i = 0; i < 1_000; i++) Deliver(machine, $"room:{i}", new Position("e1", 0));
        Write(machine);
        Assert.Equal(100, machine.Channels.Count);
        Assert.Equal(machine.Channels.Order(StringComparer.Ordinal), _stored.Keys.Order(StringComparer.Ordinal));
        Assert.Contains("room:999", machine.Channels);

        // One that was forgotten goes on where the mark says.
        Deliver(machine, "room:0", new Position("e1", 1));
        Write(machine);
        Assert.Equal(2, _stored["room:0"].Floor.Offset);
        Assert.Equal(100, machine.Channels.Count);
    }

    [Fact]
    public void A_channel_that_waits_for_a_failed_message_is_kept()
    {
        var machine = new WebhookMachine(Settings, null, new Random(1), _now);
        Deliver(machine, "room:bad", new Position("e1", 0), OutcomeKind.Rejected);
        for (var i = 0; i < 300; i++) Deliver(machine, $"room:{i}", new Position("e1", 0));
        Assert.Contains("room:bad", machine.Channels);
        Assert.Equal(1, machine.Parked);
    }

    [Fact]
    public void A_start_reads_only_what_has_a_mark_or_says_that_it_is_not_settled()
    {
        var first = new WebhookMachine(Settings, null, new Random(1), _now);
        for (var i = 0; i < 50; i++) Deliver(first, $"room:{i}", new Position("e1", 0));
        first.Seek("room:7", new Position("e1", 0), _now);
        Write(first);
        var second = new WebhookMachine(Settings, new WebhookSnapshot { Generation = 1, Channels = [.. _stored.Values] }, new Random(1), _now, looks: false);
        second.Look("room:9");
        Assert.Equal(["room:7", "room:9"], second.NextReads(_now).Select(r => r.Channel).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Channels_that_somebody_asked_about_can_be_forgotten_all_the_same()
    {
        var machine = new WebhookMachine(Settings, null, new Random(1), _now);
        for (var i = 0; i < 100; i++) Deliver(machine, $"room:{i}", new Position("e1", 0));
        foreach (var channel in machine.Channels.ToList()) machine.Notice(channel, new Position("e1", 1));
        for (var i = 100; i < 300; i++) Deliver(machine, $"room:{i}", new Position("e1", 0));
        Write(machine);
        Assert.Contains("room:299", machine.Channels);
        Assert.DoesNotContain("room:0", machine.Channels);
    }

    [Fact]
    public void A_channel_that_leaves_while_it_is_written_is_not_written_again_if_that_fails()
    {
        var machine = new WebhookMachine(Settings, null, new Random(1), _now);
        machine.Add("room:0", new Position("e1", 5), _now);
        Assert.NotNull(machine.BeginWrite(_now, force: true));
        machine.Remove("room:0", _now);
        machine.EndWrite(written: false, _now);
        Write(machine);
        Assert.Empty(_stored);

        // A channel has one record in a write, whichever of its lives it is.
        machine.Add("room:1", new Position("e1", 5), _now);
        Assert.NotNull(machine.BeginWrite(_now, force: true));
        machine.Remove("room:1", _now);
        machine.EndWrite(written: false, _now);
        machine.Add("room:1", new Position("e1", 9), _now);
        Assert.Equal(9, Assert.Single(machine.BeginWrite(_now, force: true)!.Snapshot.Channels).Floor.Offset);
    }

    private void Deliver(WebhookMachine machine, string channel, Position place, OutcomeKind outcome = OutcomeKind.Delivered)
    {
        if (!_topics.TryGetValue(channel, out var topic)) _topics[channel] = topic = new SimTopic(channel);
        topic.Append(_now, null, null);
        machine.Look(channel);
        machine.Add(channel, place, _now);
        foreach (var read in machine.NextReads(_now)) machine.OnRead(read.Number, _topics[read.Channel].Read(read.After, read.MaxMessages), _now);
        while (machine.NextDelivery(_now) is { } attempt)
        {
            Assert.Equal(channel, attempt.Ref.Channel);
            machine.OnOutcome(attempt.Number, new Outcome(outcome), _now);
        }

        Write(machine);
        if (machine.ReachedEnd(channel, leaving: false) is { } end)
        {
            Assert.Equal(topic.Head, end.Offset);
            machine.Unmarked(channel, _now);
        }
    }

    private void Write(WebhookMachine machine)
    {
        while (machine.BeginWrite(_now, force: true) is { } write)
        {
            foreach (var channel in WebhookChanges.Of(write.Effects).Forgotten) _stored.Remove(channel);
            foreach (var record in write.Snapshot.Channels) _stored[record.Channel] = record;
            machine.EndWrite(written: true, ++_now);
        }
    }
}

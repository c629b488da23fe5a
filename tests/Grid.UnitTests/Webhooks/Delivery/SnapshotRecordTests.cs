using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

public sealed class SnapshotRecordTests
{
    private static readonly WebhookSnapshot Full = new()
    {
        Generation = 7,
        Status = WebhookStatus.Disabled,
        Reason = DisabledReason.NoSuccess,
        Window = 33,
        HeldUntil = 1_700_000_000_123,
        HeldSince = 1_690_000_000_456,
        Circuit = new CircuitRecord(1_700_000_000_000, 1_700_000_030_000, 30_000),
        StoredDue = 1_700_000_100_000,
        Replay = new ReplayRecord("rp_1", 12.5, 5, 1, [new ReplayChannelRecord("a", new Position("e1", 3), 90, [new OffsetRange(5, 9)])]),
        Channels =
        [
            new ProgressRecord("room:ä", new Position("e1", 10), [new OffsetRange(12, 15), new OffsetRange(20, 20)],
                [new ParkedRecord(11, 2, 1_700_000_000_500, null), new ParkedRecord(17, 1, 1_700_000_000_900, "key")]),
            new ProgressRecord("b", new Position("e2", long.MaxValue), [], [], IsBehind: true),
        ],
    };

    [Fact]
    public void A_snapshot_comes_back_as_it_was()
    {
        var bytes = SnapshotRecord.ToBytes(Full);
        var read = SnapshotRecord.Read(bytes);
        Assert.Equal(bytes, SnapshotRecord.ToBytes(read));
        Assert.Equivalent(Full, read, strict: true);
        Assert.Equivalent(new WebhookSnapshot(), SnapshotRecord.Read(SnapshotRecord.ToBytes(new WebhookSnapshot())), strict: true);
    }

    [Fact]
    public void A_channel_alone_takes_few_bytes()
    {
        var channel = new ProgressRecord("orders", new Position("e1", 1_000_000), [.. Enumerable.Range(1, 100).Select(i => new OffsetRange(1_000_000 + (i * 3), 1_000_001 + (i * 3)))], []);
        Assert.InRange(SnapshotRecord.ToBytes(channel).Length, 1, 220);
    }

    [Fact]
    public void Another_version_is_refused()
    {
        var bytes = SnapshotRecord.ToBytes(Full);
        bytes[0] = 2;
        Assert.Contains("form 2", Assert.Throws<InvalidDataException>(() => SnapshotRecord.Read(bytes)).Message, StringComparison.Ordinal);
        var channel = SnapshotRecord.ToBytes(Full.Channels[0]);
        channel[0] = 0;
        Assert.Throws<InvalidDataException>(() => SnapshotRecord.ReadChannel(channel));
    }

    [Fact]
    public void What_is_cut_short_or_too_long_is_refused()
    {
        var bytes = SnapshotRecord.ToBytes(Full);
        for (var length = 0; length < bytes.Length; length++) Assert.Throws<InvalidDataException>(() => SnapshotRecord.Read(bytes.AsSpan(0, length)));
        Assert.Throws<InvalidDataException>(() => SnapshotRecord.Read([.. bytes, 0]));
    }

    [Fact]
    public void Damaged_bytes_are_refused_or_read_but_nothing_worse()
    {
        var bytes = SnapshotRecord.ToBytes(Full);
        for (var seed = 0; seed < 5_000; seed++)
        {
            var chance = new Random(seed);
            var damaged = bytes.ToArray();
            for (var i = chance.Next(1, 5); i > 0; i--) damaged[chance.Next(damaged.Length)] = (byte)chance.Next(256);
            try
            {
                SnapshotRecord.Read(damaged);
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void A_later_write_replaces_the_channels_that_it_has()
    {
        var later = new WebhookSnapshot { Generation = 8, Channels = [new ProgressRecord("b", new Position("e2", 5), [], []), new ProgressRecord("c", new Position("e1", 1), [], [])] };
        var both = Full.With(later);
        Assert.Equal(8, both.Generation);
        Assert.Equal([("room:ä", 10L), ("b", 5L), ("c", 1L)], both.Channels.Select(c => (c.Channel, c.Floor.Offset)));
    }
}

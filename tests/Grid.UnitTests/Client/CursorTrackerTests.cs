using FsCheck.Xunit;
using Grid.Client;
using Grid.Protocol;

namespace Grid.UnitTests.Client;

public class CursorTrackerTests
{
    [Fact]
    public void Tells_news_from_repeats_and_holes()
    {
        var tracker = new CursorTracker();
        Assert.Equal(Arrival.Duplicate, tracker.Message(1));
        tracker.Start(new Position("a", 4));
        Assert.Equal(Arrival.Duplicate, tracker.Message(4));
        Assert.Equal(Arrival.Hole, tracker.Message(6));
        Assert.Equal(Arrival.Deliver, tracker.Message(5));
        Assert.Equal(new Position("a", 5), tracker.Received);
        Assert.Equal(new Position("a", 4), tracker.Processed);
        Assert.False(tracker.IsDrained);
        tracker.Complete(new Position("a", 5));
        Assert.True(tracker.IsDrained);
    }

    [Fact]
    public void A_gap_is_cut_to_what_is_new_and_must_touch_the_cursor()
    {
        var tracker = new CursorTracker();
        tracker.Start(new Position("a", 4));
        var gap = new GapFrame("c", "a", 2, 9, GapReason.Retention);
        Assert.Equal(Arrival.Deliver, tracker.Gap(ref gap));
        Assert.Equal((5, 9), (gap.From, gap.To));
        Assert.Equal(Arrival.Duplicate, tracker.Gap(ref gap));
        var far = new GapFrame("c", "a", 11, 12, GapReason.Dropped);
        Assert.Equal(Arrival.Hole, tracker.Gap(ref far));
    }

    [Fact]
    public void An_offset_of_an_older_epoch_is_not_acknowledged()
    {
        var tracker = new CursorTracker();
        tracker.Start(new Position("a", 500));
        var gap = new GapFrame("c", "b", 1, 0, GapReason.Epoch);
        Assert.Equal(Arrival.Deliver, tracker.Gap(ref gap));
        Assert.Null(tracker.AckOffset);
        tracker.Complete(new Position("b", 0));
        Assert.Equal(0, tracker.AckOffset);
    }

    [Fact]
    public void A_resume_elsewhere_is_a_gap()
    {
        var tracker = new CursorTracker();
        Assert.Null(tracker.Resumed("c", new Position("a", 3)));
        Assert.Null(tracker.Resumed("c", new Position("a", 1)));
        Assert.Equal(new GapFrame("c", "a", 4, 6, GapReason.Retention), tracker.Resumed("c", new Position("a", 6)));
        Assert.Equal(new GapFrame("c", "b", 1, 2, GapReason.Epoch), tracker.Resumed("c", new Position("b", 2)));
        Assert.Equal(new Position("b", 2), tracker.Received);
    }

    /// <summary>
    /// Against a server that keeps the contract and does its worst within it (trims, purges, repeats, cuts), the consumer sees
    /// every offset of every epoch once, as a message or in a gap, and in order.
    /// </summary>
    [Property(MaxTest = 500)]
    public void Every_offset_is_seen_once_as_a_message_or_in_a_gap((byte What, byte HowMuch)[] steps)
    {
        var server = new Model();
        var tracker = new CursorTracker();
        tracker.Start(new Position(server.Epoch, 0));
        var waiting = new Queue<(Position After, bool IsMessage, long From)>();
        var expected = new Position(server.Epoch, 0);
        var sent = 0L;

        foreach (var (what, howMuch) in steps.Append(((byte)3, byte.MaxValue)).Append(((byte)5, byte.MaxValue)))
        {
            switch (what % 7)
            {
                case 0:
                    server.Head += howMuch % 10;
                    break;
                case 1:
                    server.Oldest = Math.Min(server.Oldest + (howMuch % 5), server.Head + 1);
                    break;
                case 2:
                    server.Purge(howMuch % 4);
                    Announce(1);
                    break;
                case 3:
                    for (var i = 0; i < howMuch; i++) SendNext();
                    break;
                case 4:
                    Resume(howMuch);
                    break;
                default:
                    for (var i = 0; i < howMuch && waiting.TryDequeue(out var item); i++) Consume(item);
                    break;
            }
        }

        Assert.Empty(waiting);
        Assert.Equal(tracker.Received, tracker.Processed);
        Assert.Equal(new Position(server.Epoch, Math.Max(server.Head, server.Oldest - 1)), tracker.Processed);

        void SendNext()
        {
            if (sent < server.Oldest - 1) Announce(sent + 1);
            if (sent >= server.Head) return;
            sent++;
            if (tracker.IsNext(sent) != (tracker.Received!.Value.Offset + 1 == sent)) throw new InvalidOperationException("IsNext lies.");
            var arrival = tracker.Message(sent);
            Assert.NotEqual(Arrival.Hole, arrival);
            if (arrival == Arrival.Deliver) waiting.Enqueue((tracker.Received.Value, true, sent));
        }

        void Announce(long from)
        {
            var gap = new GapFrame("c", server.Epoch, from, server.Oldest - 1, from == 1 ? GapReason.Epoch : GapReason.Retention);
            sent = server.Oldest - 1;
            var arrival = tracker.Gap(ref gap);
            Assert.NotEqual(Arrival.Hole, arrival);
            if (arrival == Arrival.Deliver) waiting.Enqueue((tracker.Received!.Value, false, gap.From));
        }

        void Resume(int back)
        {
            // The server goes on from the client's cursor, or from an older one of its own.
            var own = tracker.Processed!.Value;
            sent = own.Epoch == server.Epoch ? Math.Max(Math.Max(0, own.Offset - (back % 3)), server.Oldest - 1) : server.Oldest - 1;
            if (tracker.Resumed("c", new Position(server.Epoch, sent)) is { } gap)
                waiting.Enqueue((tracker.Received!.Value, false, gap.From));
        }

        void Consume((Position After, bool IsMessage, long From) item)
        {
            if (item.After.Epoch == expected.Epoch) Assert.Equal(expected.Offset + 1, item.From);
            else Assert.Equal((false, 1L), (item.IsMessage, item.From));
            expected = item.After;
            tracker.Complete(item.After);
        }
    }

    /// <summary>A server that leaves something out without a word is found out before anything later is delivered.</summary>
    [Property(MaxTest = 200)]
    public void A_silent_hole_is_never_passed_over(byte before, byte hole)
    {
        var tracker = new CursorTracker();
        tracker.Start(new Position("a", 0));
        for (var i = 1; i <= before; i++) Assert.Equal(Arrival.Deliver, tracker.Message(i));
        Assert.Equal(hole == 0 ? Arrival.Deliver : Arrival.Hole, tracker.Message(before + hole + 1));
        Assert.Equal(hole == 0 ? before + 1 : before, tracker.Received!.Value.Offset);
    }

    private sealed class Model
    {
        private int _epochs;

        public string Epoch => $"e{_epochs}";

        public long Oldest { get; set; } = 1;

        public long Head { get; set; }

        public void Purge(long oldestMissing)
        {
            _epochs++;
            Oldest = oldestMissing + 1;
            Head = oldestMissing;
        }
    }
}

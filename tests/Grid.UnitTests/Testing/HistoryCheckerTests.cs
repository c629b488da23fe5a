using Grid.Testing;
using Grid.Testing.History;

namespace Grid.UnitTests.Testing;

/// <summary>The judge is judged: it passes right histories, and finds each kind of fault that is put into one.</summary>
public class HistoryCheckerTests
{
    private const int Seeds = 25;

    /// <summary>How each violation is made, in a history that has no other fault.</summary>
    private static readonly Dictionary<ViolationKind, Action<HistoryModel, Random>> Faults = new()
    {
        [ViolationKind.NotRead] = (m, _) => m.Read = false,
        [ViolationKind.Unanswered] = (m, r) => AckedOnce(m, r).Acks.Clear(),
        [ViolationKind.AcknowledgedLost] = (m, r) =>
        {
            // The tail is lost, as after a crash without a sync.
            m.Stored.RemoveRange(m.Stored.Count - 3, 3);
            m.Head -= 3;
        },
        [ViolationKind.AcknowledgedDiffers] = (m, r) =>
        {
            var publish = AckedOnce(m, r, stored: true);
            publish.Acks[0] = publish.Acks[0] with { Offset = publish.Acks[0].Offset > m.Oldest ? publish.Acks[0].Offset - 1 : publish.Acks[0].Offset + 1 };
        },
        [ViolationKind.AcknowledgedEpochGone] = (m, r) =>
        {
            var publish = AckedOnce(m, r);
            publish.Acks[0] = publish.Acks[0] with { Epoch = "e1" };
        },
        [ViolationKind.TwoOffsets] = (m, r) =>
        {
            var publish = AckedOnce(m, r);
            publish.Attempts = 2;
            publish.Acks.Add(new(HistoryModel.Epoch, publish.Acks[0].Offset == 1 ? 2 : publish.Acks[0].Offset - 1, Duplicate: true));
        },
        [ViolationKind.FalseDuplicate] = (m, r) =>
        {
            var publish = AckedOnce(m, r);
            publish.Acks[0] = publish.Acks[0] with { Duplicate = true };
        },
        [ViolationKind.MissedDuplicate] = (m, r) =>
        {
            var publish = AckedOnce(m, r);
            publish.Attempts = 2;
            publish.Acks.Add(publish.Acks[0]);
        },
        [ViolationKind.RefusedStored] = (m, r) =>
        {
            var publish = AckedOnce(m, r, stored: true);
            publish.Acks.Clear();
            publish.Refusals.Add("forbidden");
        },
        [ViolationKind.Invented] = (m, r) =>
        {
            var at = r.Next(m.Stored.Count);
            m.Stored[at] = m.Stored[at] with { Payload = "\"nobody sent this\"" };
        },
        [ViolationKind.StoreHole] = (m, r) => m.Stored.RemoveAt(r.Next(m.Stored.Count)),
        [ViolationKind.StoredTwice] = (m, r) =>
        {
            var at = r.Next(1, m.Stored.Count);
            m.Stored[at] = m.Stored[at] with { Key = m.Stored[0].Key, Payload = m.Stored[0].Payload };
        },
        [ViolationKind.OrderBroken] = (m, r) =>
        {
            // Two publishes of one publisher change places.
            var mine = m.Publishes.Where(p => p.Publisher == "p1" && p.Acks.Count > 0).ToList();
            var at = r.Next(mine.Count - 1);
            (mine[at].Sequence, mine[at + 1].Sequence) = (mine[at + 1].Sequence, mine[at].Sequence);
        },
        [ViolationKind.Skipped] = (m, r) => m["own"].Events.RemoveAt(m["own"].AnyMessage(r)),
        [ViolationKind.Repeated] = (m, r) =>
        {
            var at = m["own"].AnyMessage(r);
            m["own"].Events.Insert(at + r.Next(1, 3), m["own"].Events[at]);
        },
        [ViolationKind.ContentDiffers] = (m, r) =>
        {
            var at = m["own"].AnyMessage(r, e => e.Offset >= m.Oldest);
            m["own"].Events[at] = m["own"].Events[at] with { Text = "\"something else\"" };
        },
        [ViolationKind.BeyondHead] = (m, r) =>
        {
            m.Stored.RemoveAt(m.Stored.Count - 1);
            m.Head--;
        },
        [ViolationKind.UnjustifiedGap] = (m, r) =>
        {
            var at = m["own"].AnyMessage(r, e => e.Offset >= m.Oldest);
            var offset = m["own"].Events[at].Offset;
            m["own"].Events[at] = HistoryModel.GapEvent(HistoryModel.Epoch, offset, offset, r.Next(2) == 0 ? "retention" : "dropped");
        },
        [ViolationKind.GapMisplaced] = (m, r) =>
        {
            var at = m["late"].Events.FindIndex(e => e.Kind == ConsumerEventKind.Gap);
            m["late"].Events[at] = m["late"].Events[at] with { From = m["late"].Events[at].From + (r.Next(2) == 0 ? 1 : -1) };
        },
        [ViolationKind.SilentEpochChange] = (m, r) => m["old"].Events.RemoveAll(e => e.Kind == ConsumerEventKind.Gap),
        [ViolationKind.WrongCursor] = (m, r) =>
            m["late"].Events[0] = m["late"].Events[0] with { From = m.Oldest, Offset = m.Oldest - 1 },
        [ViolationKind.ResumeSkipped] = (m, r) =>
        {
            var server = m["server"];
            var at = server.AnyMessage(r);
            var highest = server.Events.Take(at + 1).Where(e => e.Kind == ConsumerEventKind.Message).Max(e => e.Offset);
            server.Events.Insert(at + 1, new(ConsumerEventKind.Resumed, HistoryModel.Epoch, highest + 1, -1, null, null));
        },
        [ViolationKind.ResumeTooEarly] = (m, r) =>
        {
            var at = m["server"].Last(ConsumerEventKind.Resumed);
            m["server"].Events[at] = m["server"].Events[at] with { Offset = m["server"].Events[at].Offset - 1 };
        },
        [ViolationKind.SessionLost] = (m, r) =>
            m["own"].Events.Insert(m["own"].AnyMessage(r), new(ConsumerEventKind.Lost, null, 0, -1, "expired", null)),
        [ViolationKind.NotWhole] = (m, r) => m["own"].Events.RemoveAt(m["own"].Last(ConsumerEventKind.Message)),
    };

    public static TheoryData<ViolationKind> Kinds => [.. Enum.GetValues<ViolationKind>()];

    [Fact]
    public void Right_histories_pass()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var report = HistoryChecker.Check(HistoryModel.Make(seed).Record());
            Assert.True(report.IsClean, $"seed {seed}\n{report}");
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Each_fault_is_found(ViolationKind kind)
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var model = HistoryModel.Make(seed);
            Faults[kind](model, new Random(seed * 7919));
            var report = HistoryChecker.Check(model.Record());
            Assert.True(report.Violations.Any(v => v.Kind == kind), $"seed {seed}: {kind} was not found\n{report}");
            Assert.Contains(kind.ToString(), report.ToString(), StringComparison.Ordinal);
            Assert.Throws<TestFailedException>(() => report.ThrowIfBroken());
        }
    }

    [Fact]
    public void All_faults_are_reported_not_only_the_first()
    {
        var model = HistoryModel.Make(1);
        var random = new Random(1);
        ViolationKind[] kinds = [ViolationKind.FalseDuplicate, ViolationKind.Repeated, ViolationKind.ResumeTooEarly, ViolationKind.SilentEpochChange];
        foreach (var kind in kinds) Faults[kind](model, random);
        var found = HistoryChecker.Check(model.Record()).Violations.Select(v => v.Kind).ToHashSet();
        Assert.Superset(kinds.ToHashSet(), found);
    }

    [Fact]
    public void A_violation_shows_what_was_around_it()
    {
        var model = HistoryModel.Make(3);
        Faults[ViolationKind.Skipped](model, new Random(3));
        var violation = Assert.Single(HistoryChecker.Check(model.Record()).Violations, v => v.Kind == ViolationKind.Skipped);
        Assert.Equal("room:1", violation.Channel);
        Assert.Contains("own", violation.Who, StringComparison.Ordinal);
        Assert.Contains(violation.Context, line => line.StartsWith('>'));
    }

    [Fact]
    public void The_store_may_keep_each_attempt_of_a_publish_without_key()
    {
        var recorder = new HistoryRecorder();
        var record = recorder.Publish("p", "room:1", null, 0, "1").Sending().Sending();
        record.OutcomeUnknown();
        record.Acknowledged("e", 2, duplicate: false);
        recorder.Stored(new StoredChannel("room:1", "e", 1, 2, [new(1, null, "1"), new(2, null, "1")]));
        Assert.True(HistoryChecker.Check(recorder).IsClean);
    }

    [Fact]
    public void A_test_that_uses_a_key_twice_is_told_so()
    {
        var recorder = new HistoryRecorder();
        recorder.Publish("p", "room:1", "k", 0, "1");
        Assert.Throws<ArgumentException>(() => recorder.Publish("q", "room:1", "k", 0, "2"));
    }

    private static HistoryModel.Publish AckedOnce(HistoryModel model, Random random, bool stored = false)
    {
        var all = model.Publishes
            .Where(p => p.Attempts == 1 && p.Acks.Count == 1 && (!stored || p.Acks[0].Offset >= model.Oldest)).ToList();
        return all[random.Next(all.Count)];
    }
}

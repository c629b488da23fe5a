using FsCheck.Xunit;
using Grid.Client;

namespace Grid.UnitTests.Client;

public class PublishQueueTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void Is_bounded_by_count_and_by_bytes()
    {
        var queue = new PublishQueue(3, 10, new ZeroRandom());
        Assert.True(queue.TryAdd(Publish(1, bytes: 4)));
        Assert.True(queue.TryAdd(Publish(2, bytes: 4)));
        Assert.False(queue.TryAdd(Publish(3, bytes: 4)));
        Assert.True(queue.TryAdd(Publish(4, bytes: 2)));
        Assert.False(queue.TryAdd(Publish(5, bytes: 0)));
        Assert.Equal((3, 10L), (queue.Count, queue.Bytes));
        Assert.True(queue.TryRemove(1, default, out _));
        Assert.Equal((2, 6L), (queue.Count, queue.Bytes));
        Assert.True(queue.TryAdd(Publish(6, bytes: 4)));
    }

    [Fact]
    public void Sends_again_after_a_disconnect_what_has_no_answer()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        for (var id = 1; id <= 4; id++) queue.TryAdd(Publish(id));
        Assert.Equal([1, 2, 3], TakeAll(queue, 3));
        Assert.True(queue.TryStored(2, default, out _));
        queue.Disconnected(default);
        Assert.Equal([1, 3, 4], TakeAll(queue));
        Assert.Empty(TakeAll(queue));
    }

    [Fact]
    public void A_refused_one_holds_its_channel_back_and_no_other()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        for (var id = 1; id <= 4; id++) queue.TryAdd(Publish(id, channel: id == 3 ? "b" : "a"));
        Assert.Equal([1], TakeAll(queue, 1));
        Assert.True(queue.TryRefuse(1, Refusal(retryAfterSeconds: 2), default));
        Assert.Equal([3], TakeAll(queue));
        Assert.Equal(2 * Second, queue.NextRetryAt);
        queue.Release(Second);
        Assert.False(queue.HasReady);
        queue.Release(2 * Second);
        Assert.Equal([1, 2, 4], TakeAll(queue));
    }

    [Fact]
    public void A_refused_one_that_was_overtaken_is_rejected()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        for (var id = 1; id <= 3; id++) queue.TryAdd(Publish(id));
        TakeAll(queue, 2);
        queue.TryRefuse(1, Refusal(), default);
        Assert.Null(queue.NextRetryAt);
        queue.TryStored(2, default, out _);
        Assert.True(queue.TryTakeRejected(out var rejected));
        Assert.Equal(1, rejected.Id);
        Assert.Equal([3], TakeAll(queue));
    }

    [Fact]
    public void At_a_disconnect_a_refused_one_with_a_later_one_under_way_is_rejected()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        for (var id = 1; id <= 2; id++) queue.TryAdd(Publish(id));
        TakeAll(queue);
        queue.TryRefuse(1, Refusal(), default);
        queue.Disconnected(default);
        Assert.True(queue.TryTakeRejected(out var rejected));
        Assert.Equal(1, rejected.Id);
        Assert.Equal([2], TakeAll(queue));
    }

    [Fact]
    public void The_oldest_expires_first_and_frees_what_it_held_back()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        queue.TryAdd(Publish(1, deadline: 5));
        queue.TryAdd(Publish(2, deadline: 6));
        TakeAll(queue, 1);
        queue.TryRefuse(1, Refusal(retryAfterSeconds: 60), default);
        Assert.Equal(5 * Second, queue.NextDeadline);
        Assert.False(queue.TryExpire(4 * Second, out _));
        Assert.True(queue.TryExpire(5 * Second, out var late));
        Assert.True(late.WasSent);
        Assert.Equal([2], TakeAll(queue));
    }

    [Fact]
    public void One_given_up_on_its_way_still_counts_for_the_order()
    {
        var queue = new PublishQueue(10, 100, new ZeroRandom());
        for (var id = 1; id <= 3; id++) queue.TryAdd(Publish(id));
        TakeAll(queue, 2);
        Assert.True(queue.TryAbandon(2, default, out _));
        queue.TryRefuse(1, Refusal(), default);
        Assert.Null(queue.NextRetryAt);
        Assert.True(queue.TryStored(2, default, out _));
        Assert.True(queue.TryTakeRejected(out var rejected));
        Assert.Equal(1, rejected.Id);
        Assert.Equal([3], TakeAll(queue));
        queue.TryAbandon(3, default, out _);
        queue.Disconnected(default);
        Assert.Equal((0, 0L), (queue.Count, queue.Bytes));
    }

    /// <summary>
    /// Against a server that stores, refuses and forgets to answer, over connections that break with anything on the way: what was
    /// answered is stored, nothing is stored twice, and each channel stores in the order of the calls. (Refusals are told here before
    /// the connection can break. One that an outage swallows cannot be known, and may be stored after its successor: the one
    /// exception, documented in docs/clients.md.)
    /// </summary>
    [Property(MaxTest = 2000)]
    public void Nothing_lands_twice_and_each_channel_keeps_its_order((byte What, byte Arg)[] steps)
    {
        var queue = new PublishQueue(20, 1_000, new ZeroRandom());
        var now = TimeSpan.Zero;
        var wire = new Queue<PendingPublish>();
        var answers = new Queue<(long Id, bool Stored)>();
        var stored = new Dictionary<string, List<long>> { ["a"] = [], ["b"] = [] };
        var added = new HashSet<long>();
        var answered = new HashSet<long>();
        var rejected = new HashSet<long>();
        var nextId = 0L;

        foreach (var (what, arg) in steps)
        {
            switch (what % 8)
            {
                case 0 or 1:
                    var publish = Publish(++nextId, channel: arg % 2 == 0 ? "a" : "b");
                    if (queue.TryAdd(publish)) added.Add(publish.Id);
                    break;
                case 2:
                    Send(arg % 5);
                    break;
                case 3:
                    Serve(arg % 5, refuse: arg >= 128);
                    break;
                case 4:
                    Answer(arg % 5);
                    break;
                case 5:
                    // What is on the way is lost, or still arrives and only its answer is lost.
                    Serve(arg % 4, refuse: false);
                    Disconnect();
                    break;
                case 6:
                    now += TimeSpan.FromMilliseconds(arg);
                    queue.Release(now);
                    break;
                default:
                    if (queue.TryAbandon(arg % (nextId + 1), now, out var cancelled)) rejected.Add(cancelled.Id);
                    break;
            }

            Check();
        }

        // A calm end: everything that was neither rejected nor cancelled gets stored and answered.
        for (var i = 0; i < 100 && queue.Count > 0; i++)
        {
            Send(100);
            Serve(100, refuse: false);
            Answer(100);
            now += TimeSpan.FromMinutes(1);
            queue.Release(now);
            Check();
        }

        Assert.Equal((0, 0L, false), (queue.Count, queue.Bytes, queue.HasReady));
        Assert.Null(queue.NextRetryAt);
        Assert.Equal(added, answered.Concat(rejected).ToHashSet());

        void Send(int count)
        {
            for (; count > 0 && queue.TryTakeNext(out var publish); count--) wire.Enqueue(publish);
        }

        void Serve(int count, bool refuse)
        {
            for (; count > 0 && wire.TryDequeue(out var publish); count--)
            {
                // The key is the number: it never changes.
                var known = stored[publish.Channel].Contains(publish.Id);
                if (!known && !refuse) stored[publish.Channel].Add(publish.Id);
                answers.Enqueue((publish.Id, known || !refuse));
                if (refuse) Answer(int.MaxValue);
            }
        }

        void Answer(int count)
        {
            for (; count > 0 && answers.TryDequeue(out var answer); count--)
            {
                if (!answer.Stored) queue.TryRefuse(answer.Id, Refusal(), now);
                else if (queue.TryStored(answer.Id, now, out var publish) && !publish.Abandoned) answered.Add(publish.Id);
            }
        }

        void Disconnect()
        {
            wire.Clear();
            answers.Clear();
            queue.Disconnected(now);
        }

        void Check()
        {
            while (queue.TryTakeRejected(out var publish)) rejected.Add(publish.Id);
            foreach (var ids in stored.Values) Assert.Equal(ids.Distinct().Order(), ids);
            Assert.All(answered, id => Assert.Contains(stored.Values, ids => ids.Contains(id)));
        }
    }

    private static PendingPublish Publish(long id, string channel = "a", int bytes = 1, int deadline = 30) =>
        new() { Id = id, Channel = channel, Frame = new byte[bytes], Deadline = deadline * Second };

    private static GridException Refusal(int retryAfterSeconds = 0) =>
        new("unavailable", "later") { RetryAfter = retryAfterSeconds * Second };

    private static List<long> TakeAll(PublishQueue queue, int count = int.MaxValue)
    {
        var ids = new List<long>();
        while (ids.Count < count && queue.TryTakeNext(out var publish)) ids.Add(publish.Id);
        return ids;
    }
}

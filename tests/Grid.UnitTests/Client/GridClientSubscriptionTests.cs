using System.Threading.Channels;
using Grid.Client;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Client;

public class GridClientSubscriptionTests
{
    [Fact]
    public async Task Repeats_after_a_resume_are_dropped()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (_, messages) = await grid.SubscribeAsync(peer, cursor: 41);
        peer.Message("room:1", 42, 43);
        await messages.ExpectOffsetsAsync(42, 43);
        peer.Cut();
        var (again, _) = await grid.AcceptAsync();
        again.Welcome(WelcomeState.Resumed, "s-1", new SubscriptionState("room:1", "e1", 44, 41));
        again.Message("room:1", 42, 43, 44, 44, 45);
        await messages.ExpectOffsetsAsync(44, 45);
        Assert.True(again.IsQuiet);
    }

    [Fact]
    public async Task Hello_carries_what_was_processed_and_not_what_waits()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var reached = Channel.CreateUnbounded<long>();
        var release = new TaskCompletionSource();
        var subscribing = grid.Client.SubscribeAsync("room:1", StartPoint.Start, async (message, _) =>
        {
            reached.Writer.TryWrite(message.Offset);
            if (message.Offset == 2) await release.Task;
        });
        await peer.AnswerSubscribeAsync("e1", 3, 0);
        await subscribing.WaitAsync(Harness.Patience);
        peer.Message("room:1", 1, 2, 3);
        Assert.Equal((1, 2), (await reached.Reader.NextAsync(), await reached.Reader.NextAsync()));
        peer.Cut();
        var (again, hello) = await grid.AcceptAsync();
        Assert.Equal(new Position("e1", 1), hello.Resume!.Cursors["room:1"]);
        again.Welcome(WelcomeState.Resumed, "s-1", new SubscriptionState("room:1", "e1", 3, 1));
        again.Message("room:1", 2, 3, 4);
        release.SetResult();
        Assert.Equal((3, 4), (await reached.Reader.NextAsync(), await reached.Reader.NextAsync()));
    }

    [Fact]
    public async Task A_hole_reconnects_from_the_last_good_cursor()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (subscription, messages) = await grid.SubscribeAsync(peer);
        peer.Message("room:1", 1, 2, 4);
        await messages.ExpectOffsetsAsync(1, 2);
        var (again, hello) = await grid.AcceptAsync();
        Assert.InRange(hello.Resume!.Cursors["room:1"].Offset, 0, 2);
        again.Welcome(WelcomeState.Resumed, "s-1", new SubscriptionState("room:1", "e1", 4, 2));
        again.Message("room:1", 3, 4);
        await messages.ExpectOffsetsAsync(3, 4);
        await grid.ErrorAsync(GridErrorCodes.Protocol);
        Assert.Equal("e1", subscription.Epoch);
    }

    [Fact]
    public async Task Gaps_come_at_their_place_in_the_order()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var seen = Channel.CreateUnbounded<string>();
        grid.Client.Gap += (_, e) => seen.Writer.TryWrite($"client {e.Gap.From}-{e.Gap.To}");
        var subscribing = grid.Client.SubscribeAsync(
            "room:1",
            StartPoint.After(new Position("e1", 10)),
            (message, ct) => seen.Writer.WriteAsync($"{message.Epoch}:{message.Offset}", ct),
            new SubscribeOptions { OnGap = (gap, ct) => seen.Writer.WriteAsync($"gap {gap.Epoch} {gap.From}-{gap.To} {gap.Reason}", ct) });
        var frame = await peer.ExpectAsync<SubscribeFrame>();
        Assert.Equal(new Position("e1", 10), frame.From.Position);
        peer.Send(new SubscribedFrame(frame.Id, "room:1", "e1", 60, 57), new GapFrame("room:1", "e1", 11, 57, GapReason.Retention));
        peer.Message("room:1", 58);
        peer.Send(new GapFrame("room:1", "e1", 59, 60, GapReason.Dropped));
        peer.Message("room:1", 61);
        peer.Send(new GapFrame("room:1", "e2", 1, 0, GapReason.Epoch));
        peer.Message("room:1", 1);
        await subscribing.WaitAsync(Harness.Patience);
        string[] expected =
        [
            "gap e1 11-57 Retention", "client 11-57", "e1:58", "gap e1 59-60 Dropped", "client 59-60", "e1:61", "gap e2 1-0 Epoch",
            "client 1-0", "e2:1",
        ];
        foreach (var line in expected) Assert.Equal(line, await seen.Reader.NextAsync());
    }

    [Fact]
    public async Task Acks_are_gathered_and_sent_after_a_second_or_64_messages_or_at_the_close()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (_, messages) = await grid.SubscribeAsync(peer);
        peer.Message("room:1", 1, 2, 3);
        // The third handler ran: the second had finished.
        await messages.OffsetsAsync(3);
        grid.Clock.Advance(TimeSpan.FromSeconds(1));
        var ack = await peer.ExpectAsync<AckFrame>();
        Assert.InRange(ack.Cursors["room:1"], 2, 3);

        peer.Message("room:1", [.. Enumerable.Range(4, 70).Select(i => (long)i)]);
        ack = await peer.ExpectAsync<AckFrame>();
        Assert.InRange(ack.Cursors["room:1"], 64, 73);
        await messages.OffsetsAsync(70);

        await grid.Client.CloseAsync();
        // Unless the last ack waited so long for the socket that it already said everything.
        if (ack.Cursors["room:1"] < 73) ack = await peer.ExpectAsync<AckFrame>();
        Assert.Equal(73, ack.Cursors["room:1"]);
        Assert.Equal(CloseCode.Normal, await peer.Left.Task.WaitAsync(Harness.Patience));
        Assert.Equal(new Position("e1", 73), grid.Client.ExportSession()!.Cursors["room:1"]);
    }

    [Fact]
    public async Task A_loop_acknowledges_when_it_asks_for_the_next()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        await using var loop = grid.Client.ReadAsync("room:1", StartPoint.Last(5)).GetAsyncEnumerator();
        var moving = loop.MoveNextAsync().AsTask();
        var frame = await peer.ExpectAsync<SubscribeFrame>();
        Assert.Equal((StartKind.Last, 5, true), (frame.From.Kind, frame.From.Count, frame.HasFrom));
        peer.Send(new SubscribedFrame(frame.Id, "room:1", "e1", 9, 7));
        peer.Message("room:1", 8, 9);
        Assert.True(await moving.WaitAsync(Harness.Patience));
        Assert.Equal(8, loop.Current.Offset);
        Assert.Equal(7, grid.Client.ExportSession()!.Cursors["room:1"].Offset);
        Assert.True(await loop.MoveNextAsync().AsTask().WaitAsync(Harness.Patience));
        Assert.Equal(8, grid.Client.ExportSession()!.Cursors["room:1"].Offset);
        await loop.DisposeAsync();
        Assert.Equal("room:1", (await peer.ExpectAsync<UnsubscribeFrame>()).Channel);
        Assert.Empty(grid.Client.ExportSession()!.Cursors);
    }

    [Fact]
    public async Task A_loop_ends_with_the_client()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var seen = new TaskCompletionSource();
        var reading = Task.Run(async () =>
        {
            await foreach (var _ in grid.Client.ReadAsync("room:1")) seen.SetResult();
        });
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        peer.Message("room:1", 1);
        await seen.Task.WaitAsync(Harness.Patience);
        await grid.Client.CloseAsync();
        await reading.WaitAsync(Harness.Patience);
    }

    [Fact]
    public async Task A_session_goes_on_in_another_process()
    {
        ResumeState exported;
        await using (var first = new Harness())
        {
            var peer = await first.ConnectAsync();
            var (_, messages) = await first.SubscribeAsync(peer);
            peer.Message("room:1", 1, 2);
            await messages.OffsetsAsync(2);
            await first.Client.CloseAsync();
            exported = first.Client.ExportSession()!;
        }

        var json = System.Text.Json.JsonSerializer.Serialize(exported);
        var imported = System.Text.Json.JsonSerializer.Deserialize<ResumeState>(json)!;
        await using var second = new Harness(o => o with { Resume = imported });
        var received = Channel.CreateUnbounded<GridMessage>();
        var subscribing = second.Client.SubscribeAsync("room:1", StartPoint.Now, (m, ct) => received.Writer.WriteAsync(m, ct));
        var connecting = second.Client.ConnectAsync();
        var (other, hello) = await second.AcceptAsync();
        Assert.Equal(new Position("e1", 2), hello.Resume!.Cursors["room:1"]);
        // The session also holds a channel that this process has not asked for yet.
        other.Welcome(WelcomeState.Resumed, "s-1", new SubscriptionState("room:1", "e1", 3, 2), new SubscriptionState("room:2", "e9", 8, 7));
        other.Message("room:1", 3);
        await received.Reader.ExpectOffsetsAsync(3);
        await subscribing.WaitAsync(Harness.Patience);
        await connecting.WaitAsync(Harness.Patience);
        Assert.Equal("room:2", (await other.ExpectAsync<UnsubscribeFrame>()).Channel);
        Assert.Equal(new Position("e9", 7), second.Client.ExportSession()!.Cursors["room:2"]);
        _ = second.Client.SubscribeAsync("room:2", StartPoint.Now, (_, _) => default);
        Assert.Equal(new Position("e9", 7), (await other.ExpectAsync<SubscribeFrame>()).From.Position);
        other.Send(new SubscribedFrame(null, "room:2", "e9", 8, 7));
    }

    [Fact]
    public async Task A_failed_handler_ends_its_subscription_before_the_message_unless_told_to_skip()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var subscribing = grid.Client.SubscribeAsync("room:1", StartPoint.Now, (m, _) =>
            m.Offset == 2 ? throw new InvalidOperationException("bad day") : ValueTask.CompletedTask);
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        var subscription = await subscribing.WaitAsync(Harness.Patience);
        peer.Message("room:1", 1, 2, 3);
        var failure = await subscription.Completion.FailureAsync();
        Assert.Equal(GridErrorCodes.HandlerFailed, failure.Code);
        Assert.IsType<InvalidOperationException>(failure.InnerException);
        Assert.Equal(1, subscription.Cursor);
        Assert.IsType<UnsubscribeFrame>(await peer.ReadAsync());
        await grid.ErrorAsync(GridErrorCodes.HandlerFailed);

        var seen = Channel.CreateUnbounded<long>();
        subscribing = grid.Client.SubscribeAsync(
            "room:2",
            StartPoint.Now,
            (m, ct) => m.Offset == 2 ? throw new InvalidOperationException() : seen.Writer.WriteAsync(m.Offset, ct),
            new SubscribeOptions { OnError = _ => HandlerFailure.Skip });
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        await subscribing.WaitAsync(Harness.Patience);
        peer.Message("room:2", 1, 2, 3);
        Assert.Equal((1, 3), (await seen.Reader.NextAsync(), await seen.Reader.NextAsync()));
    }

    [Fact]
    public async Task A_full_queue_stops_the_reading_and_then_leaves_the_channel_until_the_consumer_caught_up()
    {
        await using var grid = new Harness(o => o with { MaxQueuedMessages = 2 });
        var peer = await grid.ConnectAsync();
        var gate = new SemaphoreSlim(0);
        var seen = Channel.CreateUnbounded<long>();
        var begun = new TaskCompletionSource();
        var subscribing = grid.Client.SubscribeAsync("room:1", StartPoint.Now, async (m, ct) =>
        {
            begun.TrySetResult();
            await gate.WaitAsync(ct);
            seen.Writer.TryWrite(m.Offset);
        });
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        await subscribing.WaitAsync(Harness.Patience);

        // One in the handler, two waiting, one at the door; the handler then waits for an answer that comes behind it.
        peer.Message("room:1", 1);
        await begun.Task.WaitAsync(Harness.Patience);
        peer.Message("room:1", 2, 3, 4, 5);
        var publish = grid.Client.PublishAsync("a", 1);
        var frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(frame.Id, "a", "e", 1, false));
        // The client's patience, an answer being awaited.
        await grid.Clock.TimerAsync(TimeSpan.FromMilliseconds(100));
        grid.Clock.Advance(TimeSpan.FromMilliseconds(99));
        Assert.True(peer.IsQuiet);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("room:1", (await peer.ExpectAsync<UnsubscribeFrame>()).Channel);
        await publish.WaitAsync(Harness.Patience);

        // As long as it lags it is not asked for again, and not resumed either.
        peer.Cut();
        var (again, hello) = await grid.AcceptAsync();
        Assert.False(hello.Resume!.Cursors.ContainsKey("room:1"));
        again.Welcome(WelcomeState.Resumed);
        gate.Release(3);
        Assert.Equal((1, 2, 3), (await seen.Reader.NextAsync(), await seen.Reader.NextAsync(), await seen.Reader.NextAsync()));
        var subscribe = await again.ExpectAsync<SubscribeFrame>();
        Assert.Equal(new Position("e1", 3), subscribe.From.Position);
        again.Send(new SubscribedFrame(subscribe.Id, "room:1", "e1", 5, 3));
        again.Message("room:1", 4, 5);
        gate.Release(2);
        Assert.Equal((4, 5), (await seen.Reader.NextAsync(), await seen.Reader.NextAsync()));
    }

    [Fact]
    public async Task Refusals_end_a_subscription_and_passing_ones_are_tried_again()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var forbidden = grid.Client.SubscribeAsync("room:1", StartPoint.Now, (_, _) => default);
        var frame = await peer.ExpectAsync<SubscribeFrame>();
        peer.Send(new ErrorFrame(frame.Id, ErrorCode.Forbidden, "no"));
        Assert.Equal("forbidden", (await forbidden.FailureAsync()).Code);

        var busy = grid.Client.SubscribeAsync("room:1", StartPoint.Now, (_, _) => default);
        frame = await peer.ExpectAsync<SubscribeFrame>();
        peer.Send(new ErrorFrame(frame.Id, ErrorCode.Unavailable, "later", 500));
        var barrier = grid.Client.PublishAsync("a", 1);
        var publish = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(publish.Id, "a", "e", 1, false));
        await barrier.WaitAsync(Harness.Patience);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(500));
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        await busy.WaitAsync(Harness.Patience);
        var twice = await Assert.ThrowsAsync<GridException>(() => grid.Client.SubscribeAsync("room:1", StartPoint.Now, (_, _) => default));
        Assert.Equal(GridErrorCodes.AlreadySubscribed, twice.Code);
    }

    [Fact]
    public async Task Unsubscribing_during_an_outage_is_told_after_it()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (subscription, messages) = await grid.SubscribeAsync(peer);
        peer.Cut();
        var (again, _) = await grid.AcceptAsync();
        await subscription.UnsubscribeAsync().WaitAsync(Harness.Patience);
        await subscription.Completion.WaitAsync(Harness.Patience);
        again.Welcome(WelcomeState.Resumed, "s-1", new SubscriptionState("room:1", "e1", 1, 0));
        again.Message("room:1", 1);
        var frame = await again.ExpectAsync<UnsubscribeFrame>();
        again.Send(new UnsubscribedFrame(frame.Id, "room:1"));
        Assert.False(messages.TryRead(out _));

        // The name can be used again; what is on its way from before does not count.
        var received = Channel.CreateUnbounded<GridMessage>();
        var anew = grid.Client.SubscribeAsync("room:1", StartPoint.Now, (m, ct) => received.Writer.WriteAsync(m, ct));
        again.Message("room:1", 2, 3);
        await again.AnswerSubscribeAsync("e1", 7, 7);
        again.Message("room:1", 8);
        await anew.WaitAsync(Harness.Patience);
        await received.Reader.ExpectOffsetsAsync(8);
    }

    [Fact]
    public async Task A_handler_may_unsubscribe_publish_and_close()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var done = new TaskCompletionSource();
        Subscription? subscription = null;
        var subscribing = grid.Client.SubscribeAsync("room:1", StartPoint.Now, async (_, ct) =>
        {
            await grid.Client.PublishAsync("a", 1, cancellationToken: ct);
            await subscription!.UnsubscribeAsync(ct);
            await grid.Client.CloseAsync();
            done.SetResult();
        });
        await peer.AnswerSubscribeAsync("e1", 0, 0);
        subscription = await subscribing.WaitAsync(Harness.Patience);
        peer.Message("room:1", 1);
        var publish = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(publish.Id, "a", "e", 1, false));
        var leave = await peer.ExpectAsync<UnsubscribeFrame>();
        peer.Send(new UnsubscribedFrame(leave.Id, "room:1"));
        await done.Task.WaitAsync(Harness.Patience);
        Assert.Equal(ConnectionState.Closed, grid.Client.State);
    }

    [Fact]
    public async Task A_subscribe_without_answer_times_out_and_is_taken_back()
    {
        await using var grid = new Harness(o => o with { HeartbeatMisses = 10 });
        var peer = await grid.ConnectAsync();
        var subscribing = grid.Client.SubscribeAsync("room:1", StartPoint.Now, (_, _) => default);
        await peer.ExpectAsync<SubscribeFrame>();
        await grid.Clock.TimerAsync(TimeSpan.FromSeconds(30));
        grid.Clock.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(GridErrorCodes.Timeout, (await subscribing.FailureAsync()).Code);
        ClientFrame? frame;
        do frame = await peer.ReadAsync();
        while (frame is PingFrame);
        Assert.IsType<UnsubscribeFrame>(frame);
    }
}

using System.Text.Json;
using Grid.Client;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Client;

public class GridClientPublishTests
{
    private static readonly Payload One = Payload.Json("1"u8.ToArray());

    [Fact]
    public async Task A_publish_carries_a_key_of_its_own_and_returns_the_answer()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();

        var first = grid.Client.PublishAsync("room:1", new { text = "hi" });
        var second = grid.Client.PublishAsync("room:1", Payload.Binary(new byte[] { 1, 2 }), new PublishOptions { Key = "k", Event = "e", IfOffset = 4 });

        var sent = await peer.ExpectAsync<PublishFrame>();
        Assert.Equal("""{"text":"hi"}""", System.Text.Encoding.UTF8.GetString(sent.Payload.Bytes.Span));
        Assert.NotNull(sent.Key);
        var other = await peer.ExpectAsync<PublishFrame>();
        Assert.Equal(("k", "e", 4L, true), (other.Key, other.Event, other.IfOffset, other.Payload.IsBinary));
        peer.Send(
            new PublishedFrame(other.Id, "room:1", "e1", 6, true),
            new PublishedFrame(sent.Id, "room:1", "e1", 5, false));
        Assert.Equal(new PublishReceipt("e1", 5, false), await first.WaitAsync(Harness.Patience));
        Assert.Equal(new PublishReceipt("e1", 6, true), await second.WaitAsync(Harness.Patience));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_an_outage_interrupts_is_sent_again_unchanged_and_in_order(bool stored)
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var publishes = Enumerable.Range(0, 3).Select(_ => grid.Client.PublishAsync("room:1", One)).ToList();
        var sent = new List<PublishFrame>();
        for (var i = 0; i < 3; i++) sent.Add(await peer.ExpectAsync<PublishFrame>());
        // The first is answered; whether the others were stored, only the server knows.
        peer.Send(new PublishedFrame(sent[0].Id, "room:1", "e1", 1, false));
        await publishes[0].WaitAsync(Harness.Patience);
        peer.Cut();

        var (again, hello) = await grid.AcceptAsync();
        Assert.Equal("s-1", hello.Resume?.Session);
        Assert.True(again.IsQuiet);
        again.Welcome(WelcomeState.Resumed);
        publishes.Add(grid.Client.PublishAsync("room:1", One));
        for (var i = 1; i < 3; i++)
        {
            var frame = await again.ExpectAsync<PublishFrame>();
            Assert.Equal((sent[i].Id, sent[i].Key), (frame.Id, frame.Key));
            again.Send(new PublishedFrame(frame.Id, "room:1", "e1", i + 1, stored));
        }

        var last = await again.ExpectAsync<PublishFrame>();
        again.Send(new PublishedFrame(last.Id, "room:1", "e1", 4, false));
        var receipts = await Task.WhenAll(publishes).WaitAsync(Harness.Patience);
        Assert.Equal([1, 2, 3, 4], receipts.Select(r => r.Offset));
        Assert.Equal(stored, receipts[1].Duplicate);
        Assert.Equal(4, sent.Append(last).Select(f => f.Key).Distinct().Count());
    }

    [Fact]
    public async Task Publishes_made_before_the_first_connection_wait_for_it()
    {
        await using var grid = new Harness();
        var publish = grid.Client.PublishAsync("room:1", One);
        var peer = await grid.ConnectAsync();
        var frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(frame.Id, "room:1", "e1", 1, false));
        Assert.Equal(1, (await publish.WaitAsync(Harness.Patience)).Offset);
    }

    [Fact]
    public async Task A_full_queue_refuses_at_once()
    {
        await using var grid = new Harness(o => o with { MaxQueuedPublishes = 2 });
        var kept = new[] { grid.Client.PublishAsync("room:1", One), grid.Client.PublishAsync("room:1", One) };
        var error = await Assert.ThrowsAsync<GridException>(() => grid.Client.PublishAsync("room:1", One));
        Assert.Equal(GridErrorCodes.QueueFull, error.Code);
        Assert.False(error.OutcomeUnknown);
        Assert.All(kept, task => Assert.False(task.IsCompleted));
        await grid.Client.CloseAsync();
        foreach (var task in kept) Assert.Equal(GridErrorCodes.Closed, (await task.FailureAsync()).Code);
    }

    [Fact]
    public async Task A_timeout_tells_whether_the_message_may_have_been_stored()
    {
        await using var grid = new Harness(o => o with { PublishTimeout = TimeSpan.FromSeconds(3) });
        var never = grid.Client.PublishAsync("room:1", One);
        grid.Clock.Advance(TimeSpan.FromSeconds(3));
        var unsent = await never.FailureAsync();
        Assert.Equal((GridErrorCodes.Timeout, false), (unsent.Code, unsent.OutcomeUnknown));

        var peer = await grid.ConnectAsync();
        var late = grid.Client.PublishAsync("room:1", One);
        var frame = await peer.ExpectAsync<PublishFrame>();
        grid.Clock.Advance(TimeSpan.FromSeconds(3));
        var sent = await late.FailureAsync();
        Assert.Equal((GridErrorCodes.Timeout, true), (sent.Code, sent.OutcomeUnknown));

        // A late answer disturbs nothing.
        var next = grid.Client.PublishAsync("room:1", One);
        peer.Send(new PublishedFrame(frame.Id, "room:1", "e1", 1, false));
        frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(frame.Id, "room:1", "e1", 2, false));
        Assert.Equal(2, (await next.WaitAsync(Harness.Patience)).Offset);
    }

    [Fact]
    public async Task A_cancelled_publish_is_not_sent_again()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        using var cancel = new CancellationTokenSource();
        var given = grid.Client.PublishAsync("room:1", One, cancellationToken: cancel.Token);
        await peer.ExpectAsync<PublishFrame>();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.WaitAsync(Harness.Patience));
        peer.Cut();
        var (again, _) = await grid.AcceptAsync();
        again.Welcome(WelcomeState.Resumed);
        var other = grid.Client.PublishAsync("room:2", One);
        Assert.Equal("room:2", (await again.ExpectAsync<PublishFrame>()).Channel);
        Assert.False(other.IsCompleted);
        await grid.Client.CloseAsync();
        Assert.True((await other.FailureAsync()).OutcomeUnknown);
    }

    [Fact]
    public async Task Refusals_reach_the_caller_but_those_that_pass_are_tried_again_in_order()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var refused = grid.Client.PublishAsync("room:1", One);
        var frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new ErrorFrame(frame.Id, ErrorCode.Conflict, "head is 9"));
        Assert.Equal("conflict", (await refused.FailureAsync()).Code);

        var first = grid.Client.PublishAsync("room:1", One);
        var firstFrame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new ErrorFrame(firstFrame.Id, ErrorCode.Unavailable, "store away", 700), PongFrame.Instance);
        // Another channel's answer tells that the refusal has been read.
        var barrier = grid.Client.PublishAsync("room:2", One);
        var barrierFrame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(barrierFrame.Id, "room:2", "e1", 1, false));
        await barrier.WaitAsync(Harness.Patience);
        var second = grid.Client.PublishAsync("room:1", One);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(699));
        Assert.True(peer.IsQuiet);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var firstAgain = await peer.ExpectAsync<PublishFrame>();
        Assert.Equal((firstFrame.Id, firstFrame.Key), (firstAgain.Id, firstAgain.Key));
        var secondFrame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(
            new PublishedFrame(firstAgain.Id, "room:1", "e1", 1, false), new PublishedFrame(secondFrame.Id, "room:1", "e1", 2, false));
        Assert.Equal(1, (await first.WaitAsync(Harness.Patience)).Offset);
        Assert.Equal(2, (await second.WaitAsync(Harness.Patience)).Offset);
    }

    [Fact]
    public async Task What_would_end_the_connection_for_good_is_refused_before_it_is_sent()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var large = await Assert.ThrowsAsync<GridException>(() => grid.Client.PublishAsync("room:1", Payload.Binary(new byte[65_536])));
        Assert.Equal("too_large", large.Code);
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("room:1", Payload.Json("{\"a\":"u8.ToArray())));
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("room:1", Payload.Json("1 2"u8.ToArray())));
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("room:1", Payload.Json(new byte[] { (byte)'"', 0xff, (byte)'"' })));
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("not a channel", One));
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("room:1", One, new PublishOptions { Key = "" }));
        await Assert.ThrowsAsync<ArgumentException>(() => grid.Client.PublishAsync("room:1", One, new PublishOptions { Event = new string('e', 129) }));
        Assert.True(peer.IsQuiet);
    }

    [Fact]
    public async Task A_forgotten_publish_has_no_number_and_no_key_and_is_dropped_without_a_connection()
    {
        await using var grid = new Harness();
        Assert.False(grid.Client.TryPublish("pointer:1", One));
        var peer = await grid.ConnectAsync();
        Assert.True(grid.Client.TryPublish("pointer:1", One, new PublishOptions { Key = "ana" }));
        var frame = await peer.ExpectAsync<PublishFrame>();
        Assert.Equal((null, "ana"), (frame.Id, frame.Key));
        Assert.Throws<ArgumentException>(() => grid.Client.TryPublish("pointer:1", One, new PublishOptions { IfOffset = 1 }));
        Assert.False(grid.Client.TryPublish("pointer:1", Payload.Binary(new byte[70_000])));
        await grid.Client.CloseAsync();
        Assert.False(grid.Client.TryPublish("pointer:1", One));
        var closed = await Assert.ThrowsAsync<GridException>(() => grid.Client.PublishAsync("room:1", One));
        Assert.Equal(GridErrorCodes.Closed, closed.Code);
    }

    [Fact]
    public async Task Flush_waits_for_all_answers_and_sends_the_acks()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (_, messages) = await grid.SubscribeAsync(peer);
        peer.Message("room:1", 1, 2);
        await messages.OffsetsAsync(2);
        var good = grid.Client.PublishAsync("a", 1);
        var bad = grid.Client.PublishAsync("a", 2);
        var frames = new[] { await peer.ExpectAsync<PublishFrame>(), await peer.ExpectAsync<PublishFrame>() };
        var flushed = grid.Client.FlushAsync();
        Assert.InRange((await peer.ExpectAsync<AckFrame>()).Cursors["room:1"], 1, 2);
        peer.Send(new PublishedFrame(frames[0].Id, "a", "e", 1, false));
        await good.WaitAsync(Harness.Patience);
        Assert.False(flushed.IsCompleted);
        peer.Send(new ErrorFrame(frames[1].Id, ErrorCode.Forbidden, "no"));
        await flushed.WaitAsync(Harness.Patience);
        Assert.Equal("forbidden", (await bad.FailureAsync()).Code);
    }

    [Fact]
    public async Task A_typed_message_survives_the_trip()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (_, messages) = await grid.SubscribeAsync(peer);
        peer.Message("room:1", 1);
        var message = await messages.NextAsync();
        Assert.Equal(1, message.Json<JsonElement>().GetProperty("n").GetInt32());
        Assert.Equal(new Position("e1", 1), message.Position);
        Assert.Equal(1_795_452_674_124, message.At.ToUnixTimeMilliseconds());
    }
}

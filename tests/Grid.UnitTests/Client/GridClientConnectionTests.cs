using System.Text;
using Grid.Client;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Client;

public class GridClientConnectionTests
{
    [Fact]
    public async Task Hello_says_who_is_there_and_the_states_follow_the_connection()
    {
        await using var grid = new Harness(o => o with { ClientName = "test/1" });
        var connecting = grid.Client.ConnectAsync();
        var (peer, hello) = await grid.AcceptAsync();
        Assert.Equal(("t", "test/1", null), (hello.Token, hello.Client, hello.Resume));
        peer.Welcome();
        await connecting.WaitAsync(Harness.Patience);
        Assert.Equal(ConnectionState.Connected, grid.Client.State);
        Assert.Equal("s-1", grid.Client.Session);

        peer.Cut();
        var (again, resume) = await grid.AcceptAsync();
        Assert.Equal(("s-1", "r-s-1"), (resume.Resume!.Session, resume.Resume.Token));
        again.Welcome(WelcomeState.Resumed);
        await grid.ErrorAsync(GridErrorCodes.Connection);
        // An answer tells that the client is connected again.
        var publish = grid.Client.PublishAsync("a", 1);
        var frame = await again.ExpectAsync<PublishFrame>();
        again.Send(new PublishedFrame(frame.Id, "a", "e", 1, false));
        await publish.WaitAsync(Harness.Patience);
        await grid.Client.CloseAsync();
        Assert.Equal(CloseCode.Normal, await again.Left.Task.WaitAsync(Harness.Patience));
        Assert.Equal(
            [ConnectionState.Connecting, ConnectionState.Connected, ConnectionState.Reconnecting, ConnectionState.Connected, ConnectionState.Closed],
            grid.States);
    }

    [Fact]
    public async Task An_unreachable_server_is_tried_again_with_backoff()
    {
        await using var grid = new Harness(o => o with { Random = new FullRandom(), BackoffMin = TimeSpan.FromSeconds(1), BackoffMax = TimeSpan.FromSeconds(3) });
        for (var i = 0; i < 3; i++) grid.Transport.Failures.Enqueue(new IOException("refused"));
        var connecting = grid.Client.ConnectAsync();
        foreach (var seconds in new[] { 1, 2, 3 })
        {
            await grid.Clock.TimerAsync(TimeSpan.FromSeconds(seconds));
            grid.Clock.Advance(TimeSpan.FromSeconds(seconds));
        }

        var (peer, _) = await grid.AcceptAsync();
        peer.Welcome();
        await connecting.WaitAsync(Harness.Patience);
    }

    [Theory]
    [InlineData(4500, "closed")]
    [InlineData(4501, "unauthorized")]
    [InlineData(4502, "closed")]
    [InlineData(4503, "closed")]
    [InlineData(4504, "closed")]
    [InlineData(4505, "closed")]
    public async Task Close_codes_from_4500_end_the_client(int code, string expected)
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        var (subscription, _) = await grid.SubscribeAsync(peer);
        var publish = grid.Client.PublishAsync("room:1", 1);
        await peer.ExpectAsync<PublishFrame>();
        peer.Close(code);
        var failed = await publish.FailureAsync();
        Assert.Equal((GridErrorCodes.Closed, code, true), (failed.Code, failed.CloseCode, failed.OutcomeUnknown));
        Assert.Equal(expected, (await subscription.Completion.FailureAsync()).Code);
        await grid.Client.CloseAsync();
        Assert.Equal(ConnectionState.Closed, grid.Client.State);
        var error = await Assert.ThrowsAsync<GridException>(() => grid.Client.SubscribeAsync("x", default, (_, _) => default));
        Assert.Equal(code, error.CloseCode);
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(1006)]
    [InlineData(4000)]
    [InlineData(4001)]
    [InlineData(4002)]
    [InlineData(4003)]
    [InlineData(4999)]
    public async Task Other_close_codes_reconnect(int code)
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        peer.Close(code);
        var (_, hello) = await grid.AcceptAsync();
        Assert.NotNull(hello.Resume);
    }

    [Fact]
    public async Task A_refusal_at_hello_fails_the_connect()
    {
        await using var grid = new Harness();
        var connecting = grid.Client.ConnectAsync();
        var (peer, _) = await grid.AcceptAsync();
        peer.Send(new ErrorFrame(null, ErrorCode.Unauthorized, "no"));
        peer.Close(4501);
        Assert.Equal("unauthorized", (await connecting.FailureAsync()).Code);
    }

    [Fact]
    public async Task A_refused_token_is_replaced_once()
    {
        var asked = 0;
        await using var grid = new Harness(o => o with { Token = null, TokenProvider = _ => new($"t{++asked}") });
        var connecting = grid.Client.ConnectAsync();
        var (peer, hello) = await grid.AcceptAsync();
        Assert.Equal("t1", hello.Token);
        peer.Close(4501);
        (peer, hello) = await grid.AcceptAsync();
        Assert.Equal("t2", hello.Token);
        peer.Welcome();
        await connecting.WaitAsync(Harness.Patience);

        // A token that is still good is not asked for again.
        peer.Cut();
        (peer, hello) = await grid.AcceptAsync();
        Assert.Equal("t2", hello.Token);
        peer.Close(4501);
        (peer, hello) = await grid.AcceptAsync();
        Assert.Equal("t3", hello.Token);
        peer.Close(4501);
        var failure = await Assert.ThrowsAsync<GridException>(async () =>
        {
            while (true) await grid.Client.PublishAsync("a", 1).WaitAsync(Harness.Patience);
        });
        Assert.Equal(4501, failure.CloseCode);
    }

    [Fact]
    public async Task A_token_is_replaced_before_it_expires()
    {
        static string Jwt(DateTimeOffset expires) => "h." + System.Buffers.Text.Base64Url.EncodeToString(
            Encoding.UTF8.GetBytes($"{{\"exp\":{expires.ToUnixTimeSeconds()}}}")) + ".s";
        Harness grid = null!;
        await using var owner = grid = new Harness(o => o with
        {
            Token = null, TokenProvider = _ => new(Jwt(grid.Clock.GetUtcNow() + TimeSpan.FromHours(1))),
        });
        var peer = await grid.ConnectAsync();
        await grid.Clock.TimerAsync(TimeSpan.FromMinutes(59));
        // The heartbeat has its say on the way.
        grid.Clock.Advance(TimeSpan.FromSeconds(15));
        await peer.ExpectAsync<PingFrame>();
        peer.Send(PongFrame.Instance);
        var first = grid.Clock.GetUtcNow();
        peer.Send(new ErrorFrame(null, ErrorCode.Unauthorized, "about to be useless"));
        var auth = await peer.ExpectAsync<AuthFrame>();
        Assert.Equal(Jwt(first + TimeSpan.FromHours(1)), auth.Token);
        peer.Send(new AuthorizedFrame(auth.Id, first + TimeSpan.FromMinutes(10)));
        await grid.Clock.TimerAsync(TimeSpan.FromMinutes(9));
    }

    [Fact]
    public async Task Silence_is_met_with_a_ping_and_then_a_reconnect()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        grid.Clock.Advance(TimeSpan.FromSeconds(15));
        await peer.ExpectAsync<PingFrame>();
        // A sign of life: a publish's answer tells that the pong was read.
        peer.Send(PongFrame.Instance);
        var publish = grid.Client.PublishAsync("a", 1);
        var frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(frame.Id, "a", "e", 1, false));
        await publish.WaitAsync(Harness.Patience);
        grid.Clock.Advance(TimeSpan.FromSeconds(15));
        await peer.ExpectAsync<PingFrame>();
        grid.Clock.Advance(TimeSpan.FromSeconds(15));
        var (_, hello) = await grid.AcceptAsync();
        Assert.NotNull(hello.Resume);
        Assert.Null(await peer.Left.Task.WaitAsync(Harness.Patience));
    }

    [Fact]
    public async Task A_missing_welcome_ends_the_attempt()
    {
        await using var grid = new Harness();
        var connecting = grid.Client.ConnectAsync();
        await grid.AcceptAsync();
        grid.Clock.Advance(TimeSpan.FromSeconds(30));
        var (peer, _) = await grid.AcceptAsync();
        peer.Welcome();
        await connecting.WaitAsync(Harness.Patience);
    }

    [Fact]
    public async Task Goaway_reconnects_when_the_server_said()
    {
        await using var grid = new Harness();
        var told = new TaskCompletionSource<GoAwayEventArgs>();
        grid.Client.GoAway += (_, e) => told.TrySetResult(e);
        var peer = await grid.ConnectAsync();
        peer.Send(new GoAwayFrame("drain", 740));
        Assert.Equal("drain", (await told.Task.WaitAsync(Harness.Patience)).Reason);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(739));
        Assert.Equal(ConnectionState.Connected, grid.Client.State);
        Assert.False(peer.Left.Task.IsCompleted);
        grid.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(CloseCode.Normal, await peer.Left.Task.WaitAsync(Harness.Patience));
        var (again, hello) = await grid.AcceptAsync();
        Assert.Equal("s-1", hello.Resume?.Session);
        again.Welcome(WelcomeState.Resumed);
    }

    [Fact]
    public async Task After_goaway_a_close_by_the_server_still_waits_for_its_time()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        peer.Send(new GoAwayFrame("drain", 740));
        peer.Close(4000);
        await grid.Clock.TimerAsync(TimeSpan.FromMilliseconds(740));
        grid.Clock.Advance(TimeSpan.FromMilliseconds(740));
        await grid.AcceptAsync();
    }

    [Fact]
    public async Task Unknown_frames_are_passed_over_and_garbage_ends_the_connection()
    {
        await using var grid = new Harness();
        var peer = await grid.ConnectAsync();
        peer.SendRaw("""{"type":"news","of":"tomorrow"}"""u8.ToArray());
        peer.SendRaw("""{"type":"published","id":777,"channel":"a","epoch":"e","offset":1,"duplicate":false}"""u8.ToArray());
        var publish = grid.Client.PublishAsync("a", 1);
        var frame = await peer.ExpectAsync<PublishFrame>();
        peer.Send(new PublishedFrame(frame.Id, "a", "e", 1, false));
        await publish.WaitAsync(Harness.Patience);
        peer.SendRaw("garbage"u8.ToArray());
        await grid.AcceptAsync();
        await grid.ErrorAsync(GridErrorCodes.Protocol);
    }

    [Fact]
    public async Task An_expired_session_is_told_and_its_subscriptions_are_asked_for_from_their_own_cursors()
    {
        await using var grid = new Harness();
        var told = new TaskCompletionSource<SessionExpiredEventArgs>();
        grid.Client.SessionExpired += (_, e) => told.TrySetResult(e);
        var gaps = System.Threading.Channels.Channel.CreateUnbounded<GridGap>();
        grid.Client.Gap += (_, e) => gaps.Writer.TryWrite(e.Gap);
        var peer = await grid.ConnectAsync();
        var (subscription, messages) = await grid.SubscribeAsync(peer);
        peer.Message("room:1", 1, 2);
        await messages.ExpectOffsetsAsync(1, 2);
        peer.Cut();

        var (again, hello) = await grid.AcceptAsync();
        Assert.Equal("e1", hello.Resume!.Cursors["room:1"].Epoch);
        again.Welcome(WelcomeState.Expired, "s-2");
        var frame = await again.ExpectAsync<SubscribeFrame>();
        Assert.Equal(StartKind.Position, frame.From.Kind);
        Assert.Equal("e1", frame.From.Position.Epoch);
        // The channel was purged meanwhile: another epoch, of which 1 to 4 are gone.
        again.Send(
            new SubscribedFrame(frame.Id, "room:1", "e2", 6, 4),
            new GapFrame("room:1", "e2", 1, 4, GapReason.Epoch));
        again.Message("room:1", 5, 6);
        await messages.ExpectOffsetsAsync(5, 6);
        Assert.Equal(new GridGap("room:1", "e2", 1, 4, GapReason.Epoch), await gaps.Reader.NextAsync());
        Assert.False(gaps.Reader.TryRead(out _));
        var expired = await told.Task.WaitAsync(Harness.Patience);
        Assert.Equal(("s-1", "s-2"), (expired.PreviousSession, expired.Session));
        Assert.Equal("e2", subscription.Epoch);
    }

    [Fact]
    public async Task Closing_a_client_that_never_connected_or_can_not_is_prompt()
    {
        await using (var idle = new Harness())
        {
            await idle.Client.CloseAsync().WaitAsync(Harness.Patience);
            Assert.Equal(GridErrorCodes.Closed, (await idle.Client.ConnectAsync().FailureAsync()).Code);
        }

        await using var grid = new Harness();
        var connecting = grid.Client.ConnectAsync();
        await grid.AcceptAsync();
        await grid.Client.CloseAsync().WaitAsync(Harness.Patience);
        Assert.Equal(GridErrorCodes.Closed, (await connecting.FailureAsync()).Code);
    }

    [Fact]
    public void Options_that_can_not_work_are_refused()
    {
        var good = new GridClientOptions { Uri = new Uri("http://localhost:1") };
        Assert.Equal("ws://localhost:1/v1/ws", good.WebSocketUri.AbsoluteUri);
        Assert.Equal("wss://h/x", new GridClientOptions { Uri = new Uri("https://h/x") }.WebSocketUri.AbsoluteUri);
        foreach (var bad in new[]
        {
            good with { Uri = new Uri("ftp://x") }, good with { HeartbeatMisses = 1 }, good with { BackoffMax = TimeSpan.Zero },
            good with { Token = "a", TokenProvider = _ => new("b") }, good with { PublishTimeout = TimeSpan.MaxValue },
        })
            Assert.ThrowsAny<ArgumentException>(() => new GridClient(bad));
    }
}

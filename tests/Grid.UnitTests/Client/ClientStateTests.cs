using System.Text;
using FsCheck.Xunit;
using Grid.Client;
using Grid.Protocol;

namespace Grid.UnitTests.Client;

/// <summary>The client's smaller decisions.</summary>
public class ClientStateTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Property]
    public void Backoff_is_uniform_below_a_ceiling_that_doubles_up_to_the_maximum(byte attempts, int seed)
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), 10 * Second, new Random(seed));
        for (var i = 0; i < attempts; i++)
        {
            var ceiling = backoff.Ceiling(i);
            Assert.Equal(Math.Min(10_000, 100 * Math.Pow(2, Math.Min(i, 30))), ceiling.TotalMilliseconds);
            Assert.InRange(backoff.Next(default), TimeSpan.Zero, ceiling);
        }
    }

    [Fact]
    public void Backoff_starts_again_only_after_a_connection_that_lasted()
    {
        var backoff = new Backoff(Second, 60 * Second, new FullRandom());
        Assert.Equal(1 * Second, backoff.Next(default));
        Assert.Equal(2 * Second, backoff.Next(default));
        backoff.Connected(10 * Second);
        Assert.Equal(4 * Second, backoff.Next(11 * Second));
        backoff.Connected(20 * Second);
        Assert.Equal(1 * Second, backoff.Next(25 * Second));
    }

    [Fact]
    public void Heartbeat_pings_once_and_then_gives_up()
    {
        var monitor = new HeartbeatMonitor(10 * Second, 3, default);
        Assert.Equal(10 * Second, monitor.NextAt);
        Assert.Equal(HeartbeatAction.None, monitor.Check(9 * Second));
        Assert.Equal(HeartbeatAction.Ping, monitor.Check(10 * Second));
        Assert.Equal(HeartbeatAction.None, monitor.Check(20 * Second));
        Assert.Equal(30 * Second, monitor.NextAt);
        Assert.Equal(HeartbeatAction.Dead, monitor.Check(30 * Second));
        monitor.Received(30 * Second);
        Assert.Equal(HeartbeatAction.None, monitor.Check(30 * Second));
        Assert.Equal(HeartbeatAction.Ping, monitor.Check(40 * Second));
    }

    [Fact]
    public void Acks_are_due_after_64_messages_or_a_second_and_fit_the_frame()
    {
        var acks = new AckBatcher();
        Assert.Null(acks.DueAt);
        var cursor = new CursorTracker();
        cursor.Start(new Position("e", 7));
        acks.Finished("a", cursor, 5 * Second);
        acks.Finished("b", cursor, 5.5 * Second);
        Assert.False(acks.IsDue(5.9 * Second));
        Assert.True(acks.IsDue(6 * Second));
        var first = new Dictionary<string, long>();
        acks.Take(first, maxBytes: 30);
        Assert.Single(first);
        var second = new Dictionary<string, long>();
        acks.Take(second, maxBytes: 30);
        Assert.Equal(["a", "b"], first.Concat(second).Select(p => p.Key).Order());
        Assert.Null(acks.DueAt);

        for (var i = 0; i < AckBatcher.MaxMessages; i++)
        {
            Assert.False(acks.IsDue(default));
            acks.Finished("a", cursor, default);
        }

        Assert.True(acks.IsDue(default));
        acks.Forget("a");
        Assert.Null(acks.DueAt);
    }

    [Fact]
    public void Only_codes_below_4500_and_an_unauthorized_with_a_provider_reconnect()
    {
        var policy = Policy(canRefresh: true);
        Assert.Null(policy.Ended(Closed(4003), default).Fatal);
        Assert.NotNull(policy.Ended(Closed(4500), default).Fatal);
        Assert.NotNull(policy.Ended(new ConnectionEnd { Reason = "", ByCaller = true }, default).Fatal);
        Assert.Null(policy.Ended(Closed(4501), default).Fatal);
        Assert.NotNull(policy.Ended(Closed(4501), default).Fatal);
        policy.Connected(default);
        Assert.Null(policy.Ended(Closed(4501), default).Fatal);
        Assert.Equal("unauthorized", Policy(canRefresh: false).Ended(Closed(4501), default).Fatal?.Code);
    }

    [Fact]
    public void Goaway_sets_the_delay_within_bounds()
    {
        var policy = Policy(canRefresh: false);
        policy.GoAway(3 * Second, Second);
        Assert.Equal(3 * Second, policy.Ended(Closed(4000), Second).Delay);
        policy.GoAway(3 * Second, Second);
        Assert.Equal(TimeSpan.Zero, policy.Ended(Closed(4000), 9 * Second).Delay);
        policy.GoAway(TimeSpan.FromDays(9), default);
        Assert.Equal(ReconnectPolicy.MaxGoAwayDelay, policy.Ended(Closed(4000), default).Delay);
    }

    [Theory]
    [InlineData("""{"exp":1800000000}""", 1_800_000_000L)]
    [InlineData("""{"sub":"ana"}""", null)]
    [InlineData("""{"exp":"soon"}""", null)]
    [InlineData("""[1]""", null)]
    [InlineData("""{"exp":99999999999999999}""", null)]
    [InlineData("""not json""", null)]
    public void The_expiry_is_read_from_a_jwt_and_from_nothing_else(string claims, long? seconds)
    {
        var token = $"h.{System.Buffers.Text.Base64Url.EncodeToString(Encoding.UTF8.GetBytes(claims))}.s";
        Assert.Equal(seconds, TokenExpiry.Of(token)?.ToUnixTimeSeconds());
        Assert.Null(TokenExpiry.Of(claims));
        Assert.Null(TokenExpiry.Of("a.!.c"));
    }

    [Fact]
    public void A_token_is_replaced_a_minute_or_a_fifth_of_its_life_before_its_end()
    {
        var now = DateTimeOffset.UnixEpoch;
        Assert.Equal(TimeSpan.FromMinutes(59), TokenExpiry.RefreshIn(now.AddHours(1), now));
        Assert.Equal(80 * Second, TokenExpiry.RefreshIn(now.AddSeconds(100), now));
        Assert.Equal(TimeSpan.Zero, TokenExpiry.RefreshIn(now.AddSeconds(-1), now));
    }

    [Fact]
    public async Task A_provider_that_hangs_or_throws_is_an_error_with_a_code()
    {
        var clock = new TestClock();
        var options = new GridClientOptions { Uri = new Uri("ws://x"), TimeProvider = clock };
        var hanging = new TokenSource(options with { TokenProvider = async ct =>
        {
            await Task.Delay(Timeout.Infinite, ct);
            return "never";
        } });
        var asked = hanging.GetAsync(default).AsTask();
        clock.Advance(TokenSource.ProviderTimeout);
        Assert.Equal(GridErrorCodes.TokenProvider, (await asked.FailureAsync()).Code);
        var throwing = new TokenSource(options with { TokenProvider = _ => throw new IOException("down") });
        Assert.Equal(GridErrorCodes.TokenProvider, (await throwing.GetAsync(default).AsTask().FailureAsync()).Code);
    }

    private static ReconnectPolicy Policy(bool canRefresh) => new(new Backoff(Second, Second, new ZeroRandom()), canRefresh);

    private static ConnectionEnd Closed(int code) => new() { CloseCode = code, Reason = "test" };
}

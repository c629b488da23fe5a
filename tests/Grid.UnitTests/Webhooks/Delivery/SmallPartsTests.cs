using FsCheck.Xunit;
using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

public sealed class RetryScheduleTests
{
    [Fact]
    public void The_default_is_that_of_the_specification()
    {
        var schedule = RetrySchedule.Default;
        double[] minutes = [0, 5.0 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440];
        Assert.Equal(minutes.Length, schedule.Attempts);
        for (var i = 0; i < minutes.Length; i++) Assert.Equal((long)(minutes[i] * 60_000), schedule.DelayMs(i, 0.5));
        Assert.Null(schedule.DelayMs(10, 0.5));
    }

    [Property]
    public bool Delays_are_spread_by_a_fifth_at_most(int attempt, int random)
    {
        var (n, chance) = (Math.Abs(attempt % 10), Math.Abs(random % 1000) / 1000.0);
        var (delay, usual) = (RetrySchedule.Default.DelayMs(n, chance)!.Value, RetrySchedule.Default.DelayMs(n, 0.5)!.Value);
        return delay >= usual * 0.8 - 1 && delay <= usual * 1.2 + 1;
    }

    [Fact]
    public void The_first_attempt_is_always_made_at_once()
    {
        Assert.True(RetrySchedule.TryCreate([10, 20], out var schedule, out _));
        Assert.Equal([0L, 10_000L, 20_000L, null], Enumerable.Range(0, 4).Select(i => schedule!.DelayMs(i, 0.5)));
        Assert.True(RetrySchedule.TryCreate([0, 10, 20], out schedule, out _));
        Assert.Equal([0L, 10_000L, 20_000L, null], Enumerable.Range(0, 4).Select(i => schedule!.DelayMs(i, 0.5)));
    }

    [Fact]
    public void A_schedule_out_of_bounds_is_refused_with_a_reason()
    {
        double[][] bad = [[], [-1], [double.NaN], [double.PositiveInfinity], [3 * 86_400 + 1], [.. Enumerable.Repeat(1.0, 32)]];
        foreach (var seconds in bad)
        {
            Assert.False(RetrySchedule.TryCreate(seconds, out var schedule, out var error));
            Assert.Null(schedule);
            Assert.NotEmpty(error!);
        }
    }
}

public sealed class OffsetRangesTests
{
    [Fact]
    public void It_behaves_like_a_set()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var chance = new Random(seed);
            var (ranges, model) = (new OffsetRanges(), new HashSet<long>());
            for (var step = 0; step < 40; step++)
            {
                var from = chance.Next(1, 80);
                var to = from + (chance.Next(3) == 0 ? chance.Next(0, 12) : 0);
                ranges.Add(from, to);
                for (long offset = from; offset <= to; offset++) model.Add(offset);
                Check(ranges, model);
            }
        }
    }

    private static void Check(OffsetRanges ranges, HashSet<long> model)
    {
        Assert.Equal(model.Count, ranges.Count);
        Assert.Equal(model.Max(), ranges.Last);
        for (var i = 1; i < ranges.Runs; i++) Assert.True(ranges.AsList[i].From > ranges.AsList[i - 1].To + 1);
        for (long offset = 0; offset < 100; offset++)
        {
            Assert.Equal(model.Contains(offset), ranges.Contains(offset));
            var skip = offset;
            while (model.Contains(skip + 1)) skip++;
            Assert.Equal(skip, ranges.SkipFrom(offset));
            Assert.Equal(model.Where(m => m > offset).DefaultIfEmpty(long.MaxValue).Min(), ranges.NextAfter(offset));
        }

        var holes = ranges.Holes(5, 70).SelectMany(h => Enumerable.Range((int)h.From, (int)h.Count)).Select(o => (long)o);
        Assert.Equal(Enumerable.Range(5, 66).Select(o => (long)o).Where(o => !model.Contains(o)), holes);
    }
}

public sealed class EventFilterTests
{
    [Theory]
    [InlineData("order.created", "order.created", true)]
    [InlineData("order.created", "order.createdx", false)]
    [InlineData("order.*", "order.created", true)]
    [InlineData("order.*", "order.", true)]
    [InlineData("order.*", "orders", false)]
    [InlineData("order.*", null, false)]
    [InlineData("*", null, true)]
    [InlineData("*", "anything", true)]
    public void Names_match_exactly_or_by_prefix(string pattern, string? name, bool matches) =>
        Assert.Equal(matches, EventFilter.Of([pattern, "other"]).Matches(new SimTopic("a").Append(0, name, null).Message));

    [Fact]
    public void No_names_let_everything_pass()
    {
        var message = new SimTopic("a").Append(0, null, null).Message;
        Assert.True(EventFilter.Of(null).Matches(message));
        Assert.True(EventFilter.Of([]).Matches(message));
    }

    [Theory]
    [InlineData("order.*", true)]
    [InlineData("order", true)]
    [InlineData("*", true)]
    [InlineData("", false)]
    [InlineData("a*b", false)]
    [InlineData("a**", false)]
    [InlineData("a\n", false)]
    public void A_star_stands_only_at_the_end(string pattern, bool valid) => Assert.Equal(valid, EventFilter.IsValidPattern(pattern));
}

public sealed class MessageRefTests
{
    [Fact]
    public void The_id_is_the_same_for_ever() =>
        Assert.Equal("msg_AmUxKm9yZGVycw", new MessageRef("orders", "e1", 42).ToId());

    [Theory]
    [InlineData("a", "e", 1)]
    [InlineData("room:~x@y.z_-", "0123456789abcdef", long.MaxValue)]
    public void It_can_be_read_back(string channel, string epoch, long offset)
    {
        var message = new MessageRef(channel, epoch, offset);
        Assert.DoesNotContain('.', message.ToId());
        Assert.True(MessageRef.TryParseId(message.ToId(), out var parsed));
        Assert.Equal(message, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("msg_")]
    [InlineData("msg_!!!!")]
    [InlineData("evt_AmUxKm9yZGVycw")]
    [InlineData("msg_AmUxAG9yZGVycw")]
    [InlineData("msg_ACpvcmRlcnM")]
    [InlineData("msg_AmUxKm9yZGVycwAA")]
    [InlineData("msg_AmUxKm9yZGVycw=")]
    public void Other_texts_are_no_ids(string text) => Assert.False(MessageRef.TryParseId(text, out _));

    [Fact]
    public void The_longest_names_fit()
    {
        var message = new MessageRef(new string('c', ChannelName.MaxLength), new string('e', Position.MaxEpochLength), long.MaxValue);
        Assert.True(MessageRef.TryParseId(message.ToId(), out var parsed));
        Assert.Equal(message, parsed);
    }
}

public sealed class TokenBucketTests
{
    [Fact]
    public void A_burst_then_the_rate()
    {
        var bucket = new TokenBucket(10, 0);
        for (var i = 0; i < 10; i++) Assert.True(bucket.TryTake(0));
        Assert.False(bucket.TryTake(0));
        Assert.Equal(100, bucket.NextAt(0));
        Assert.False(bucket.TryTake(99));
        Assert.True(bucket.TryTake(100));
        Assert.False(bucket.TryTake(100));
    }

    [Property]
    public bool There_is_a_token_when_it_says_so(int rate, int now)
    {
        var at = Math.Abs((long)now);
        var bucket = new TokenBucket((Math.Abs(rate % 100_000) + 1) / 1000.0, at);
        while (bucket.TryTake(at))
        {
        }

        var next = bucket.NextAt(at);
        return next > at && bucket.TryTake(next);
    }

    [Fact]
    public void Over_a_long_time_the_rate_is_kept()
    {
        var (bucket, taken) = (new TokenBucket(7, 0, 1), 0);
        for (var now = 0L; now <= 100_000; now++)
        {
            if (bucket.TryTake(now)) taken++;
        }

        Assert.InRange(taken, 690, 701);
    }

    [Fact]
    public void A_clock_that_goes_back_gives_nothing()
    {
        var bucket = new TokenBucket(1, 10_000);
        Assert.True(bucket.TryTake(10_000));
        Assert.False(bucket.TryTake(5_000));
        Assert.True(bucket.TryTake(11_000));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_rate_must_be_one(double rate) => Assert.Throws<ArgumentOutOfRangeException>(() => new TokenBucket(rate, 0));
}

public sealed class AdaptiveWindowTests
{
    [Fact]
    public void It_grows_while_it_is_used_up_to_its_limit()
    {
        var window = new AdaptiveWindow(16, 64);
        for (var i = 0; i < 10_000; i++) window.OnDelivered(wasFull: true, 10);
        Assert.Equal(64, window.Size);
    }

    [Fact]
    public void It_stays_while_it_is_not_used()
    {
        var window = new AdaptiveWindow(16, 64);
        for (var i = 0; i < 1_000; i++) window.OnDelivered(wasFull: false, 10);
        Assert.Equal(16, window.Size);
    }

    [Fact]
    public void It_stays_while_answers_get_slower()
    {
        var window = new AdaptiveWindow(16, 64);
        window.OnDelivered(wasFull: true, 10);
        for (var i = 0; i < 100; i++) window.OnDelivered(wasFull: false, 100);
        var size = window.Size;
        for (var i = 0; i < 100; i++) window.OnDelivered(wasFull: true, 100);
        Assert.Equal(size, window.Size);
    }

    [Fact]
    public void It_halves_once_for_requests_that_were_on_their_way_together()
    {
        var window = new AdaptiveWindow(16, 64);
        for (var number = 1; number <= 16; number++) window.OnOverload(number, 17);
        Assert.Equal(8, window.Size);
        window.OnOverload(17, 25);
        Assert.Equal(4, window.Size);
        for (var number = 25; number < 100; number++) window.OnOverload(number, number + 1);
        Assert.Equal(1, window.Size);
    }

    [Fact]
    public void A_slow_start_doubles_with_each_window()
    {
        var window = new AdaptiveWindow(16, 64);
        window.SlowStart();
        Assert.Equal(1, window.Size);
        foreach (var expected in new[] { 2, 4, 8, 16 })
        {
            for (var i = window.Size; i > 0; i--) window.OnDelivered(wasFull: true, 10);
            Assert.Equal(expected, window.Size);
        }
    }
}

public sealed class CircuitTests
{
    private const long Day = 24 * 3_600_000;

    private readonly Circuit _circuit = new(CircuitSettings.Default);

    [Fact]
    public void Ten_failures_in_a_row_open_it()
    {
        for (var i = 0; i < 9; i++) Assert.False(_circuit.OnFailed(1_000 + i, 0.5));
        Assert.True(_circuit.OnFailed(2_000, 0.5));
        Assert.Equal(32_000, _circuit.ProbeAt);
        Assert.False(_circuit.OnFailed(2_001, 0.5));
    }

    [Fact]
    public void Nine_do_not_if_a_success_is_between()
    {
        for (var i = 0; i < 20; i++) _circuit.OnDelivered(1_000);
        for (var i = 0; i < 9; i++) _circuit.OnFailed(1_000, 0.5);
        _circuit.OnDelivered(1_000);
        for (var i = 0; i < 9; i++) Assert.False(_circuit.OnFailed(1_000, 0.5));
    }

    [Fact]
    public void Seventy_percent_of_ten_open_it()
    {
        for (var i = 0; i < 3; i++) _circuit.OnDelivered(1_000);
        for (var i = 0; i < 6; i++) Assert.False(_circuit.OnFailed(1_000, 0.5));
        Assert.True(_circuit.OnFailed(1_000, 0.5));
    }

    [Fact]
    public void Less_than_seventy_percent_do_not()
    {
        for (var round = 0; round < 50; round++)
        {
            _circuit.OnDelivered(1_000);
            for (var i = 0; i < 2; i++) Assert.False(_circuit.OnFailed(1_000, 0.5));
        }
    }

    [Fact]
    public void What_is_older_than_five_minutes_does_not_count()
    {
        for (var i = 0; i < 6; i++) _circuit.OnFailed(1_000, 0.5);
        _circuit.OnDelivered(1_000);
        for (var i = 0; i < 3; i++) Assert.False(_circuit.OnFailed(302_000, 0.5));
    }

    [Fact]
    public void Probes_come_after_twice_the_time_up_to_an_hour()
    {
        for (var i = 0; i < 10; i++) _circuit.OnFailed(1_000, 0.5);
        var delays = new List<long>();
        for (var i = 0; i < 9; i++)
        {
            var now = _circuit.ProbeAt;
            _circuit.OnProbeFailed(now, 0.5);
            delays.Add((_circuit.ProbeAt - now) / 1000);
        }

        Assert.Equal([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600], delays);
    }

    [Fact]
    public void A_success_closes_it_and_what_was_is_forgotten()
    {
        for (var i = 0; i < 10; i++) _circuit.OnFailed(1_000, 0.5);
        Assert.True(_circuit.OnDelivered(40_000));
        Assert.False(_circuit.IsOpen);
        for (var i = 0; i < 9; i++) Assert.False(_circuit.OnFailed(40_001, 0.5) && i < 6);
    }

    [Fact]
    public void After_five_days_without_success_it_says_so()
    {
        for (var i = 0; i < 10; i++) _circuit.OnFailed(1_000, 0.5);
        Assert.False(_circuit.IsDead(1_000 + (5 * Day) - 1));
        Assert.True(_circuit.IsDead(1_000 + (5 * Day)));
        var later = new Circuit(CircuitSettings.Default);
        later.Restore(_circuit.Record);
        Assert.True(later.IsDead(1_000 + (5 * Day)));
    }
}

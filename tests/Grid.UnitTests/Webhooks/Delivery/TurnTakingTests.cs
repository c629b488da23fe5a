using Grid.Server.Webhooks.Delivery;

namespace Grid.UnitTests.Webhooks.Delivery;

public sealed class TurnTakingTests
{
    private readonly TurnTaking<string> _turns = new(new TurnSettings
    {
        FastSlots = 8, SlowSlots = 4, PerTenant = 6, PerEndpoint = 4, SlowMs = 1_000, MaxWaiting = 10_000,
    });

    [Fact]
    public void Tenants_take_turns_whatever_they_have_waiting()
    {
        for (var i = 0; i < 1_000; i++) Add("big", "e", $"big");
        for (var i = 0; i < 3; i++) Add("small", "e", "small");
        Assert.Equal(["big", "small", "big", "small", "big", "small", "big"], Serve(7));
    }

    [Fact]
    public void Endpoints_of_a_tenant_take_turns()
    {
        for (var i = 0; i < 100; i++) Add("t", "a", "a");
        for (var i = 0; i < 2; i++) Add("t", "b", "b");
        Assert.Equal(["a", "b", "a", "b", "a"], Serve(5));
    }

    [Fact]
    public void No_endpoint_and_no_tenant_has_more_than_its_slots()
    {
        for (var i = 0; i < 20; i++) Add("t", "a", "a");
        Assert.Equal(4, TakeAll().Count);
        for (var i = 0; i < 20; i++) Add("t", "b", "b");
        Assert.Equal(2, TakeAll().Count);
        for (var i = 0; i < 20; i++) Add("u", "c", "c");
        Assert.Equal(2, TakeAll().Count);
    }

    [Fact]
    public void Slow_endpoints_leave_the_others_their_slots()
    {
        for (var i = 0; i < 20; i++) Add("t", $"slow{i}", "slow", usualMs: 5_000);
        for (var i = 0; i < 20; i++) Add("u", $"fast{i}", "fast");
        var taken = TakeAll();
        Assert.Equal(4, taken.Count(t => t.Item == "slow"));
        Assert.Equal(6, taken.Count(t => t.Item == "fast"));
        Assert.Equal(4, _turns.SlowInFlight);
    }

    [Fact]
    public void An_overdue_request_gives_its_slot_back()
    {
        for (var i = 0; i < 20; i++) Add("t", "hangs", "hangs");
        for (var i = 0; i < 20; i++) Add("u", $"fast{i}", "fast");
        var taken = TakeAll();
        Assert.Equal(8, taken.Count);
        Assert.Empty(TakeAll());
        foreach (var turn in taken.Where(t => t.Item == "hangs")) _turns.Overdue(turn);
        var more = TakeAll();
        Assert.Equal(taken.Count(t => t.Item == "hangs"), _turns.SlowInFlight);
        Assert.NotEmpty(more);
        Assert.All(more, t => Assert.Equal("fast", t.Item));
    }

    [Fact]
    public void Requests_crowd_when_they_have_more_than_half_of_their_tenants_slots()
    {
        Add("t", "hangs", "hangs");
        Assert.False(_turns.IsCrowding(Assert.Single(TakeAll())));
        for (var i = 0; i < 20; i++) Add("t", $"hangs{i}", "hangs");
        var taken = TakeAll();
        Assert.All(taken, turn => Assert.True(_turns.IsCrowding(turn)));
        _turns.Overdue(taken[0]);
        Assert.False(_turns.IsCrowding(taken[0]));
        _turns.Done(taken[1], 1);
        Assert.False(_turns.IsCrowding(taken[1]));
    }

    [Fact]
    public void One_tenants_requests_that_hang_do_not_take_all_slots_of_the_slow_ones()
    {
        var settings = new TurnSettings { FastSlots = 16, SlowSlots = 16, PerTenant = 4, PerEndpoint = 2 };
        var turns = new TurnTaking<string>(settings);
        for (var round = 0; round < 100; round++)
        {
            turns.TryAdd("hostile", $"hangs{round}", DeliveryKind.Fresh, 0, "hangs");
            while (turns.TryNext(out var turn)) turns.Overdue(turn);
        }

        Assert.Equal(8, turns.SlowInFlight);

        // Others' slow endpoints have theirs.
        for (var i = 0; i < 4; i++) turns.TryAdd("other", $"slow{i}", DeliveryKind.Fresh, settings.SlowMs + 1, "slow");
        for (var i = 0; i < 4; i++)
        {
            Assert.True(turns.TryNext(out var turn));
            Assert.True(turn.IsSlow);
        }
    }

    [Fact]
    public void An_endpoint_becomes_slow_and_fast_again_by_what_it_takes()
    {
        Add("t", "e", "1");
        var turn = Assert.Single(TakeAll());
        Add("t", "e", "2");
        _turns.Done(turn, 60_000);
        Add("t", "e", "3");
        var both = TakeAll();
        Assert.Equal(["2", "3"], both.Select(t => t.Item));
        Assert.Equal(1, _turns.SlowInFlight);
        for (var i = 0; i < 40; i++)
        {
            Add("t", "e", "more");
            _turns.Done(both[0], 1);
            both[0] = Assert.Single(TakeAll());
        }

        _turns.Done(both[1], 1);
        Assert.Equal((0, 1), (_turns.SlowInFlight, _turns.InFlight));
    }

    [Fact]
    public void New_messages_come_first_but_the_others_come_too()
    {
        for (var i = 0; i < 30; i++)
        {
            Add("t", "e", "retry", DeliveryKind.Retry);
            Add("t", "e", "replay", DeliveryKind.Replay);
            Add("t", "e", "fresh");
        }

        var served = Serve(20);
        Assert.Equal(16, served.Count(s => s == "fresh"));
        Assert.Equal(2, served.Count(s => s == "retry"));
        Assert.Equal(2, served.Count(s => s == "replay"));
        Assert.Equal(["fresh", "fresh", "fresh", "fresh"], served[..4]);
    }

    [Fact]
    public void What_waits_is_bounded_and_what_is_done_is_forgotten()
    {
        for (var i = 0; i < 10_000; i++) Assert.True(_turns.TryAdd($"t{i}", $"e{i % 500}", DeliveryKind.Fresh, 0, "x"));
        Assert.False(_turns.TryAdd("t", "e", DeliveryKind.Fresh, 0, "x"));
        Assert.Equal(10_000, Serve(20_000).Count);
        Assert.Equal((0, 0, 0), (_turns.Endpoints, _turns.Waiting, _turns.InFlight));
    }

    [Fact]
    public void Tenants_that_fill_the_line_leave_others_room_in_it()
    {
        foreach (var (hostile, left) in ((string, int)[])[("a", 5_000), ("b", 2_500), ("c", 1_250)])
        {
            while (_turns.TryAdd(hostile, "hangs", DeliveryKind.Fresh, 0, hostile))
            {
            }

            Assert.Equal(left, 10_000 - _turns.Waiting);
        }

        // The room that is made goes to those who need it, not back to who had most of it.
        Assert.Equal(["a", "b", "c"], Serve(3));
        Assert.False(_turns.TryAdd("a", "hangs", DeliveryKind.Fresh, 0, "a"));
        Add("other", "e", "other");
        Assert.Contains("other", Serve(4));

        // What was served counts no more.
        Assert.Equal(8_744, Serve(20_000).Count);
        Assert.Equal((0, 0, 0), (_turns.Endpoints, _turns.Waiting, _turns.InFlight));
        for (var i = 0; i < 5_000; i++) Add("a", "hangs", "a");
    }

    [Fact]
    public void Whatever_happens_slots_are_kept_and_everything_is_served()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var chance = new Random(seed);
            var settings = new TurnSettings
            {
                FastSlots = chance.Next(1, 10), SlowSlots = chance.Next(1, 6), PerTenant = chance.Next(1, 6), PerEndpoint = chance.Next(1, 4), SlowMs = 100,
            };
            var turns = new TurnTaking<(int Tenant, int Endpoint)>(settings);
            var flights = new List<TurnTaking<(int Tenant, int Endpoint)>.Turn>();
            var (added, served) = (0, 0);
            for (var step = 0; step < 400 || flights.Count > 0 || turns.Waiting > 0; step++)
            {
                if (step < 400 && chance.Next(2) == 0)
                {
                    var (tenant, endpoint) = (chance.Next(4), chance.Next(6));
                    turns.TryAdd($"t{tenant}", $"e{endpoint}", (DeliveryKind)chance.Next(3), chance.Next(200), (tenant, endpoint));
                    added++;
                }
                else if (chance.Next(2) == 0 && turns.TryNext(out var turn))
                {
                    flights.Add(turn);
                }
                else if (flights.Count > 0)
                {
                    var index = chance.Next(flights.Count);
                    if (chance.Next(5) == 0)
                    {
                        turns.Overdue(flights[index]);
                        continue;
                    }

                    turns.Done(flights[index], chance.Next(300));
                    turns.Done(flights[index], 1);
                    flights.RemoveAt(index);
                    served++;
                }

                Assert.True(turns.SlowInFlight <= settings.SlowSlots && turns.InFlight - turns.SlowInFlight <= settings.FastSlots);
                Assert.All(flights.GroupBy(f => f.Item), g => Assert.True(g.Count() <= settings.PerEndpoint));
            }

            Assert.Equal(added, served);
            Assert.Equal(0, turns.Endpoints);
        }
    }

    private void Add(string tenant, string endpoint, string item, DeliveryKind kind = DeliveryKind.Fresh, int usualMs = 0) =>
        Assert.True(_turns.TryAdd(tenant, endpoint, kind, usualMs, item));

    private List<TurnTaking<string>.Turn> TakeAll()
    {
        var taken = new List<TurnTaking<string>.Turn>();
        while (_turns.TryNext(out var turn)) taken.Add(turn);
        return taken;
    }

    /// <summary>Serves one after the other.</summary>
    private List<string> Serve(int count)
    {
        var served = new List<string>();
        while (served.Count < count && _turns.TryNext(out var turn))
        {
            served.Add(turn.Item);
            _turns.Done(turn, 1);
        }

        return served;
    }
}

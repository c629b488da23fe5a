using Grid.Testing.Wire;

namespace Grid.ClusterTests.Focused;

/// <summary>What is done on one silo holds on all: messages, keys, conditions, credentials, sessions.</summary>
public class RoutingTests(SharedCluster shared) : FocusedTest(shared)
{
    [Fact]
    public Task A_message_published_anywhere_reaches_sockets_and_event_streams_on_every_silo() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        var sockets = await Task.WhenAll(Silos.Select(s => s.OpenAsync($"socket on {s}")));
        var https = Silos.Select(HttpOf).ToList();
        foreach (var socket in sockets) Assert.Equal("subscribed", (await socket.SubscribeAsync(channel, ClientFrames.Start)).Type);
        var streams = await Task.WhenAll(https.Select(h => h.EventsAsync(channel, query: "?from=start")));
        var head = 0L;
        for (var i = 0; i < Silos.Count; i++)
        {
            var published = await sockets[i].PublishAsync(channel, $$"""{"socket":{{i}}}""");
            Assert.Equal(++head, published.Offset);
            Assert.Equal(++head, (await https[i].PublishAsync(channel, $$"""{"http":{{i}}}""")).Offset);
        }

        foreach (var socket in sockets)
        {
            await socket.MessageAsync(channel, head);
            Assert.Equal(Enumerable.Range(1, (int)head).Select(o => (long)o), socket.Messages(channel).Select(m => m.Offset));
            await socket.DisposeAsync();
        }

        foreach (var stream in streams)
        {
            for (var offset = 1; offset <= head; offset++) Assert.EndsWith($":{offset}", (await stream.NextAsync())!.Id, StringComparison.Ordinal);
            stream.Dispose();
        }

        foreach (var http in https) http.Dispose();
    });

    [Fact]
    public Task A_key_that_was_published_through_one_silo_is_a_duplicate_through_another() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var a = await Silos[0].OpenAsync("a");
        await using var b = await Silos[1].OpenAsync("b");
        var first = await a.PublishAsync(channel, "1", key: "k");
        await a.PublishAsync(channel, "2", key: "l");
        var second = await b.PublishAsync(channel, "1", key: "k");
        Assert.Equal(first.Position, second.Position);
        Assert.False(first.Json.GetProperty("duplicate").GetBoolean());
        Assert.True(second.Json.GetProperty("duplicate").GetBoolean());
        using var http = HttpOf(Silos[2]);
        Assert.Equal(first.Position, await http.PublishAsync(channel, "1", key: "k"));
        Assert.Equal(2, (await http.HistoryAsync(channel)).Head);
    });

    [Fact]
    public Task Of_two_conditional_publishes_from_two_silos_exactly_one_wins() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var a = await Silos[0].OpenAsync("a");
        await using var b = await Silos[1].OpenAsync("b");
        for (var head = 0; head < 50; head++)
        {
            var answers = await Task.WhenAll(
                a.PublishAsync(channel, $$"""{"a":{{head}}}""", ifOffset: head), b.PublishAsync(channel, $$"""{"b":{{head}}}""", ifOffset: head));
            var winner = Assert.Single(answers, f => f.Type == "published");
            Assert.Equal(head + 1, winner.Offset);
            Assert.Equal("conflict", Assert.Single(answers, f => f.Type == "error").Code);
        }

        using var http = HttpOf(Silos[2]);
        Assert.Equal(50, (await http.HistoryAsync(channel)).Head);
    });

    [Fact]
    public Task Keys_and_tokens_of_one_silo_hold_on_all() => OrTailsAsync(async () =>
    {
        using var maker = HttpOf(Silos[0]);
        var token = await maker.TokenAsync("ana", """{"room:*":["subscribe","publish"]}""");
        foreach (var silo in Silos)
        {
            await using var socket = await silo.OpenAsync($"ana on {silo}", token: token);
            Assert.Equal("new", socket.Welcome!.State);
            Assert.Equal("published", (await socket.PublishAsync(NewChannel(), "1")).Type);
            Assert.Equal("forbidden", (await socket.PublishAsync("other:1", "1")).Code);
            using var http = HttpOf(silo);
            (await http.GetAsync("/v1/sessions?user=ana")).Ok();
        }
    });

    [Fact]
    public Task Sessions_and_subscribers_of_all_silos_are_seen_from_each() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        using var maker = HttpOf(Silos[0]);
        var user = "user-of-" + channel.Replace(':', '-');
        var token = await maker.TokenAsync(user);
        var sockets = await Task.WhenAll(Silos.Select(s => s.OpenAsync($"on {s}", token: token)));
        foreach (var socket in sockets) await socket.SubscribeAsync(channel);
        foreach (var silo in Silos)
        {
            using var http = HttpOf(silo);
            var sessions = (await http.GetAsync($"/v1/sessions?user={user}")).Ok().Json.GetProperty("sessions").EnumerateArray().ToList();
            Assert.Equal(sockets.Select(s => s.Welcome!.Session).Order(), sessions.Select(s => s.GetProperty("session").GetString()!).Order());
            Assert.All(sessions, s => Assert.True(s.GetProperty("connected").GetBoolean()));
            Assert.Equal(Silos.Count, sessions.Select(s => s.GetProperty("silo").GetString()).Distinct().Count());
            Assert.All(sessions, s => Assert.Equal(channel, Assert.Single(s.GetProperty("subscriptions").EnumerateArray()).GetString()));
            var seen = (await http.GetAsync(Testing.Hosting.GridHttp.ChannelPath(channel))).Ok().Json;
            Assert.Equal(Silos.Count, seen.GetProperty("subscribers").GetInt32());
        }

        foreach (var socket in sockets) await socket.DisposeAsync();
    });

    [Fact]
    public Task A_newer_socket_of_a_session_on_another_silo_closes_the_older() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var older = await Silos[0].OpenAsync("older");
        await older.SubscribeAsync(channel);
        await using var newer = await Silos[1].OpenAsync("newer", new RawResume(older.Welcome!.Session, older.Welcome.ResumeToken));
        Assert.Equal("resumed", newer.Welcome!.State);
        Assert.Equal(4500, (await older.ClosedAsync()).Code);

        // The newer one goes on undisturbed, and the subscription is its own.
        var published = await newer.PublishAsync(channel, "1");
        await newer.MessageAsync(channel, published.Offset);
        await newer.PingAsync();
    });

    [Fact]
    public Task A_session_is_closed_for_good_from_any_silo() => OrTailsAsync(async () =>
    {
        await using var socket = await Silos[0].OpenAsync("socket");
        await socket.SubscribeAsync(NewChannel());
        using var http = HttpOf(Silos[2]);
        (await http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{socket.Welcome!.Session}")).Ok();
        Assert.Equal(4503, (await socket.ClosedAsync()).Code);
        await using var again = await Silos[1].OpenAsync("again", new RawResume(socket.Welcome.Session, socket.Welcome.ResumeToken));
        Assert.Equal("expired", again.Welcome!.State);
    });
}

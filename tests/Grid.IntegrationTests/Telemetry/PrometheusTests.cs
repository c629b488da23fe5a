using System.Net;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Telemetry;

/// <summary><c>/metrics</c> of the real host: what it says of known traffic, and to whom.</summary>
public class PrometheusTests
{
    private const string Room = "room:1";

    [Fact]
    public async Task The_page_says_what_happened()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        var first = await Scrape.OfAsync(http);
        Assert.Equal((0, 0, 0), (first["grid_connections"], first["grid_sessions"], first["grid_relay_repairs_total"]));
        Assert.Equal(0, first["""grid_gaps_total{reason="retention"}"""]);

        // Two consumers, and three messages of which one is published twice.
        var token = await http.TokenAsync("ana");
        await using var ana = await RawClient.OpenAsync(host.Address, new() { Token = token });
        await using var bob = await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync("bob") });
        var epoch = (await ana.SubscribeAsync(Room)).Epoch;
        await bob.SubscribeAsync(Room);
        foreach (var key in (string[])["a", "b", "b", "c"]) Assert.Equal("published", (await ana.PublishAsync(Room, "1", key)).Type);
        await Task.WhenAll(ana.MessageAsync(Room, 3), bob.MessageAsync(Room, 3));
        var traffic = await Scrape.UntilAsync(
            http,
            ("grid_connections", 2),
            ("grid_sessions", 2),
            ("grid_subscriptions", 2),
            ("""grid_sessions_welcomed_total{cursors="none",state="new"}""", 2),
            ("""grid_messages_published_total{outcome="stored"}""", 3),
            ("""grid_messages_published_total{outcome="duplicate"}""", 1),
            ("""grid_messages_published_total{outcome="refused"}""", 0),
            ("grid_messages_delivered_total", 6),
            ("grid_log_append_messages_sum", 3),
            ("""grid_log_append_duration_seconds_count{outcome="stored"}""", 3),
            ("""grid_publish_duration_seconds_count{outcome="answered"}""", 4),
            ("""grid_silo_status{status="active"}""", 1),
            ("""grid_silo_status{status="dead"}""", 0),
            ("""grid_silos{status="active"}""", 1),
            ("""grid_silos{status="dead"}""", 0),
            ("grid_silo_draining", 0),
            ("grid_relay_channels", 1),
            ("grid_relay_behind", 0),
            ("grid_feeds_in_flight", 0));
        Assert.InRange(traffic["grid_log_append_messages_count"]!.Value, 1, 3);
        Assert.InRange(traffic["grid_relay_lag_seconds_count"]!.Value, 1, 3);
        Assert.True(traffic["""grid_log_append_duration_seconds_sum{outcome="stored"}"""] > 0);
        Assert.True(traffic["""grid_log_append_duration_seconds_bucket{le="0.0001",outcome="stored"}"""] >= 0);
        Assert.True(traffic["grid_messages_delivered_size_bytes_total"] > 6 * 40);

        // Resumes: with a cursor of another epoch while the older socket is there, then with the server's cursors, then of nobody.
        await using var newer = await RawClient.OpenAsync(
            host.Address, new() { Token = token }, ResumeOf(ana, new RawPosition("another", 0)));
        Assert.Equal(4500, (await ana.ClosedAsync()).Code);

        // What is announced and not answered would be announced again.
        await newer.MessageAsync(Room, 3);
        newer.Ack(Room, 3);
        await newer.PingAsync();
        await newer.CloseAsync();
        await using var later = await RawClient.OpenAsync(host.Address, new() { Token = token }, ResumeOf(newer, null));
        await using var nobody = await RawClient.OpenAsync(host.Address, new() { Token = token }, new RawResume("s_nobody", "nothing"));
        await Scrape.UntilAsync(
            http,
            ("grid_connections", 3),
            ("grid_sessions", 3),
            ("""grid_sessions_welcomed_total{cursors="client",state="resumed"}""", 1),
            ("""grid_sessions_welcomed_total{cursors="server",state="resumed"}""", 1),
            ("""grid_sessions_welcomed_total{cursors="token",state="resumed"}""", 0),
            ("""grid_sessions_welcomed_total{cursors="none",state="expired"}""", 1),
            ("""grid_connections_closed_total{reason="superseded"}""", 1),
            ("""grid_gaps_total{reason="epoch"}""", 1));

        // A session that was never written, and a server that dies: the token brings it back.
        await using var fresh = await RawClient.OpenAsync(host.Address, new() { Token = token });
        await host.KillAsync();
        await host.StartAsync();
        await using var rebuilt = await RawClient.OpenAsync(host.Address, new() { Token = token }, ResumeOf(fresh, new RawPosition(epoch, 1)));
        Assert.Equal("resumed", rebuilt.Welcome!.State);
        await rebuilt.MessageAsync(Room, 3);
        await Scrape.UntilAsync(
            http,
            ("""grid_sessions_welcomed_total{cursors="token",state="resumed"}""", 1),
            ("grid_messages_delivered_total", 2),
            ("grid_subscriptions_behind", 0));
        Assert.Empty(host.Output.Errors);
    }

    [Fact]
    public async Task The_page_is_for_private_callers_only()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        foreach (var header in (string[])["Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Real-IP", "Via", "X-Original-For"])
        {
            var answer = await http.SendAsync(HttpMethod.Get, "/metrics", null, new KeyValuePair<string, string>(header, "203.0.113.9"));
            Assert.Equal(HttpStatusCode.Forbidden, answer.Status);
            Assert.DoesNotContain("grid_", answer.Text, StringComparison.Ordinal);
        }

        Assert.Equal(HttpStatusCode.OK, (await http.SendAsync(HttpMethod.Head, "/metrics")).Status);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await http.PostAsync("/metrics", "{}")).Status);

        // What can grow without end must not be a label, whatever clients send.
        const string Mark = "markedbyclient";
        var token = await http.TokenAsync($"user-{Mark}");
        await using (var client = await RawClient.OpenAsync(host.Address, new() { Token = token }))
        {
            await client.SubscribeAsync($"{Mark}:1");
            await client.PublishAsync($"{Mark}:1", "1", $"key-{Mark}", $"event-{Mark}");
            await client.MessageAsync($"{Mark}:1", 1);
        }

        await http.GetAsync($"/nothing/{Mark}?q={Mark}");
        await http.GetAsync($"/v1/channels/{Mark}/messages");
        await http.SendAsync(new HttpMethod(Mark.ToUpperInvariant()), "/metrics");
        var page = await Scrape.UntilAsync(http, ("grid_messages_delivered_total", 1), ("grid_connections", 0));
        Assert.DoesNotContain(page.Names, n => n.Contains(Mark, StringComparison.OrdinalIgnoreCase));
        Assert.Empty(host.Output.Errors);
    }

    [Theory]
    [InlineData("Everybody", null, HttpStatusCode.OK)]
    [InlineData("Nobody", null, HttpStatusCode.NotFound)]
    [InlineData("Everybody", "true", HttpStatusCode.NotFound)]
    public async Task The_setting_decides(string access, string? disabled, HttpStatusCode expected)
    {
        await using var host = await HostProcess.RunAsync([new("Grid__Metrics__Access", access), new("OTEL_SDK_DISABLED", disabled)]);
        using var http = host.Http();
        var answer = await http.SendAsync(HttpMethod.Get, "/metrics", null, new KeyValuePair<string, string>("X-Forwarded-For", "203.0.113.9"));
        Assert.Equal(expected, answer.Status);
        await http.PublishAsync(Room, "1");
        Assert.Empty(host.Output.Errors);
    }

    private static RawResume ResumeOf(RawClient client, RawPosition? cursor) => new(
        client.Welcome!.Session,
        client.Welcome.ResumeToken,
        cursor is { } at ? new Dictionary<string, RawPosition> { [Room] = at } : null);
}

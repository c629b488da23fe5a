using System.Net;
using System.Net.WebSockets;
using System.Text.Json.Nodes;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary><c>deploy/haproxy.cfg</c>, in a real HAProxy.</summary>
public sealed class HaproxyTests : IAsyncLifetime
{
    private StubSilo[] _silos = [];
    private HaproxyProcess? _haproxy;

    private HaproxyProcess Haproxy => _haproxy!;

    public async Task InitializeAsync()
    {
        _silos = [await StubSilo.RunAsync(1), await StubSilo.RunAsync(2), await StubSilo.RunAsync(3)];
        _haproxy = await HaproxyProcess.RunAsync([.. _silos.Select(s => s.Port)]);
    }

    public async Task DisposeAsync()
    {
        if (_haproxy is not null) await _haproxy.DisposeAsync();
        foreach (var silo in _silos) await silo.DisposeAsync();
    }

    [Fact]
    public async Task HAProxy_takes_the_configuration_without_a_warning()
    {
        var checkedOnly = await Commands.RunAsync(
            HaproxyProcess.Program, ["-c", "-f", Repository.PathOf("deploy/haproxy.cfg")], HaproxyProcess.Environment(8080, 8404, [8081, 8082, 8083]));

        Assert.Equal(0, checkedOnly.ExitCode);
        Assert.Equal(("Configuration file is valid", ""), (checkedOnly.Output.Trim(), checkedOnly.Errors.Trim()));
    }

    [Theory]
    [InlineData("/metrics")]
    [InlineData("/METRICS")]
    [InlineData("/%6detrics?x=1")]
    [InlineData("//metrics")]
    [InlineData("/metrics/")]
    [InlineData("/v1/../metrics")]
    [InlineData("/v1/%2e%2E/metrics")]
    [InlineData("/./metrics")]
    [InlineData("/dashboard")]
    [InlineData("/Dashboard/index.html")]
    [InlineData("/%zz/../metrics")]
    [InlineData("/metrics/%")]
    public async Task What_is_for_operators_is_not_for_clients(string path)
    {
        // By hand: HttpClient would tidy the path up.
        var status = await RawHttp.StatusAsync(Haproxy.Address, path);

        Assert.Contains(status, (int[])[400, 403]);
        Assert.All(_silos, silo => Assert.Equal(0, silo.Requests));
    }

    [Theory]
    [InlineData("/v1/channels/metrics/messages")]
    [InlineData("/v1/channels/a..b:metrics/messages")]
    [InlineData("/")]
    [InlineData("/metricsandmore")]
    [InlineData("/v1/channels/%C3%A9+%25:1/messages?after=%zz")]
    public async Task Everything_else_is_handed_on(string path) => Assert.Equal(200, await RawHttp.StatusAsync(Haproxy.Address, path));

    [Fact]
    public async Task Who_the_client_is_is_said_by_the_balancer_alone()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/x");
        request.Headers.Add("Forwarded", "for=9.9.9.9");
        request.Headers.Add("X-Forwarded-For", "9.9.9.9");
        request.Headers.Add("X-Forwarded-Host", "else.example");
        request.Headers.Add("X-Forwarded-Proto", "https");
        using var answer = await Haproxy.Http.SendAsync(request);

        var silo = _silos[int.Parse(await answer.Content.ReadAsStringAsync(), System.Globalization.CultureInfo.InvariantCulture) - 1];
        Assert.Equal(
            ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"],
            silo.Forwarded.Select(h => $"{h.Key}: {h.Value}".ToLowerInvariant()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_socket_of_a_silo_that_drains_lives_on_and_new_ones_go_elsewhere()
    {
        using var first = await ConnectAsync();
        var draining = _silos.Single(silo => silo.Requests == 1);
        draining.Ready = false;
        await Haproxy.UntilAsync(draining.Number, "DOWN");

        Assert.Equal("still here", await EchoAsync(first, "still here"));
        for (var i = 0; i < 6; i++)
        {
            using var next = await ConnectAsync();
            Assert.Equal("hello", await EchoAsync(next, "hello"));
        }

        Assert.Equal(1, draining.Requests);
        draining.Ready = true;
        await Haproxy.UntilAsync(draining.Number, "UP");
        Assert.Equal("and still", await EchoAsync(first, "and still"));
    }

    [Fact]
    public async Task Requests_of_any_kind_find_another_silo_when_one_is_gone()
    {
        await _silos[1].StopAsync();
        for (var i = 0; i < 20; i++)
        {
            using var read = await Haproxy.Http.GetAsync(new Uri("/v1/x", UriKind.Relative));
            using var written = await Haproxy.Http.PostAsync(new Uri("/v1/x", UriKind.Relative), new StringContent("{}"));
            Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (read.StatusCode, written.StatusCode));
        }

        using var socket = await ConnectAsync();
        Assert.Equal("hello", await EchoAsync(socket, "hello"));
    }

    [Fact]
    public async Task A_refusal_is_tried_again_elsewhere_only_where_twice_is_as_good_as_once()
    {
        // Two refuse, so that about two of three requests meet a refusal first.
        _silos[0].Unavailable = _silos[1].Unavailable = true;
        for (var i = 0; i < 9; i++)
        {
            using var read = await Haproxy.Http.GetAsync(new Uri("/v1/x", UriKind.Relative));
            Assert.Equal(HttpStatusCode.OK, read.StatusCode);
            using var keyed = new HttpRequestMessage(HttpMethod.Post, "/v1/x") { Content = new StringContent("{}") };
            keyed.Headers.Add("Idempotency-Key", "k");
            using var written = await Haproxy.Http.SendAsync(keyed);
            Assert.Equal(HttpStatusCode.OK, written.StatusCode);
        }

        var before = _silos.Sum(silo => silo.Requests);
        var refused = 0;
        for (var i = 0; i < 9; i++)
        {
            using var written = await Haproxy.Http.PostAsync(new Uri("/v1/x", UriKind.Relative), new StringContent("{}"));
            if (written.StatusCode == HttpStatusCode.ServiceUnavailable) refused++;
        }

        Assert.InRange(refused, 1, 9);
        Assert.Equal(before + 9, _silos.Sum(silo => silo.Requests));
    }

    [Fact]
    public async Task Its_own_health_is_whether_there_is_a_silo()
    {
        Assert.Equal(200, await RawHttp.StatusAsync(Haproxy.Address, "/balancerz"));
        foreach (var silo in _silos) silo.Ready = false;
        foreach (var silo in _silos) await Haproxy.UntilAsync(silo.Number, "DOWN");

        Assert.Equal(503, await RawHttp.StatusAsync(Haproxy.Address, "/balancerz"));
    }

    [Fact]
    public async Task Without_a_silo_it_answers_as_a_silo_without_its_stores_would()
    {
        foreach (var silo in _silos) await silo.StopAsync();
        foreach (var silo in _silos) await Haproxy.UntilAsync(silo.Number, "DOWN");
        using var answer = await Haproxy.Http.PostAsync(new Uri("/v1/x", UriKind.Relative), new StringContent("{}"));

        var problem = GridProblem.Unavailable();
        Assert.Equal(problem.Status, (int)answer.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), answer.Headers.RetryAfter?.Delta);
        Assert.True(answer.Headers.CacheControl?.NoStore);
        Assert.Equal(GridProblem.MediaType, answer.Content.Headers.ContentType?.MediaType);
        var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!.AsObject();
        Assert.Equal(["code", "detail", "status", "title", "type"], body.Select(member => member.Key).Order(StringComparer.Ordinal));
        Assert.Equal((problem.Status, problem.Detail, problem.Code.Name()), ((int)body["status"]!, (string)body["detail"]!, (string)body["code"]!));
    }

    private async Task<ClientWebSocket> ConnectAsync()
    {
        using var deadline = TestDeadline.In(20);
        var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://{Haproxy.Address.Authority}/v1/ws"), deadline.Token);
        return socket;
    }

    private static async Task<string> EchoAsync(ClientWebSocket socket, string text)
    {
        using var deadline = TestDeadline.In(20);
        await socket.SendAsync(System.Text.Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true, deadline.Token);
        var buffer = new byte[256];
        var received = await socket.ReceiveAsync(buffer, deadline.Token);
        return System.Text.Encoding.UTF8.GetString(buffer, 0, received.Count);
    }
}

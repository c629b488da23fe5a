using System.Net;
using System.Text;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class HttpTests(ContractHost host) : ContractTest(host, Subprotocols.Json)
{
    [Fact]
    public async Task Publish_one_and_read_it_back()
    {
        var channel = ContractHost.NewChannel();
        var answer = (await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":{"n":1},"key":"k","event":"made"}""")).Ok().Json;
        Assert.Equal(1, answer.GetProperty("offset").GetInt64());
        Assert.False(answer.GetProperty("duplicate").GetBoolean());
        var page = (await Host.Http.GetAsync(GridHttp.ChannelPath(channel, "/messages"))).Ok().Json;
        Assert.Equal(answer.GetProperty("epoch").GetString(), page.GetProperty("epoch").GetString());
        Assert.Equal((1, 1), (page.GetProperty("oldest").GetInt64(), page.GetProperty("head").GetInt64()));
        var message = Assert.Single(page.GetProperty("messages").EnumerateArray().ToArray());
        Assert.Equal("""{"n":1}""", message.GetProperty("data").GetRawText());
        Assert.Equal(("k", "made"), (message.GetProperty("key").GetString(), message.GetProperty("event").GetString()));
        Assert.True(message.GetProperty("at").GetInt64() > 0);
        Assert.False(message.TryGetProperty("from", out _));
    }

    [Fact]
    public async Task A_batch_is_answered_in_order()
    {
        var channel = ContractHost.NewChannel();
        var body = """[{"data":1,"key":"a"},{"data64":"AAE="},{"data":1,"key":"a"},{"data":null}]""";
        var answers = (await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), body)).Ok().Json.EnumerateArray().ToArray();
        Assert.Equal([(1L, false), (2L, false), (1L, true), (3L, false)], answers.Select(a => (a.GetProperty("offset").GetInt64(), a.GetProperty("duplicate").GetBoolean())));
        Assert.Equal(["1", "base64:AAE=", "null"], (await Host.Http.HistoryAsync(channel)).Messages.Select(m => m.Payload));
    }

    [Theory]
    [InlineData(1000, true)]
    [InlineData(1001, false)]
    public async Task A_batch_has_up_to_1000_messages(int count, bool valid)
    {
        var channel = ContractHost.NewChannel();
        var answer = await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), $"[{string.Join(',', Enumerable.Repeat("{\"data\":1}", count))}]");
        if (valid) Assert.Equal(1000, answer.Ok().Json.GetArrayLength());
        else AssertProblem(answer, "too_large", 413, 400);
        Assert.Equal(valid ? 1000 : 0, (await Host.Http.HistoryAsync(channel)).Head);
    }

    [Fact]
    public async Task The_header_Idempotency_Key_is_a_key()
    {
        var channel = ContractHost.NewChannel();
        KeyValuePair<string, string> header = new("Idempotency-Key", "k-9");
        var first = (await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":1}""", header)).Ok().Json;
        var again = (await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":1}""", header)).Ok().Json;
        Assert.Equal(first.GetProperty("offset").GetInt64(), again.GetProperty("offset").GetInt64());
        Assert.True(again.GetProperty("duplicate").GetBoolean());
        var byBody = (await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), """{"data":1,"key":"k-9"}""")).Ok().Json;
        Assert.True(byBody.GetProperty("duplicate").GetBoolean());
    }

    [Fact]
    public async Task History_is_read_in_pages()
    {
        var channel = ContractHost.NewChannel();
        await FillAsync(channel, 12);
        var page = (await Host.Http.GetAsync(GridHttp.ChannelPath(channel, "/messages?after=3&limit=4"))).Ok().Json;
        Assert.Equal([4L, 5, 6, 7], page.GetProperty("messages").EnumerateArray().Select(m => m.GetProperty("offset").GetInt64()));
        Assert.Equal((1, 12), (page.GetProperty("oldest").GetInt64(), page.GetProperty("head").GetInt64()));
        Assert.Equal(0, (await Host.Http.GetAsync(GridHttp.ChannelPath(channel, "/messages?after=12"))).Ok().Json.GetProperty("messages").GetArrayLength());
        foreach (var bad in new[] { "?limit=0", "?limit=1001", "?limit=x", "?after=-1", "?after=x" })
        {
            AssertProblem(await Host.Http.GetAsync(GridHttp.ChannelPath(channel, "/messages" + bad)), null, 400);
        }
    }

    [Fact]
    public async Task A_channel_tells_its_state()
    {
        var channel = ContractHost.NewChannel();
        await FillAsync(channel, 2);
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        var info = (await Host.Http.GetAsync(GridHttp.ChannelPath(channel))).Ok().Json;
        Assert.Equal(channel, info.GetProperty("channel").GetString());
        Assert.Equal((1, 2, 1), (info.GetProperty("oldest").GetInt64(), info.GetProperty("head").GetInt64(), info.GetProperty("subscribers").GetInt64()));
        Assert.NotEmpty(info.GetProperty("epoch").GetString()!);
    }

    [Fact]
    public async Task Without_a_key_nothing_is_done()
    {
        using var anyone = new GridHttp(Host.Address, null);
        using var wrong = new GridHttp(Host.Address, "wrong");
        var path = GridHttp.ChannelPath(ContractHost.NewChannel());
        foreach (var http in new[] { anyone, wrong })
        {
            AssertProblem(await http.PostAsync("/v1/tokens", """{"user":"x","capabilities":{}}"""), "unauthorized", 401);
            AssertProblem(await http.PostAsync(path + "/messages", """{"data":1}"""), "unauthorized", 401);
            AssertProblem(await http.GetAsync(path + "/messages"), "unauthorized", 401);
            AssertProblem(await http.GetAsync(path), "unauthorized", 401);
            AssertProblem(await http.GetAsync(path + "/events"), "unauthorized", 401);
            AssertProblem(await http.GetAsync("/v1/sessions?user=ana"), "unauthorized", 401);
            AssertProblem(await http.SendAsync(HttpMethod.Delete, "/v1/sessions/x"), "unauthorized", 401);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("7")]
    [InlineData("{}")]
    [InlineData("""{"data":1,"data64":"AA=="}""")]
    [InlineData("""{"data64":"?"}""")]
    [InlineData("""{"data":1,"key":7}""")]
    [InlineData("""[{"data":1},{}]""")]
    public async Task A_body_that_is_none_is_a_problem(string body)
    {
        var channel = ContractHost.NewChannel();
        AssertProblem(await Host.Http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), body), "bad_frame", 400, 422);
        Assert.Equal(0, (await Host.Http.HistoryAsync(channel)).Head);
    }

    [Fact]
    public async Task Other_problems_have_their_codes()
    {
        AssertProblem(await Host.Http.PostAsync(GridHttp.ChannelPath("has space", "/messages"), """{"data":1}"""), "bad_frame", 400, 422);
        AssertProblem(await Host.Http.PostAsync(GridHttp.ChannelPath(ContractHost.NewChannel("small"), "/messages"), $$"""{"data":"{{new string('x', 200)}}"}"""), "too_large", 413);
        AssertProblem(await Host.Http.SendAsync(HttpMethod.Delete, "/v1/sessions/unknown"), null, 404);
        AssertProblem(await Host.Http.PostAsync("/v1/tokens", """{"capabilities":{"*":["publish"]}}"""), "bad_frame", 400, 422);
        AssertProblem(await Host.Http.PostAsync("/v1/tokens", """{"user":"ana","capabilities":{"*":["fly"]}}"""), "bad_frame", 400, 422);
        AssertProblem(await Host.Http.PostAsync("/v1/tokens", """{"user":"ana","ttlSeconds":-5,"capabilities":{"*":["publish"]}}"""), "bad_frame", 400, 422);
    }

    [Fact]
    public async Task Health_readiness_and_the_description_are_open()
    {
        using var anyone = new GridHttp(Host.Address, null);
        (await anyone.GetAsync("/healthz")).Ok();
        (await anyone.GetAsync("/readyz")).Ok();
        var document = (await anyone.GetAsync("/openapi/v1.json")).Ok().Json;
        Assert.True(document.GetProperty("paths").TryGetProperty("/v1/tokens", out _));
        Assert.Equal(HttpStatusCode.OK, (await anyone.GetAsync("/")).Status);
        Assert.NotEqual(HttpStatusCode.OK, (await anyone.GetAsync("/dashboard")).Status);
    }

    [Fact]
    public async Task Events_stream_and_resume_after_the_last_id()
    {
        var channel = ContractHost.NewChannel();
        string? id;
        using (var events = await Host.Http.EventsAsync(channel))
        {
            Assert.Equal((HttpStatusCode.OK, "text/event-stream"), (events.Status, events.ContentType));
            await FillAsync(channel, 1);
            var first = await events.NextAsync();
            Assert.Equal("message", first!.Event);
            var json = System.Text.Json.JsonElement.Parse(first.Data);
            Assert.Equal((channel, 1, "1"), (json.GetProperty("channel").GetString(), json.GetProperty("offset").GetInt64(), json.GetProperty("data").GetRawText()));
            id = first.Id;
            Assert.EndsWith(":1", id, StringComparison.Ordinal);
        }

        await FillAsync(channel, 3);
        using var again = await Host.Http.EventsAsync(channel, id);
        for (var offset = 2; offset <= 4; offset++)
        {
            var next = await again.NextAsync();
            Assert.Equal(("message", $"{id![..^2]}:{offset}"), (next!.Event, next.Id));
        }

        await FillAsync(channel, 1);
        Assert.EndsWith(":5", (await again.NextAsync())!.Id, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Events_announce_a_gap()
    {
        var channel = ContractHost.NewChannel();
        var epoch = await FillAsync(channel, 2);
        using var events = await Host.Http.EventsAsync(channel, "another:9");
        var gap = await events.NextAsync();
        Assert.Equal(("gap", $"{epoch}:0"), (gap!.Event, gap.Id));
        var json = System.Text.Json.JsonElement.Parse(gap.Data);
        Assert.Equal(("epoch", epoch), (json.GetProperty("reason").GetString(), json.GetProperty("epoch").GetString()));
        Assert.Equal($"{epoch}:1", (await events.NextAsync())!.Id);
    }

    [Fact]
    public async Task Messages_are_the_same_by_every_way()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync("ana");
        await client.SubscribeAsync(channel);
        using var events = await Host.Http.EventsAsync(channel);
        await client.PublishAsync(channel, """{"a":[1,"é"]}""", "k", "e");
        var frame = await client.MessageAsync(channel, 1);
        var item = (await Host.Http.GetAsync(GridHttp.ChannelPath(channel, "/messages"))).Ok().Json.GetProperty("messages")[0];
        var sse = System.Text.Json.JsonElement.Parse((await events.NextAsync())!.Data);
        foreach (var name in new[] { "offset", "at", "data", "key", "event", "from" })
        {
            var expected = frame.Json.GetProperty(name).GetRawText();
            Assert.Equal(expected, item.GetProperty(name).GetRawText());
            Assert.Equal(expected, sse.GetProperty(name).GetRawText());
        }
    }

    [Fact]
    public async Task Hostile_requests_are_answered()
    {
        foreach (var request in new[]
        {
            "GET /v1/channels/%00%ff/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "GET /v1/channels/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n",
            "BREW / HTTP/1.1\r\nHost: x\r\n\r\n\r\n",
            $"GET / HTTP/1.1\r\nHost: x\r\nX: {new string('x', 100_000)}\r\n\r\n",
        })
        {
            using var socket = await RawSocket.ConnectAsync(Host.Address);
            await socket.SendBytesAsync(Encoding.Latin1.GetBytes(request));
        }
    }

    private static void AssertProblem(HttpAnswer answer, string? code, params int[] statuses)
    {
        Assert.True(statuses.Contains((int)answer.Status), $"{(int)answer.Status} {answer.Text}");
        Assert.True(answer.ContentType == "application/problem+json", $"{(int)answer.Status} {answer.ContentType} {answer.Text}");
        Assert.True(answer.Json.TryGetProperty("code", out var given), answer.Text);
        if (code is not null) Assert.Equal(code, given.GetString());
    }
}

using System.Net;
using System.Text;
using Grid.Server.Channels;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.IntegrationTests.Api;

[Collection("api")]
public sealed class PublishApiTests(ApiHost host)
{
    private readonly string _channel = $"pub:{Guid.NewGuid():N}";

    private Task<HttpResponseMessage> PostAsync(string json, string? channel = null, string? idempotencyKey = null) =>
        SendAsync(host.Server, Encoding.UTF8.GetBytes(json), channel, idempotencyKey);

    private async Task<HttpResponseMessage> SendAsync(HttpClient client, byte[] body, string? channel = null, string? idempotencyKey = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/channels/{channel ?? _channel}/messages") { Content = Http.Body(body) };
        if (idempotencyKey is not null) request.Headers.TryAddWithoutValidation("Idempotency-Key", idempotencyKey);
        return await client.SendAsync(request);
    }

    private async Task<string> HistoryAsync(string query = "") => await host.Server.GetStringAsync($"/v1/channels/{_channel}/messages{query}");

    [Fact]
    public async Task One_message_gives_one_answer_and_the_same_key_gives_it_again()
    {
        Assert.Equal("""{"epoch":"e1","offset":1,"duplicate":false}""", await (await PostAsync("""{"data":{},"key":"k"}""")).Content.ReadAsStringAsync());
        Assert.Equal("""{"epoch":"e1","offset":1,"duplicate":true}""", await (await PostAsync("""{"data":{},"key":"k"}""")).Content.ReadAsStringAsync());
        Assert.True((bool)(await Http.JsonAsync(await PostAsync("""{"data":{}}""", idempotencyKey: "k")))["duplicate"]!);
        Assert.True((bool)(await Http.JsonAsync(await PostAsync("""{"data":{}}""", idempotencyKey: "\"k\"")))["duplicate"]!);
        Assert.True((bool)(await Http.JsonAsync(await PostAsync("""{"data":{},"key":"k"}""", idempotencyKey: "k")))["duplicate"]!);
        await Http.ProblemAsync(await PostAsync("""{"data":{},"key":"k"}""", idempotencyKey: "other"), HttpStatusCode.BadRequest, "bad_frame");
    }

    [Theory]
    [InlineData("""{"data":1}""")]
    [InlineData("""[{"data":1},{"data":2}]""")]
    [InlineData("""{"data":1,"ifOffset":9}""")]
    public async Task A_publish_is_under_way_until_its_answer_is_written(string body)
    {
        var publishes = host.Services.GetRequiredService<PublishesUnderWay>();
        var (over, wasOver) = ((Task?)null, true);
        host.Answering = path =>
        {
            if (!path.Contains(_channel, StringComparison.Ordinal)) return;
            over = publishes.WaitAsync();
            wasOver = over.IsCompleted;
        };
        await (await PostAsync(body)).Content.ReadAsByteArrayAsync();
        host.Answering = null;
        Assert.False(wasOver);
        await over!.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Theory]
    [InlineData("""{ "a" : [ 1.0, 1e3, -0 ] , "ü" : "\u00fc\/" }""")]
    [InlineData("12345678901234567890.123456789012345678901234567890")]
    [InlineData("null")]
    [InlineData("\"<script>&amp;\\ud800 🦊\"")]
    [InlineData("""{"a":1,"a":2}""")]
    public async Task Data_is_kept_byte_for_byte(string data)
    {
        await Http.JsonAsync(await PostAsync($$"""  { "x":[[]], "data" :  {{data}}  , "event":"e"} """));
        await Http.JsonAsync(await PostAsync($$"""[ {"data":{{data}}} ]"""));
        var history = await HistoryAsync();
        Assert.Contains($"\"data\":{data},\"event\":\"e\"}}", history, StringComparison.Ordinal);
        Assert.Contains($"\"data\":{data}}}]}}", history, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bytes_travel_as_base64_and_absent_members_stay_absent()
    {
        await Http.JsonAsync(await PostAsync("""{"data64":"AP/+","key":null,"event":null,"ifOffset":null}"""));
        Assert.Equal(
            """{"epoch":"e1","oldest":1,"head":1,"messages":[{"offset":1,"at":1795452674123,"data64":"AP/+"}]}""", await HistoryAsync());
    }

    [Fact]
    public async Task An_array_is_one_call_with_an_answer_for_each_and_the_header_keys_each()
    {
        var answer = await Http.JsonAsync(await PostAsync("""[{"data":1},{"data":2,"key":"own"},{"data":3}]""", idempotencyKey: "h"));
        Assert.Equal([1L, 2, 3], answer.AsArray().Select(a => (long)a!["offset"]!));
        var again = await Http.JsonAsync(await PostAsync("""[{"data":1},{"data":2,"key":"own"},{"data":3}]""", idempotencyKey: "h"));
        Assert.Equal([1L, 2, 3], again.AsArray().Select(a => (long)a!["offset"]!));
        Assert.All(again.AsArray(), a => Assert.True((bool)a!["duplicate"]!));
        Assert.Contains("\"key\":\"h#2\"", await HistoryAsync(), StringComparison.Ordinal);
        Assert.Contains(host.Channels.Batches, b => b.Drafts is [{ Key: "h#0" }, { Key: "own" }, { Key: "h#2" }] && b.From is null);
    }

    [Fact]
    public async Task Some_refused_stand_in_their_place_and_all_refused_is_the_answer()
    {
        var mixed = await Http.JsonAsync(await PostAsync("""[{"data":1},{"data":2,"ifOffset":9},{"data":3,"ifOffset":1}]"""));
        Assert.Equal(1L, (long)mixed[0]!["offset"]!);
        Assert.Equal("conflict", (string?)mixed[1]!["error"]!["code"]);
        Assert.False(string.IsNullOrEmpty((string?)mixed[1]!["error"]!["message"]));
        Assert.Equal(2L, (long)mixed[2]!["offset"]!);
        await Http.ProblemAsync(await PostAsync("""[{"data":1,"ifOffset":9},{"data":2,"ifOffset":9}]"""), HttpStatusCode.Conflict, "conflict");
        await Http.ProblemAsync(await PostAsync("""{"data":1,"ifOffset":9}"""), HttpStatusCode.Conflict, "conflict");
    }

    [Fact]
    public async Task A_thousand_fit_and_one_more_does_not()
    {
        var thousand = string.Join(",", Enumerable.Repeat("""{"data":{"n":1}}""", 1000));
        Assert.Equal(1000, (await Http.JsonAsync(await PostAsync($"[{thousand}]"))).AsArray().Count);
        await Http.ProblemAsync(await PostAsync($$"""[{{thousand}},{"data":1}]"""), HttpStatusCode.RequestEntityTooLarge, "too_large");

        var history = System.Text.Json.Nodes.JsonNode.Parse(await HistoryAsync("?after=3&limit=995"))!;
        Assert.Equal(Enumerable.Range(4, 995), history["messages"]!.AsArray().Select(m => (int)m!["offset"]!));
        Assert.Equal(1000, (int)history["head"]!);
        Assert.Empty(System.Text.Json.Nodes.JsonNode.Parse(await HistoryAsync("?after=1000"))!["messages"]!.AsArray());
        Assert.Equal(100, System.Text.Json.Nodes.JsonNode.Parse(await HistoryAsync())!["messages"]!.AsArray().Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("  ")]
    [InlineData("7")]
    [InlineData("[]")]
    [InlineData("[7]")]
    [InlineData("{}")]
    [InlineData("[{}]")]
    [InlineData("""{"data":1""")]
    [InlineData("""{"data":1}}""")]
    [InlineData("""{"data":1} {"data":2}""")]
    [InlineData("""{"data":1,}""")]
    [InlineData("""{"data":1/*c*/}""")]
    [InlineData("""{"data":1,"data":2}""")]
    [InlineData("""{"data":1,"data64":"AA=="}""")]
    [InlineData("""{"data64":"?"}""")]
    [InlineData("""{"data64":5}""")]
    [InlineData("""{"data64":null}""")]
    [InlineData("""{"data":1,"key":5}""")]
    [InlineData("""{"data":1,"key":""}""")]
    [InlineData("""{"data":1,"key":"\ud800"}""")]
    [InlineData("""{"data":1,"event":""}""")]
    [InlineData("""{"data":1,"event":["x"]}""")]
    [InlineData("""{"data":1,"ifOffset":-1}""")]
    [InlineData("""{"data":1,"ifOffset":1.5}""")]
    [InlineData("""{"data":1,"ifOffset":9007199254740992}""")]
    [InlineData("""[{"data":1},{"date":1}]""")]
    public async Task A_body_that_is_no_message_is_a_bad_frame_and_publishes_nothing(string json)
    {
        await Http.ProblemAsync(await PostAsync(json), HttpStatusCode.BadRequest, "bad_frame");
        Assert.Contains("\"messages\":[]", await HistoryAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Limits_of_keys_events_nesting_and_text()
    {
        await Http.JsonAsync(await PostAsync($$"""{"data":1,"key":"{{new string('k', 256)}}","event":"{{new string('e', 128)}}"}"""));
        foreach (var bad in new[] { $$"""{"data":1,"key":"{{new string('k', 257)}}"}""", $$"""{"data":1,"key":"{{new string('ü', 129)}}"}""", $$"""{"data":1,"event":"{{new string('e', 129)}}"}""" })
            await Http.ProblemAsync(await PostAsync(bad), HttpStatusCode.BadRequest, "bad_frame");

        static string Nested(int depth) => new string('[', depth) + new string(']', depth);
        await Http.JsonAsync(await PostAsync($$"""{"data":{{Nested(64)}}}"""));
        await Http.JsonAsync(await PostAsync($$"""[{"data":{{Nested(64)}}}]"""));
        await Http.ProblemAsync(await PostAsync($$"""{"data":{{Nested(65)}}}"""), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(await PostAsync($$"""[{"data":{{Nested(65)}}}]"""), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(
            await SendAsync(host.Server, [.. "{\"data\":\""u8, 0xC3, 0x28, .. "\"}"u8]), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(await PostAsync("""{"data":1}""", idempotencyKey: new string('k', 300)), HttpStatusCode.BadRequest, "bad_frame");
    }

    [Fact]
    public async Task Sizes_are_limited_by_namespace_and_by_body()
    {
        await Http.JsonAsync(await PostAsync("""{"data":"12345678901234"}""", "small:1"));
        await Http.ProblemAsync(await PostAsync("""{"data":"123456789012345"}""", "small:1"), HttpStatusCode.RequestEntityTooLarge, "too_large");
        await Http.ProblemAsync(await PostAsync("""[{"data":1},{"data":"123456789012345"}]""", "small:1"), HttpStatusCode.RequestEntityTooLarge, "too_large");
        await Http.ProblemAsync(await PostAsync("""{"data64":"AAAAAAAAAAAAAAAAAAAAAAA="}""", "small:1"), HttpStatusCode.RequestEntityTooLarge, "too_large");
        await Http.JsonAsync(await PostAsync($$"""{"data":"{{new string('x', 32_766)}}"}"""));
        await Http.ProblemAsync(await PostAsync($$"""{"data":"{{new string('x', 32_767)}}"}"""), HttpStatusCode.RequestEntityTooLarge, "too_large");

        using var endless = new HttpRequestMessage(HttpMethod.Post, $"/v1/channels/{_channel}/messages") { Content = Http.Body(new byte[9 * 1024 * 1024]) };
        endless.Headers.ExpectContinue = true;
        await Http.ProblemAsync(await host.Server.SendAsync(endless), HttpStatusCode.RequestEntityTooLarge, "too_large");
    }

    [Theory]
    [InlineData("fault:timeout", HttpStatusCode.ServiceUnavailable, "unavailable")]
    [InlineData("fault:log", HttpStatusCode.ServiceUnavailable, "unavailable")]
    [InlineData("fault:silo", HttpStatusCode.ServiceUnavailable, "unavailable")]
    [InlineData("fault:bug", HttpStatusCode.InternalServerError, "internal")]
    public async Task What_is_away_is_503_and_a_fault_tells_nothing(string channel, HttpStatusCode status, string code)
    {
        await Http.ProblemAsync(await PostAsync("""{"data":1}""", channel), status, code);
        await Http.ProblemAsync(await host.Server.GetAsync($"/v1/channels/{channel}"), status, code);
        await Http.ProblemAsync(await host.Server.GetAsync($"/v1/channels/{channel}/messages"), status, code);
    }

    [Fact]
    public async Task A_client_publishes_in_its_own_name_and_only_where_it_may()
    {
        using var client = await host.ClientAsync($$"""{"{{_channel}}":["publish"]}""", user: "bob");
        await Http.JsonAsync(await SendAsync(client, "{\"data\":1,\"from\":\"eve\"}"u8.ToArray()));
        Assert.Contains("\"from\":\"bob\"", await HistoryAsync(), StringComparison.Ordinal);
        await Http.ProblemAsync(await client.GetAsync($"/v1/channels/{_channel}/messages"), HttpStatusCode.Forbidden, "forbidden");
        await Http.JsonAsync(await client.GetAsync($"/v1/channels/{_channel}"));
        await Http.ProblemAsync(await client.GetAsync("/v1/channels/elsewhere"), HttpStatusCode.Forbidden, "forbidden");
    }
}

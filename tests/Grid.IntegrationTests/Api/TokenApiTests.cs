using System.Net;

namespace Grid.IntegrationTests.Api;

[Collection("api")]
public sealed class TokenApiTests(ApiHost host)
{
    private Task<HttpResponseMessage> PostAsync(string json) => host.Server.PostAsync("/v1/tokens", Http.Body(json));

    [Fact]
    public async Task An_API_key_makes_a_token_that_works_and_says_when_it_ends()
    {
        var before = DateTimeOffset.UtcNow;
        var made = await Http.JsonAsync(await PostAsync(
            """{"user":"ana","ttlSeconds":60,"capabilities":{"room:*":["subscribe","publish","history","presence"]}}"""));
        Assert.Equal(["token", "expiresAt"], made.AsObject().Select(m => m.Key));
        var expires = (DateTimeOffset)made["expiresAt"]!;
        Assert.InRange(expires, before.AddSeconds(58), before.AddSeconds(120));

        using var client = host.With((string)made["token"]!);
        await Http.JsonAsync(await client.PostAsync("/v1/channels/room:tokens/messages", Http.Body("""{"data":1}""")));
        await Http.ProblemAsync(
            await client.PostAsync("/v1/channels/other/messages", Http.Body("""{"data":1}""")), HttpStatusCode.Forbidden, "forbidden");
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("""{"user":"ana"}""")]
    [InlineData("""{"capabilities":{}}""")]
    [InlineData("""{"user":"","capabilities":{}}""")]
    [InlineData("""{"user":7,"capabilities":{}}""")]
    [InlineData("""{"user":"a\u0007","capabilities":{}}""")]
    [InlineData("""{"user":"\ud800","capabilities":{}}""")]
    [InlineData("""{"user":"ana","user":"bob","capabilities":{}}""")]
    [InlineData("""{"user":"ana","ttlSeconds":0,"capabilities":{}}""")]
    [InlineData("""{"user":"ana","ttlSeconds":2592001,"capabilities":{}}""")]
    [InlineData("""{"user":"ana","ttlSeconds":1.5,"capabilities":{}}""")]
    [InlineData("""{"user":"ana","ttlSeconds":"60","capabilities":{}}""")]
    [InlineData("""{"user":"ana","capabilities":[]}""")]
    [InlineData("""{"user":"ana","capabilities":{"a b":["publish"]}}""")]
    [InlineData("""{"user":"ana","capabilities":{"\ud800":["publish"]}}""")]
    [InlineData("""{"user":"ana","capabilities":{"room:1":"publish"}}""")]
    [InlineData("""{"user":"ana","capabilities":{"room:1":["fly"]}}""")]
    [InlineData("""{"user":"ana","capabilities":{"room:1":[null]}}""")]
    [InlineData("""{"user":"ana","capabilities":{"room:1":[],"room:1":[]}}""")]
    [InlineData("""{"user":"ana","capabilities":{}} x""")]
    [InlineData("""{"user":"ana","capabilities":{},}""")]
    public async Task A_body_that_asks_for_nothing_valid_is_a_bad_frame(string json) =>
        await Http.ProblemAsync(await PostAsync(json), HttpStatusCode.BadRequest, "bad_frame");

    [Fact]
    public async Task Defaults_and_unknown_members()
    {
        var before = DateTimeOffset.UtcNow;
        var made = await Http.JsonAsync(await PostAsync("""{"user":"ana","capabilities":{"x*":[]},"later":{"a":[1,2]},"ttlSeconds":null}"""));
        Assert.InRange((DateTimeOffset)made["expiresAt"]!, before.AddSeconds(3598), before.AddSeconds(3660));
    }

    [Fact]
    public async Task A_client_token_makes_no_tokens_and_manages_no_sessions()
    {
        using var client = await host.ClientAsync("""{"*":["subscribe","publish","history","presence"]}""");
        await Http.ProblemAsync(
            await client.PostAsync("/v1/tokens", Http.Body("""{"user":"x","capabilities":{}}""")), HttpStatusCode.Forbidden, "forbidden");
        await Http.ProblemAsync(await client.GetAsync("/v1/sessions?user=ana"), HttpStatusCode.Forbidden, "forbidden");
        await Http.ProblemAsync(await client.DeleteAsync("/v1/sessions/s_9"), HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task A_body_too_large_is_refused_before_it_is_read()
    {
        var big = $$$"""{"user":"{{{new string('x', 70_000)}}}","capabilities":{}}""";
        await Http.ProblemAsync(await PostAsync(big), HttpStatusCode.RequestEntityTooLarge, "too_large");
        using var chunked = new HttpRequestMessage(HttpMethod.Post, "/v1/tokens") { Content = Http.Body(big) };
        chunked.Headers.TransferEncodingChunked = true;
        await Http.ProblemAsync(await host.Server.SendAsync(chunked), HttpStatusCode.RequestEntityTooLarge, "too_large");
        var many = string.Join(",", Enumerable.Range(0, 200).Select(i => $"\"{new string('c', 150)}:{i}\":[\"publish\",\"subscribe\"]"));
        await Http.ProblemAsync(
            await PostAsync($$$"""{"user":"ana","capabilities":{{{{many}}}}}"""), HttpStatusCode.RequestEntityTooLarge, "too_large");
    }
}

using System.Net;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Every wrong input is answered with a problem and a code of the contract, and changes nothing.</summary>
public sealed class WebhookInputTests(WebhookHost host) : WebhookTest(host)
{
    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("""{"url":"http://127.0.0.1:1/"}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":[]}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":["a b"]}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":["a*b"]}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":["eph:a"]}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":"a"}""")]
    [InlineData("""{"url":"http://127.0.0.1:1/","channels":["a"],"colour":"red"}""")]
    [InlineData("""{"url":"ftp://127.0.0.1/","channels":["a"]}""")]
    [InlineData("""{"url":"http://user@127.0.0.1/","channels":["a"]}""")]
    [InlineData("""{"url":"http://127.0.0.1/#f","channels":["a"]}""")]
    [InlineData("""{"url":"http://2130706433/","channels":["a"]}""")]
    [InlineData("""{"url":"http://169.254.169.254/","channels":["a"]}""")]
    [InlineData("""{"url":"/in","channels":["a"]}""")]
    [InlineData("""{"url":7,"channels":["a"]}""")]
    [InlineData("""{"channels":["a"],"mode":"fast"}""")]
    [InlineData("""{"channels":["a"],"onExhausted":"weep"}""")]
    [InlineData("""{"channels":["a"],"format":"xml"}""")]
    [InlineData("""{"channels":["a"],"keySeparator":"::"}""")]
    [InlineData("""{"channels":["a"],"events":[""]}""")]
    [InlineData("""{"channels":["a"],"headers":{"Host":"x"}}""")]
    [InlineData("""{"channels":["a"],"headers":{"webhook-id":"x"}}""")]
    [InlineData("""{"channels":["a"],"headers":{"Connection":"close"}}""")]
    [InlineData("""{"channels":["a"],"headers":{"X-A":"a\r\nX-B: b"}}""")]
    [InlineData("""{"channels":["a"],"headers":{"X-A":"1","x-a":"2"}}""")]
    [InlineData("""{"channels":["a"],"rateLimit":{"perSecond":0}}""")]
    [InlineData("""{"channels":["a"],"rateLimit":{"perSecond":10001}}""")]
    [InlineData("""{"channels":["a"],"rateLimit":7}""")]
    [InlineData("""{"channels":["a"],"retry":{"schedule":[]}}""")]
    [InlineData("""{"channels":["a"],"retry":{"schedule":[-1]}}""")]
    [InlineData("""{"channels":["a"],"retry":{"schedule":[1.5]}}""")]
    [InlineData("""{"channels":["a"],"retry":{"schedule":[259201]}}""")]
    [InlineData("""{"channels":["a"],"retry":{"schedule":[0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}""")]
    [InlineData("""{"channels":["a"],"signatures":["v2"]}""")]
    [InlineData("""{"channels":["a"],"signatures":["v1a"]}""")]
    [InlineData("""{"channels":["a"],"handshake":"yes"}""")]
    [InlineData("""{"channels":["a"],"from":"yesterday"}""")]
    [InlineData("""{"channels":["a"],"description":"a\u0000b"}""")]
    public async Task Creations_that_are_wrong_are_refused(string body) =>
        AssertProblem(await Http.PostAsync("/v1/webhooks", body), HttpStatusCode.BadRequest, "bad_frame");

    [Theory]
    [InlineData("PATCH", "", """{"url":null}""")]
    [InlineData("PATCH", "", """{"from":"now"}""")]
    [InlineData("PATCH", "", """{"secret":"whsec_x"}""")]
    [InlineData("PATCH", "", """{"channels":null}""")]
    [InlineData("PATCH", "", """{"url":"gopher://x/"}""")]
    [InlineData("PATCH", "", "7")]
    [InlineData("POST", "/rotate-secret", """{"overlapSeconds":-1}""")]
    [InlineData("POST", "/rotate-secret", """{"overlapSeconds":2592001}""")]
    [InlineData("POST", "/rotate-secret", """{"overlap":1}""")]
    [InlineData("POST", "/enable", """{"resumeFrom":"start"}""")]
    [InlineData("POST", "/enable", """{"resumeFrom":{}}""")]
    [InlineData("POST", "/enable", """{"resumeFrom":{"since":"yesterday"}}""")]
    [InlineData("POST", "/enable", """{"resumeFrom":{"positions":{"other":{"epoch":"e","offset":1}}}}""")]
    [InlineData("POST", "/seek", "")]
    [InlineData("POST", "/seek", "{}")]
    [InlineData("POST", "/seek", """{"named":"cursor"}""")]
    [InlineData("POST", "/seek", """{"named":"now","since":"2026-01-01T00:00:00Z"}""")]
    [InlineData("POST", "/seek", """{"positions":{}}""")]
    [InlineData("POST", "/seek", """{"positions":{"a b":{"epoch":"e","offset":1}}}""")]
    [InlineData("POST", "/replay", "")]
    [InlineData("POST", "/replay", """{"named":"now"}""")]
    [InlineData("POST", "/replay", """{"since":"2026-01-01T00:00:00Z","perSecond":0}""")]
    [InlineData("POST", "/replay", """{"positions":{"other":{"epoch":"e","offset":1}}}""")]
    [InlineData("POST", "/dead-letters/redrive", """{"messages":[]}""")]
    [InlineData("POST", "/dead-letters/redrive", """{"messages":["a b"]}""")]
    [InlineData("POST", "/poll", """{"limit":0}""")]
    [InlineData("POST", "/poll", """{"limit":257}""")]
    [InlineData("POST", "/poll", """{"leaseSeconds":0}""")]
    [InlineData("POST", "/poll", """{"leaseSeconds":43201}""")]
    [InlineData("POST", "/ack", "{}")]
    [InlineData("POST", "/ack", """{"acked":[""]}""")]
    [InlineData("GET", "/attempts?status=maybe", null)]
    [InlineData("GET", "/attempts?limit=0", null)]
    [InlineData("GET", "/attempts?limit=201", null)]
    [InlineData("GET", "/attempts?since=yesterday", null)]
    [InlineData("GET", "/attempts?before=", null)]
    [InlineData("GET", "/attempts?before=garbage", null)]
    [InlineData("GET", "/attempts?messageId=a%20b", null)]
    [InlineData("GET", "/dead-letters?limit=x", null)]
    [InlineData("GET", "/dead-letters?after=", null)]
    [InlineData("GET", "/dead-letters?after=garbage", null)]
    public async Task Calls_that_are_wrong_are_refused(string method, string rest, string? body)
    {
        var hook = await CreateAsync(NewChannel());
        AssertProblem(await Http.SendAsync(new HttpMethod(method), hook.Path(rest), body), HttpStatusCode.BadRequest, "bad_frame");
        Assert.Equal("active", (await hook.GetAsync()).GetProperty("status").GetString());
    }

    [Theory]
    [InlineData("GET", "/v1/webhooks?limit=0", null, 400)]
    [InlineData("GET", "/v1/webhooks?limit=101", null, 400)]
    [InlineData("GET", "/v1/webhooks?after=x", null, 400)]
    [InlineData("GET", "/v1/webhooks/x", null, 404)]
    [InlineData("GET", "/v1/webhooks/wh_nobody", null, 404)]
    [InlineData("PATCH", "/v1/webhooks/wh_nobody", "{}", 404)]
    [InlineData("POST", "/v1/webhooks/wh_nobody/test", "", 404)]
    [InlineData("POST", "/v1/webhooks/wh_nobody/poll", "", 404)]
    [InlineData("POST", "/v1/webhooks/wh_nobody/dance", "", 404)]
    [InlineData("GET", "/v1/webhooks/wh_nobody/replay", null, 405)]
    public async Task What_is_not_there_is_told(string method, string path, string? body, int status) =>
        AssertProblem(await Http.SendAsync(new HttpMethod(method), path, body), (HttpStatusCode)status, "bad_frame");

    [Fact]
    public async Task What_is_not_there_of_a_webhook_is_told()
    {
        var hook = await CreateAsync(NewChannel());
        foreach (var (method, rest) in new[]
        {
            (HttpMethod.Post, "/messages/msg_none/resend"), (HttpMethod.Post, "/messages/msg_none/skip"), (HttpMethod.Get, "/replays/rp_none"),
            (HttpMethod.Delete, "/replays/rp_none"),
        })
        {
            AssertProblem(await Http.SendAsync(method, hook.Path(rest), ""), HttpStatusCode.NotFound, "bad_frame");
        }

        var large = $$"""{"description":"{{new string('x', 200_000)}}"}""";
        AssertProblem(await Http.SendAsync(HttpMethod.Patch, hook.Path(), large), HttpStatusCode.RequestEntityTooLarge, "too_large");
        AssertProblem(
            await Http.PostAsync("/v1/webhooks", $$"""{"url":"{{Inbox.Url}}","channels":["nohist:a"],"from":"start"}"""), HttpStatusCode.Forbidden, "forbidden");
    }
}

using System.Net;
using System.Text;
using Grid.Client;
using Grid.Protocol;

namespace Grid.UnitTests.Client;

public class GridServerClientTests
{
    [Fact]
    public async Task Mints_a_token()
    {
        using var handler = new FakeHandler("""{"token":"T","expiresAt":"2026-11-24T03:00:00Z"}""");
        var minted = await Client(handler).MintTokenAsync(
            "ana", TimeSpan.FromHours(1), new Dictionary<string, IReadOnlyList<string>> { ["room:*"] = ["subscribe", "publish"] });
        Assert.Equal(new MintedToken("T", new DateTimeOffset(2026, 11, 24, 3, 0, 0, TimeSpan.Zero)), minted);
        Assert.Equal("POST http://localhost:1/v1/tokens Bearer K", handler.Request);
        Assert.Equal("""{"user":"ana","ttlSeconds":3600,"capabilities":{"room:*":["subscribe","publish"]}}""", handler.Body);
    }

    [Fact]
    public async Task Publishes_json_and_bytes()
    {
        using var handler = new FakeHandler("""{"epoch":"e","offset":4,"duplicate":true}""");
        var receipt = await Client(handler).PublishAsync("room:1", Payload.Json("{\"a\": 1}"u8.ToArray()), key: "k", eventName: "x");
        Assert.Equal(new PublishReceipt("e", 4, true), receipt);
        Assert.Equal("POST http://localhost:1/v1/channels/room%3A1/messages Bearer K", handler.Request);
        Assert.Equal("""{"data":{"a": 1},"key":"k","event":"x"}""", handler.Body);
        await Client(handler).PublishAsync("room:1", Payload.Binary(new byte[] { 0, 255 }));
        Assert.Equal("""{"data64":"AP8="}""", handler.Body);
        await Assert.ThrowsAsync<ArgumentException>(() => Client(handler).PublishAsync("no channel", Payload.Json("1"u8.ToArray())));
    }

    [Fact]
    public async Task Reads_history()
    {
        using var handler = new FakeHandler(
            """{"epoch":"e","oldest":2,"head":3,"messages":[{"offset":2,"at":5,"data":{"b" : 2},"key":"k"},{"offset":3,"at":6,"data64":"AP8=","from":"ana"}]}""");
        var page = await Client(handler).GetMessagesAsync("room:1", after: 1, limit: 2);
        Assert.Equal("GET http://localhost:1/v1/channels/room%3A1/messages?after=1&limit=2 Bearer K", handler.Request);
        Assert.Equal(("e", 2L, 3L), (page.Epoch, page.Oldest, page.Head));
        Assert.Equal("{\"b\" : 2}", Encoding.UTF8.GetString(page.Messages[0].Payload.Bytes.Span));
        Assert.Equal(("k", null, 2L), (page.Messages[0].Key, page.Messages[0].From, page.Messages[0].Offset));
        Assert.True(page.Messages[1].Payload.IsBinary);
        Assert.Equal("ana", page.Messages[1].From);
    }

    [Theory]
    [InlineData(403, """{"title":"no","code":"forbidden"}""", "forbidden", false)]
    [InlineData(503, """{"detail":"away","code":"unavailable"}""", "unavailable", true)]
    [InlineData(502, "<html>", "unavailable", true)]
    [InlineData(404, "[]", "bad_frame", false)]
    [InlineData(200, "<html>", "protocol", false)]
    [InlineData(200, "{}", "protocol", false)]
    [InlineData(200, "[1]", "protocol", false)]
    public async Task Refusals_are_errors_with_a_code(int status, string body, string code, bool unknown)
    {
        using var handler = new FakeHandler(body, (HttpStatusCode)status);
        var error = await Client(handler).PublishAsync("a", Payload.Json("1"u8.ToArray())).FailureAsync();
        Assert.Equal((code, unknown), (error.Code, error.OutcomeUnknown));
        Assert.Equal(status == 503 ? TimeSpan.FromSeconds(7) : null, error.RetryAfter);
    }

    private static GridServerClient Client(FakeHandler handler) =>
        new(new HttpClient(handler, disposeHandler: false), new Uri("http://localhost:1"), "K");

    private sealed class FakeHandler(string answer, HttpStatusCode status = HttpStatusCode.OK) : HttpMessageHandler
    {
        public string? Request { get; private set; }

        public string? Body { get; private set; }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Request = $"{request.Method} {request.RequestUri!.AbsoluteUri} {request.Headers.Authorization}";
            Body = request.Content is null ? null : await request.Content.ReadAsStringAsync(cancellationToken);
            var response = new HttpResponseMessage(status) { Content = new StringContent(answer) };
            if (status == HttpStatusCode.ServiceUnavailable) response.Headers.RetryAfter = new(TimeSpan.FromSeconds(7));
            return response;
        }
    }
}

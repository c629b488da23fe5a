using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Grid.Protocol;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Signing;
using Grid.Testing;
using Grid.Testing.Sdk;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Signatures and formats over real HTTP, judged by packages that others wrote.</summary>
public sealed class WebhookInteropTests(WebhookInteropTests.Receiver fixture) : IClassFixture<WebhookInteropTests.Receiver>
{
    private static readonly WebhookFormats Formats = new(new Uri("https://grid.example.com"));
    private readonly WebhookSecret _old = fixture.Old;
    private readonly WebhookSecret _secret = fixture.Secret;
    private readonly WebhookSecret _pair = fixture.Pair;

    [Theory]
    [InlineData("json")]
    [InlineData("cloudevents")]
    [InlineData("cloudevents-binary")]
    public async Task Signatures_are_right_for_the_secrets_that_are_valid_and_no_others(string format)
    {
        var now = DateTimeOffset.UtcNow;
        var overlapping = SecretSet.Create(_old).Rotate(TimeSpan.FromHours(1), now, _secret, _pair);
        var ended = SecretSet.Create(_old).Rotate(TimeSpan.FromHours(1), now.AddHours(-1), _secret, _pair);
        var message = Of("""{"text":"größe 😀 \u00e4","n":1.50}""");
        foreach (var (secrets, oldIsValid) in new[] { (overlapping, true), (ended, false) })
        {
            var answer = await PostAsync(format, message, secrets, now);
            Assert.Equal([oldIsValid, true], answer.GetProperty("standardwebhooks").EnumerateArray().Select(IsOk));
            Assert.Equal([oldIsValid, true, true], answer.GetProperty("sdk").EnumerateArray().Select(IsOk));
            Assert.Equal(message.Id, answer.GetProperty("sdk")[1].GetProperty("ok").GetProperty("id").GetString());
        }
    }

    [Theory]
    [InlineData("json", 0)]
    [InlineData("cloudevents", 0)]
    [InlineData("cloudevents-binary", 0)]
    [InlineData("json", 301)]
    [InlineData("json", -302)]
    public async Task A_changed_body_and_another_time_are_refused(string format, int late)
    {
        var answer = await PostAsync(
            format, Of("""{"n":1}"""), SecretSet.Create(_secret, _pair), DateTimeOffset.UtcNow.AddSeconds(-late), change: late == 0);
        Assert.DoesNotContain(answer.GetProperty("standardwebhooks").EnumerateArray(), IsOk);
        Assert.DoesNotContain(answer.GetProperty("sdk").EnumerateArray(), IsOk);
        Assert.Equal(
            late switch { 0 => "WebhookError: no_matching_signature", > 0 => "WebhookError: too_old", _ => "WebhookError: too_new" },
            answer.GetProperty("sdk")[1].GetProperty("error").GetString());
    }

    [Fact]
    public async Task The_envelope_is_read_as_the_specification_recommends_it()
    {
        var answer = await PostAsync("json", Of("""{"n":1}"""), SecretSet.Create(_secret), DateTimeOffset.UtcNow);
        var read = answer.GetProperty("standardwebhooks")[1].GetProperty("ok");
        Assert.Equal("""{"type":"order.created","timestamp":"2026-11-23T16:51:14.123Z","data":{"n":1}}""", read.GetRawText());
    }

    [Theory]
    [InlineData("cloudevents", """{"n":1,"text":"größe"}""")]
    [InlineData("cloudevents-binary", """{"n":1,"text":"größe"}""")]
    [InlineData("cloudevents", "[1,null]")]
    [InlineData("cloudevents-binary", "[1,null]")]
    public async Task A_cloud_event_has_all_attributes_and_the_payload(string format, string json)
    {
        var message = Of(json);
        var answer = await PostAsync(format, message, SecretSet.Create(_secret), DateTimeOffset.UtcNow);
        var read = Event(answer);
        AssertAttributes(format, message, read, "application/json");
        Assert.True(JsonElement.DeepEquals(JsonElement.Parse(json), read.GetProperty("data")));
    }

    [Theory]
    [InlineData("cloudevents")]
    [InlineData("cloudevents-binary")]
    public async Task A_cloud_event_of_bytes_is_read_as_bytes(string format)
    {
        byte[] bytes = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        var message = Of(Payload.Binary(bytes));
        var answer = await PostAsync(format, message, SecretSet.Create(_secret, _pair), DateTimeOffset.UtcNow);
        AssertAttributes(format, message, Event(answer), "application/octet-stream");
        Assert.Equal(bytes, Event(answer).GetProperty("data").GetBytesFromBase64());
        // The SDK checks bytes; the package "standardwebhooks" reads every body as text, and bytes that are none are lost on it.
        Assert.True(IsOk(answer.GetProperty("sdk")[1]));
        Assert.True(IsOk(answer.GetProperty("sdk")[2]));
    }

    private static WebhookMessage Of(string json) => Of(Payload.Json(Encoding.UTF8.GetBytes(json)));

    private static WebhookMessage Of(Payload payload) => WebhookMessage.At("orders:eu.1", "0123456789abcdef", new Message
    {
        Offset = 9_007_199_254_740_991, At = 1795452674123, Payload = payload, Event = "order.created", Key = "Euro € 😀 100%",
    });

    private static bool IsOk(JsonElement outcome) => outcome.TryGetProperty("ok", out _);

    private static JsonElement Event(JsonElement answer) =>
        answer.GetProperty("event").TryGetProperty("ok", out var read) ? read : throw new TestFailedException(answer.GetRawText());

    private static void AssertAttributes(string format, WebhookMessage message, JsonElement read, string contentType)
    {
        Assert.Equal("1.0", Text("specversion"));
        Assert.Equal(message.Id, Text("id"));
        Assert.Equal("https://grid.example.com/v1/channels/orders:eu.1", Text("source"));
        Assert.Equal("order.created", Text("type"));
        Assert.Equal("2026-11-23T16:51:14.123Z", Text("time"));
        Assert.Equal(contentType, Text("datacontenttype"));
        Assert.Equal("orders:eu.1", Text("gridchannel"));
        Assert.Equal("0123456789abcdef", Text("gridepoch"));
        Assert.Equal("9007199254740991", Text("gridoffset"));
        // The package hands headers on without the decoding that the binding asks of it.
        var key = message.Message.Key!;
        Assert.Equal(format == "cloudevents" ? key : CloudEventsBinaryFormat.EncodeValue(key), Text("gridkey"));

        string? Text(string name) => read.GetProperty(name).GetString();
    }

    private async Task<JsonElement> PostAsync(
        string format, WebhookMessage message, SecretSet secrets, DateTimeOffset now, bool change = false)
    {
        var content = Formats.Find(format)!.Format(message);
        var signed = StandardWebhooksSigner.Sign(message.Id, content.Body.Span, secrets, now);
        var body = content.Body.ToArray();
        if (change) body[^2] ^= 1;
        using var request = new HttpRequestMessage(HttpMethod.Post, fixture.Address) { Content = new ByteArrayContent(body) };
        request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(content.ContentType);
        request.Headers.Add(WebhookHeaders.Id, signed.Id);
        request.Headers.Add(WebhookHeaders.Timestamp, signed.Timestamp);
        request.Headers.Add(WebhookHeaders.Signature, signed.Signature);
        foreach (var (name, value) in content.Headers) request.Headers.Add(name, value);
        using var deadline = TestDeadline.In(30);
        using var response = await fixture.Http.SendAsync(request, deadline.Token);
        return JsonElement.Parse(await response.Content.ReadAsByteArrayAsync(deadline.Token));
    }

    /// <summary>A receiver that knows an earlier secret, the current one and a public key.</summary>
    public sealed class Receiver : IAsyncLifetime
    {
        private NodeWebhookReceiver? _node;

        internal HttpClient Http { get; } = new();

        internal WebhookSecret Old { get; } = WebhookSecret.Generate();

        internal WebhookSecret Secret { get; } = WebhookSecret.Generate();

        internal WebhookSecret Pair { get; } = WebhookSecret.Generate(WebhookSecretKind.Ed25519);

        internal Uri Address => _node!.Address;

        public async Task InitializeAsync()
        {
            using var deadline = TestDeadline.In(60);
            _node = await NodeWebhookReceiver.StartAsync([Old.Reveal(), Secret.Reveal(), Pair.PublicKey()!], deadline);
        }

        public async Task DisposeAsync()
        {
            Http.Dispose();
            if (_node is not null) await _node.DisposeAsync();
        }
    }
}

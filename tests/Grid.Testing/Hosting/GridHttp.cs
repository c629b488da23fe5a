using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Hosting;

/// <summary>An HTTP answer.</summary>
/// <param name="Status">Its status.</param>
/// <param name="ContentType">Its media type.</param>
/// <param name="Text">Its body.</param>
public sealed record HttpAnswer(HttpStatusCode Status, string? ContentType, string Text)
{
    /// <summary>The body as JSON.</summary>
    public JsonElement Json => JsonElement.Parse(Text);

    /// <summary>The headers.</summary>
    public required HttpResponseHeaders Headers { get; init; }

    /// <summary>This answer, if its status is 2xx.</summary>
    public HttpAnswer Ok() => (int)Status is >= 200 and < 300 ? this : throw new TestFailedException($"{(int)Status} {Text}");
}

/// <summary>The HTTP endpoints of the contract, called with plain strings.</summary>
public sealed class GridHttp : IDisposable
{
    private readonly HttpClient _http;

    /// <summary>Makes a caller.</summary>
    /// <param name="address">The host.</param>
    /// <param name="credential">The API key or token for <c>Authorization: Bearer</c>; null for none.</param>
    public GridHttp(Uri address, string? credential)
    {
        _http = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromSeconds(60) };
        if (credential is not null) _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", credential);
    }

    /// <summary>Sends a request with a JSON text as its body.</summary>
    public async Task<HttpAnswer> SendAsync(
        HttpMethod method, string path, string? body = null, params IEnumerable<KeyValuePair<string, string>> headers)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative));
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        using var answer = await _http.SendAsync(request).ConfigureAwait(false);
        var text = await answer.Content.ReadAsStringAsync().ConfigureAwait(false);
        return new HttpAnswer(answer.StatusCode, answer.Content.Headers.ContentType?.MediaType, text) { Headers = answer.Headers };
    }

    /// <summary>GET.</summary>
    public Task<HttpAnswer> GetAsync(string path) => SendAsync(HttpMethod.Get, path);

    /// <summary>POST.</summary>
    public Task<HttpAnswer> PostAsync(string path, string body, params IEnumerable<KeyValuePair<string, string>> headers) =>
        SendAsync(HttpMethod.Post, path, body, headers);

    /// <summary>The path of a channel.</summary>
    public static string ChannelPath(string channel, string rest = "") => $"/v1/channels/{Uri.EscapeDataString(channel)}{rest}";

    /// <summary>Makes a client token; by default one that may do everything everywhere.</summary>
    public async Task<string> TokenAsync(string user, string capabilities = """{"*":["subscribe","publish","history","presence"]}""", int ttlSeconds = 3600)
    {
        var body = $$"""{"user":{{JsonSerializer.Serialize(user)}},"ttlSeconds":{{ttlSeconds}},"capabilities":{{capabilities}}}""";
        var answer = (await PostAsync("/v1/tokens", body).ConfigureAwait(false)).Ok();
        return answer.Json.GetProperty("token").GetString()!;
    }

    /// <summary>Publishes one message; <paramref name="payload"/> as in <see cref="ClientFrames.Publish"/>.</summary>
    public async Task<RawPosition> PublishAsync(string channel, string payload, string? key = null)
    {
        var data = payload.StartsWith("base64:", StringComparison.Ordinal)
            ? $"\"data64\":{JsonSerializer.Serialize(payload["base64:".Length..])}"
            : $"\"data\":{payload}";
        var body = $"{{{data}{(key is null ? "" : $",\"key\":{JsonSerializer.Serialize(key)}")}}}";
        var answer = (await PostAsync(ChannelPath(channel, "/messages"), body).ConfigureAwait(false)).Ok();
        return new RawPosition(answer.Json.GetProperty("epoch").GetString()!, answer.Json.GetProperty("offset").GetInt64());
    }

    /// <summary>Reads all that is stored of a channel, page by page.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="pageSize">Messages per page, 1 to 1,000.</param>
    public async Task<StoredChannel> HistoryAsync(string channel, int pageSize = 1000)
    {
        var messages = new List<StoredMessage>();
        long after = 0, oldest = 0, head = 0;
        var epoch = "";
        while (true)
        {
            var page = (await GetAsync(ChannelPath(channel, $"/messages?after={after}&limit={pageSize}")).ConfigureAwait(false)).Ok().Json;
            epoch = page.GetProperty("epoch").GetString()!;
            oldest = page.GetProperty("oldest").GetInt64();
            head = page.GetProperty("head").GetInt64();
            var count = 0;
            foreach (var item in page.GetProperty("messages").EnumerateArray())
            {
                var offset = item.GetProperty("offset").GetInt64();
                var key = item.TryGetProperty("key", out var k) ? k.GetString() : null;
                messages.Add(new StoredMessage(offset, key, RawFrame.PayloadOf(item) ?? ""));
                after = Math.Max(after, offset);
                count++;
            }

            if (count == 0 || after >= head) return new StoredChannel(channel, epoch, oldest, head, messages);
        }
    }

    /// <summary>Opens a channel's Server-Sent Events.</summary>
    public async Task<SseReader> EventsAsync(string channel, string? lastEventId = null, string query = "")
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(ChannelPath(channel, "/events" + query), UriKind.Relative));
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        if (lastEventId is not null) request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead).ConfigureAwait(false);
        return new SseReader(answer);
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();
}

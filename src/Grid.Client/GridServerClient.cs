using System.Globalization;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Grid.Protocol;

namespace Grid.Client;

/// <summary>A client token, minted for a user.</summary>
/// <param name="Token">What the user's client connects with. A secret.</param>
/// <param name="ExpiresAt">When it expires.</param>
public sealed record MintedToken(string Token, DateTimeOffset ExpiresAt);

/// <summary>A page of a channel's history.</summary>
/// <param name="Epoch">The channel's epoch.</param>
/// <param name="Oldest">The oldest offset kept.</param>
/// <param name="Head">The last offset; 0 for an empty channel.</param>
/// <param name="Messages">The messages, by rising offset.</param>
public sealed record ChannelPage(string Epoch, long Oldest, long Head, IReadOnlyList<GridMessage> Messages);

/// <summary>
/// The HTTP side of Grid for an application's own server, with an API key: mint tokens, publish, read history, manage webhooks. It
/// retries nothing; a publish with a key can be repeated safely.
/// </summary>
public sealed partial class GridServerClient
{
    private readonly HttpClient _http;
    private readonly Uri _base;
    private readonly string _apiKey;

    /// <summary>Makes a client.</summary>
    /// <param name="http">Sends the requests; the caller owns it. Its timeout and size limits apply.</param>
    /// <param name="server">The server's address, for example <c>http://localhost:8080</c>.</param>
    /// <param name="apiKey">The API key. A secret.</param>
    public GridServerClient(HttpClient http, Uri server, string apiKey)
    {
        ArgumentNullException.ThrowIfNull(http);
        ArgumentNullException.ThrowIfNull(server);
        ArgumentException.ThrowIfNullOrEmpty(apiKey);
        _http = http;
        _base = server.AbsoluteUri.EndsWith('/') ? server : new Uri(server.AbsoluteUri + "/");
        _apiKey = apiKey;
    }

    /// <summary>Mints a client token.</summary>
    /// <param name="user">The user it speaks for.</param>
    /// <param name="timeToLive">How long it lives; whole seconds.</param>
    /// <param name="capabilities">
    /// What it may do, by channel or prefix ending in <c>*</c>: <c>subscribe</c>, <c>publish</c>, <c>history</c>, <c>presence</c>.
    /// </param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <exception cref="GridException">The server's refusal.</exception>
    /// <exception cref="HttpRequestException">The server was not reached.</exception>
    public async Task<MintedToken> MintTokenAsync(
        string user,
        TimeSpan timeToLive,
        IReadOnlyDictionary<string, IReadOnlyList<string>> capabilities,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(user);
        ArgumentNullException.ThrowIfNull(capabilities);
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            writer.WriteString("user", user);
            writer.WriteNumber("ttlSeconds", (long)timeToLive.TotalSeconds);
            writer.WriteStartObject("capabilities");
            foreach (var (pattern, actions) in capabilities)
            {
                writer.WriteStartArray(pattern);
                foreach (var action in actions) writer.WriteStringValue(action);
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, "v1/tokens", body, cancellationToken);
        return Read(answer, root => new MintedToken(root.GetProperty("token").GetString()!, root.GetProperty("expiresAt").GetDateTimeOffset()));
    }

    /// <summary>Publishes a message; the answer means that, on a durable channel, it is on disk.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="payload">What to publish. The caller warrants that JSON is one well-formed value.</param>
    /// <param name="key">Makes the publish idempotent.</param>
    /// <param name="eventName">The kind of event.</param>
    /// <param name="cancellationToken">Ends the waiting; the message may be stored all the same.</param>
    /// <exception cref="GridException">The server's refusal.</exception>
    /// <exception cref="HttpRequestException">The server was not reached, or its answer was lost.</exception>
    public async Task<PublishReceipt> PublishAsync(
        string channel, Payload payload, string? key = null, string? eventName = null, CancellationToken cancellationToken = default)
    {
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            if (payload.IsBinary)
            {
                writer.WriteBase64String("data64", payload.Bytes.Span);
            }
            else
            {
                writer.WritePropertyName("data");
                writer.WriteRawValue(payload.Bytes.Span);
            }

            if (key is not null) writer.WriteString("key", key);
            if (eventName is not null) writer.WriteString("event", eventName);
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, $"{PathOf(channel)}/messages", body, cancellationToken);
        return Read(answer, root => new PublishReceipt(
            root.GetProperty("epoch").GetString()!, root.GetProperty("offset").GetInt64(), root.GetProperty("duplicate").GetBoolean()));
    }

    /// <summary>Reads a page of a channel's history.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="after">The page begins after this offset; 0 for the oldest kept.</param>
    /// <param name="limit">The most messages to return, 1 to 1,000.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <exception cref="GridException">The server's refusal.</exception>
    /// <exception cref="HttpRequestException">The server was not reached.</exception>
    public async Task<ChannelPage> GetMessagesAsync(
        string channel, long after = 0, int limit = 100, CancellationToken cancellationToken = default)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"{PathOf(channel)}/messages?after={after}&limit={limit}");
        using var answer = await SendAsync(HttpMethod.Get, path, null, cancellationToken);
        return Read(answer, root =>
        {
            var epoch = root.GetProperty("epoch").GetString()!;
            return new ChannelPage(
                epoch,
                root.GetProperty("oldest").GetInt64(),
                root.GetProperty("head").GetInt64(),
                [.. root.GetProperty("messages").EnumerateArray().Select(item => ReadMessage(channel, epoch, item))]);
        });
    }

    private static GridMessage ReadMessage(string channel, string epoch, JsonElement item) => new(channel, epoch, new Message
    {
        Offset = item.GetProperty("offset").GetInt64(),
        At = item.GetProperty("at").GetInt64(),
        Payload = item.TryGetProperty("data64", out var bytes)
            ? Payload.Binary(bytes.GetBytesFromBase64())
            : Payload.Json(JsonMarshal.GetRawUtf8Value(item.GetProperty("data")).ToArray()),
        Key = Text(item, "key"),
        Event = Text(item, "event"),
        From = Text(item, "from"),
    });

    private static string? Text(JsonElement item, string name) => item.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static string PathOf(string channel)
    {
        ArgumentNullException.ThrowIfNull(channel);
        return ChannelName.IsValid(channel)
            ? $"v1/channels/{Uri.EscapeDataString(channel)}"
            : throw new ArgumentException("A channel name is 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -", nameof(channel));
    }

    private static ByteArrayContent Write(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream)) write(writer);
        return new ByteArrayContent(stream.ToArray()) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
    }

    private static T Read<T>(JsonDocument answer, Func<JsonElement, T> read)
    {
        try
        {
            return read(answer.RootElement);
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new GridException(GridErrorCodes.Protocol, "The server's answer is not what the contract says.", e);
        }
    }

    private async Task<JsonDocument> SendAsync(HttpMethod method, string path, HttpContent? body, CancellationToken cancellationToken)
    {
        using var response = await SendAsync(method, path, body, HttpCompletionOption.ResponseContentRead, cancellationToken);
        try
        {
            return JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
        }
        catch (JsonException e)
        {
            throw new GridException(GridErrorCodes.Protocol, "The server's answer is no JSON.", e);
        }
    }

    /// <summary>Sends a request; the answer is a success, and the caller's to dispose.</summary>
    private async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, HttpContent? body, HttpCompletionOption completion, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, new Uri(_base, path)) { Content = body };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _apiKey);
        var response = await _http.SendAsync(request, completion, cancellationToken);
        if (response.IsSuccessStatusCode) return response;
        using (response)
        {
            JsonDocument? document = null;
            try
            {
                document = JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync(cancellationToken));
            }
            catch (JsonException)
            {
                // An error of something in between, such as a proxy: the status code says enough.
            }

            using (document) throw Refusal(response, document);
        }
    }

    private static GridException Refusal(HttpResponseMessage response, JsonDocument? problem)
    {
        var root = problem?.RootElement is { ValueKind: JsonValueKind.Object } found ? found : default;
        var status = (int)response.StatusCode;
        var code = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("code", out var given) && given.ValueKind == JsonValueKind.String
            ? given.GetString()!
            : (status switch
            {
                401 => ErrorCode.Unauthorized,
                403 => ErrorCode.Forbidden,
                413 => ErrorCode.TooLarge,
                429 => ErrorCode.RateLimited,
                502 or 503 or 504 => ErrorCode.Unavailable,
                < 500 => ErrorCode.BadFrame,
                _ => ErrorCode.Internal,
            }).Name();
        var detail = root.ValueKind == JsonValueKind.Object && (root.TryGetProperty("detail", out var text) || root.TryGetProperty("title", out text))
            ? text.ToString()
            : response.ReasonPhrase;
        return new GridException(code, $"{status}: {detail}")
        {
            RetryAfter = response.Headers.RetryAfter?.Delta,
            OutcomeUnknown = status >= 500,
        };
    }
}

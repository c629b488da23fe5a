using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Grid.Client.Webhooks;

namespace Grid.Client;

/// <content>
/// Webhooks. Everything needs an API key with <c>subscribe</c> on all channels of the subscription. A subscription, message or replay that does not
/// exist is a <see cref="GridException"/> with the code <c>bad_frame</c>; one that is in another state, <c>conflict</c>.
/// </content>
public sealed partial class GridServerClient
{
    private const string WebhooksPath = "v1/webhooks";

    /// <summary>
    /// Makes a subscription: what is acknowledged to its publisher from now on is delivered. If the answer is lost it may have been made all the
    /// same: list before you try again.
    /// </summary>
    /// <returns>The subscription, with its secret.</returns>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> CreateWebhookAsync(WebhookSettings settings, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return WebhookAsync(
            HttpMethod.Post, WebhooksPath, Write(w => JsonSerializer.Serialize(w, settings, WebhookJson.Default.WebhookSettings)),
            WebhookJson.Default.Webhook, cancellationToken);
    }

    /// <summary>Lists the tenant's subscriptions in the order of their creation, without cursors; pages are fetched as they are asked for.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public IAsyncEnumerable<Webhook> ListWebhooksAsync(CancellationToken cancellationToken = default) => PagesAsync(
        $"{WebhooksPath}?limit=100", "after", WebhookJson.Default.WebhookPage, static p => (p.Webhooks, p.Next), cancellationToken);

    /// <summary>Tells how a subscription fares.</summary>
    /// <exception cref="GridException">The server's refusal.</exception>
    /// <exception cref="HttpRequestException">The server was not reached, or its answer was lost.</exception>
    public Task<Webhook> GetWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Get, PathOfWebhook(id), null, WebhookJson.Default.Webhook, cancellationToken);

    /// <summary>Changes a subscription; cursors stay.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> UpdateWebhookAsync(string id, WebhookChange change, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            foreach (var member in JsonSerializer.SerializeToElement(change, WebhookJson.Default.WebhookChange).EnumerateObject()) member.WriteTo(writer);
            foreach (var name in change.Reset) writer.WriteNull(name);
            writer.WriteEndObject();
        });
        return WebhookAsync(HttpMethod.Patch, PathOfWebhook(id), body, WebhookJson.Default.Webhook, cancellationToken);
    }

    /// <summary>Removes a subscription with all that is stored of it.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task DeleteWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        DoAsync(HttpMethod.Delete, PathOfWebhook(id), null, cancellationToken);

    /// <summary>Makes a new secret.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="overlap">How long the old secret signs as well: whole seconds, up to 30 days. Default: a day.</param>
    /// <param name="cancellationToken">Ends the request; the secret may be replaced all the same.</param>
    /// <returns>The new secret, which is never shown again.</returns>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public async Task<string> RotateWebhookSecretAsync(string id, TimeSpan? overlap = null, CancellationToken cancellationToken = default)
    {
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            if (overlap is { } time) writer.WriteNumber("overlapSeconds", (long)time.TotalSeconds);
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, PathOfWebhook(id, "/rotate-secret"), body, cancellationToken);
        return Read(answer, root => root.GetProperty("secret").GetString()!);
    }

    /// <summary>Sends a <c>grid.test</c> event to the endpoint now, and returns what became of it.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<WebhookAttempt> TestWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/test"), null, WebhookJson.Default.WebhookAttempt, cancellationToken);

    /// <summary>Stops deliveries, and keeps everything.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> PauseWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/pause"), null, WebhookJson.Default.Webhook, cancellationToken);

    /// <summary>Goes on after a pause.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> ResumeWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/resume"), null, WebhookJson.Default.Webhook, cancellationToken);

    /// <summary>Switches a subscription off; cursors and backlog stay, within retention.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> DisableWebhookAsync(string id, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/disable"), null, WebhookJson.Default.Webhook, cancellationToken);

    /// <summary>Switches a subscription on again.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="from">From where. Default: <see cref="WebhookStart.Cursor"/>.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<Webhook> EnableWebhookAsync(string id, WebhookStart? from = null, CancellationToken cancellationToken = default)
    {
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            if (from?.Named is { } named)
            {
                writer.WriteString("resumeFrom", named);
            }
            else if (from is not null)
            {
                writer.WriteStartObject("resumeFrom");
                WriteStart(writer, from);
                writer.WriteEndObject();
            }

            writer.WriteEndObject();
        });
        return WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/enable"), body, WebhookJson.Default.Webhook, cancellationToken);
    }

    /// <summary>Moves cursors: everything after these places is delivered (again), nothing before them.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task SeekWebhookAsync(string id, WebhookStart to, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(to);
        return DoAsync(HttpMethod.Post, PathOfWebhook(id, "/seek"), StartBody(to), cancellationToken);
    }

    /// <summary>Sends one message again, whatever became of it.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task ResendWebhookMessageAsync(string id, string messageId, CancellationToken cancellationToken = default) =>
        DoAsync(HttpMethod.Post, PathOfWebhook(id, $"/messages/{Escaped(messageId)}/resend"), null, cancellationToken);

    /// <summary>Gives up one message; what waits for it goes on.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task SkipWebhookMessageAsync(string id, string messageId, CancellationToken cancellationToken = default) =>
        DoAsync(HttpMethod.Post, PathOfWebhook(id, $"/messages/{Escaped(messageId)}/skip"), null, cancellationToken);

    /// <summary>Lists attempts, newest first; pages are fetched as they are asked for.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public IAsyncEnumerable<WebhookAttempt> ListWebhookAttemptsAsync(
        string id, WebhookAttemptFilter? filter = null, CancellationToken cancellationToken = default)
    {
        filter ??= new WebhookAttemptFilter();
        var query = string.Create(CultureInfo.InvariantCulture, $"/attempts?limit={filter.PageSize}");
        if (filter.Succeeded is { } succeeded) query += succeeded ? "&status=succeeded" : "&status=failed";
        if (filter.MessageId is { } messageId) query += $"&messageId={Escaped(messageId)}";
        if (filter.Since is { } since) query += $"&since={Escaped(since.UtcDateTime.ToString("O", CultureInfo.InvariantCulture))}";
        if (filter.Until is { } until) query += $"&until={Escaped(until.UtcDateTime.ToString("O", CultureInfo.InvariantCulture))}";
        return PagesAsync(PathOfWebhook(id, query), "before", WebhookJson.Default.WebhookAttemptPage, static p => (p.Attempts, p.Next), cancellationToken);
    }

    /// <summary>Lists messages whose attempts are used up, newest first; pages are fetched as they are asked for.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public IAsyncEnumerable<WebhookDeadLetter> ListWebhookDeadLettersAsync(string id, CancellationToken cancellationToken = default) => PagesAsync(
        PathOfWebhook(id, "/dead-letters?limit=200"), "after", WebhookJson.Default.WebhookDeadLetterPage, static p => (p.DeadLetters, p.Next), cancellationToken);

    /// <summary>Writes all dead letters to a stream, a JSON object on each line, with their messages as far as they are kept.</summary>
    /// <exception cref="IOException">The server broke off: the stream has a part of them.</exception>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public async Task ExportWebhookDeadLettersAsync(string id, Stream destination, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        using var response = await SendAsync(
            HttpMethod.Get, PathOfWebhook(id, "/dead-letters/export"), null, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        await using var body = await response.Content.ReadAsStreamAsync(cancellationToken);
        await body.CopyToAsync(destination, cancellationToken);
    }

    /// <summary>Puts dead letters on their way again.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="messageIds">Which, up to 1,000. Null: all.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <returns>How many.</returns>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public async Task<int> RedriveWebhookDeadLettersAsync(
        string id, IReadOnlyCollection<string>? messageIds = null, CancellationToken cancellationToken = default)
    {
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            if (messageIds is not null) WriteTexts(writer, "messages", messageIds);
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, PathOfWebhook(id, "/dead-letters/redrive"), body, cancellationToken);
        return Read(answer, root => root.GetProperty("redriven").GetInt32());
    }

    /// <summary>Delivers what matches from a place on once more, beside what is new.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="from">From where: a time, or places.</param>
    /// <param name="perSecond">The most messages per second, 0.01 to 10,000. Null: the server's choice.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<WebhookReplay> ReplayWebhookAsync(
        string id, WebhookStart from, double? perSecond = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(from);
        return WebhookAsync(HttpMethod.Post, PathOfWebhook(id, "/replay"), StartBody(from, perSecond), WebhookJson.Default.WebhookReplay, cancellationToken);
    }

    /// <summary>Tells how far a replay is: while it lasts, and until the next one.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<WebhookReplay> GetWebhookReplayAsync(string id, string replayId, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Get, PathOfWebhook(id, $"/replays/{Escaped(replayId)}"), null, WebhookJson.Default.WebhookReplay, cancellationToken);

    /// <summary>Ends a replay.</summary>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public Task<WebhookReplay> CancelWebhookReplayAsync(string id, string replayId, CancellationToken cancellationToken = default) =>
        WebhookAsync(HttpMethod.Delete, PathOfWebhook(id, $"/replays/{Escaped(replayId)}"), null, WebhookJson.Default.WebhookReplay, cancellationToken);

    /// <summary>Fetches messages of a subscription without a URL.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="limit">The most messages, 1 to 256.</param>
    /// <param name="lease">After how long what is not acknowledged is handed out again: whole seconds, up to 12 hours. Default: 30 s.</param>
    /// <param name="cancellationToken">Ends the request; messages may be leased all the same.</param>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public async Task<IReadOnlyList<PolledMessage>> PollWebhookAsync(
        string id, int limit = 10, TimeSpan? lease = null, CancellationToken cancellationToken = default)
    {
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            writer.WriteNumber("limit", limit);
            if (lease is { } time) writer.WriteNumber("leaseSeconds", (long)time.TotalSeconds);
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, PathOfWebhook(id, "/poll"), body, cancellationToken);
        return Read<IReadOnlyList<PolledMessage>>(answer, root =>
        [
            .. root.GetProperty("messages").EnumerateArray().Select(item => new PolledMessage(
                item.GetProperty("lease").GetString()!,
                item.GetProperty("messageId").GetString()!,
                item.GetProperty("attempt").GetInt32(),
                ReadMessage(item.GetProperty("channel").GetString()!, item.GetProperty("epoch").GetString()!, item.GetProperty("message")))),
        ]);
    }

    /// <summary>Says what became of messages that were handed out.</summary>
    /// <param name="id">The subscription.</param>
    /// <param name="acked">Leases of messages that are done.</param>
    /// <param name="returned">Leases of messages to hand out again now.</param>
    /// <param name="cancellationToken">Ends the request.</param>
    /// <returns>How many were acknowledged; those whose lease had passed are not among them.</returns>
    /// <inheritdoc cref="GetWebhookAsync" path="/exception"/>
    public async Task<int> AckWebhookAsync(
        string id, IReadOnlyCollection<string> acked, IReadOnlyCollection<string>? returned = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(acked);
        var body = Write(writer =>
        {
            writer.WriteStartObject();
            WriteTexts(writer, "acked", acked);
            if (returned is not null) WriteTexts(writer, "returned", returned);
            writer.WriteEndObject();
        });
        using var answer = await SendAsync(HttpMethod.Post, PathOfWebhook(id, "/ack"), body, cancellationToken);
        return Read(answer, root => root.GetProperty("acknowledged").GetInt32());
    }

    private static ByteArrayContent StartBody(WebhookStart start, double? perSecond = null) => Write(writer =>
    {
        writer.WriteStartObject();
        WriteStart(writer, start);
        if (perSecond is { } rate) writer.WriteNumber("perSecond", rate);
        writer.WriteEndObject();
    });

    private static void WriteStart(Utf8JsonWriter writer, WebhookStart start)
    {
        if (start.Named is { } named) writer.WriteString("named", named);
        if (start.SinceTime is { } since) writer.WriteString("since", since.UtcDateTime);
        if (start.Positions is not { } positions) return;
        writer.WriteStartObject("positions");
        foreach (var (channel, position) in positions)
        {
            writer.WriteStartObject(channel);
            writer.WriteString("epoch", position.Epoch);
            writer.WriteNumber("offset", position.Offset);
            writer.WriteEndObject();
        }

        writer.WriteEndObject();
    }

    private static void WriteTexts(Utf8JsonWriter writer, string name, IEnumerable<string> texts)
    {
        writer.WriteStartArray(name);
        foreach (var text in texts) writer.WriteStringValue(text);
        writer.WriteEndArray();
    }

    private static string PathOfWebhook(string id, string rest = "") => $"{WebhooksPath}/{Escaped(id)}{rest}";

    private static string Escaped(string text)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);

        // A path of dots alone would be taken for a step in the tree.
        return text is "." or ".." ? throw new ArgumentException("This is no id.", nameof(text)) : Uri.EscapeDataString(text);
    }

    private async Task<T> WebhookAsync<T>(
        HttpMethod method, string path, HttpContent? body, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
    {
        using var answer = await SendAsync(method, path, body, cancellationToken);
        try
        {
            return answer.Deserialize(type) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new GridException(GridErrorCodes.Protocol, "The server's answer is not what the contract says.", e);
        }
    }

    private async Task DoAsync(HttpMethod method, string path, HttpContent? body, CancellationToken cancellationToken)
    {
        using var response = await SendAsync(method, path, body, HttpCompletionOption.ResponseContentRead, cancellationToken);
    }

    private async IAsyncEnumerable<TItem> PagesAsync<TPage, TItem>(
        string path,
        string next,
        JsonTypeInfo<TPage> type,
        Func<TPage, (IReadOnlyList<TItem> Items, string? Next)> open,
        [EnumeratorCancellation] CancellationToken cancellationToken)
        where TPage : class
    {
        for (string? place = null; ;)
        {
            var page = await WebhookAsync(
                HttpMethod.Get, place is null ? path : $"{path}&{next}={Uri.EscapeDataString(place)}", null, type, cancellationToken);
            (var items, place) = open(page);
            foreach (var item in items) yield return item;
            if (place is null) yield break;
        }
    }
}

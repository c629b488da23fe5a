using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Microsoft.AspNetCore.Http;

namespace Grid.Server.Api;

/// <summary>
/// All dead letters of a subscription, a JSON object on each line, written as they are read: a million of them need the memory of a page
/// without its messages. If something cannot be read the connection is cut, so that a part never looks like the whole.
/// </summary>
internal sealed class DeadLetterExport(IWebhookGrain grain, IMessageLog log, Caller caller, string id, WebhookDeadLetter[] first) : IResult
{
    /// <summary>How many are read at once.</summary>
    public const int PageSize = 100;

    /// <summary>The media type.</summary>
    public const string MediaType = "application/x-ndjson";

    /// <summary>What is written before it is sent off; a single message can be larger.</summary>
    private const int FlushBytes = 64 * 1024;

    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var (response, cancelled) = (httpContext.Response, httpContext.RequestAborted);
        response.ContentType = MediaType;
        response.Headers.ContentDisposition = $"attachment; filename=\"dead-letters-{id}.ndjson\"";

        // From here on whatever fails cuts the connection.
        await response.StartAsync(cancelled);
        var output = response.BodyWriter;
        await using var json = new Utf8JsonWriter(output, Json);
        for (var page = first; page.Length > 0;)
        {
            foreach (var letter in page)
            {
                if (!WebhookAccess.MayHear(caller, letter.Channel)) continue;
                var message = await MessageSearch.FindAsync(log, caller.Tenant, new MessageRef(letter.Channel, letter.Epoch, letter.Offset), cancelled);
                json.Reset();
                Write(json, letter, message);
                await json.FlushAsync(cancelled);
                output.Write("\n"u8);
                if (output.UnflushedBytes >= FlushBytes) await output.FlushAsync(cancelled);
            }

            // Fewer than asked for: there are no more. Else what was added meanwhile is newer, and not part of this.
            if (page.Length < PageSize) break;
            page = await grain.ListDeadLettersAsync(page[^1].Place, PageSize) ?? [];
        }

        await output.FlushAsync(cancelled);
    }

    private static void Write(Utf8JsonWriter json, WebhookDeadLetter letter, Message? message)
    {
        json.WriteStartObject();
        json.WriteString("messageId", letter.MessageId);
        json.WriteString("channel", letter.Channel);
        json.WriteString("epoch", letter.Epoch);
        json.WriteNumber("offset", letter.Offset);
        json.WriteNumber("attempts", letter.Attempts);
        json.WriteString("at", letter.At.UtcDateTime);
        if (letter.Failure is { } failure) json.WriteString("failure", failure);
        if (message is not null)
        {
            json.WritePropertyName("message");
            JsonWireCodec.WriteMessageItem(json, message);
        }

        json.WriteEndObject();
    }
}

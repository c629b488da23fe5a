using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary><c>POST /v1/channels/{channel}/messages</c>: publishes one message or up to 1,000, with one call to the channel.</summary>
internal static class PublishEndpoint
{
    /// <summary>Maps the endpoint into <c>/v1</c>.</summary>
    public static void MapPublish(this RouteGroupBuilder v1) => v1.MapPost("/channels/{channel}/messages", PublishAsync)
        .RequireAuthorization(GridPolicies.Any)
        .WithName("publish").WithTags("Channels")
        .WithSummary("Publish one message, or up to 1,000")
        .WithDescription(
            "On a durable namespace the answer means: on disk. The body is a message or an array of messages, and the answer is of the same shape. "
            + "A body of which any message is not valid is refused as a whole. In an array, a message that the channel refuses (such as `ifOffset` "
            + "that does not hold) stands as `{\"error\":{\"code\",\"message\"}}` in its place, with status 200; if all are refused for one reason, "
            + "that reason is the answer. The header `Idempotency-Key` is the `key` of a single message; messages of an array that have no key of "
            + "their own get `header#index`. After 503, or no answer at all, repeat the request with the same keys.")
        .WithQuery()
        .WithHeader("Idempotency-Key", "Used as `key`; for an array, as `header#index` of each message without a key. At most 256 bytes.")
        .Accepts<PublishMessage>("application/json", ApiMetadata.AnyContentType)
        .Produces<PublishedMessage>()
        .WithOneOrMany()
        .WithProblems(400, 401, 403, 409, 413, 429, 503)
        .WithExample("""{"data":{"text":"Hello"},"event":"chat.message","key":"k-1"}""", """{"epoch":"5f2c9a","offset":42,"duplicate":false}""");

    private static async Task<IResult> PublishAsync(
        string channel, HttpContext context, NamespacePolicies policies, IChannelPublisher publisher, PublishesUnderWay publishes)
    {
        var caller = context.GetCaller();
        if (ChannelAccess.Refuse(caller, channel, Capability.Publish) is { } refused) return refused;
        if (!TryReadIdempotencyKey(context.Request, out var idempotencyKey))
            return GridProblem.BadRequest("The header Idempotency-Key must be given once and have 1 to 256 characters.");

        PublishBody body;
        using (var raw = await RequestBody.ReadAsync(context, RequestBody.MaxBytes))
            body = PublishBody.Parse(raw.Bytes.Span, policies.For(channel).MaxMessageBytes, idempotencyKey);

        Task answered;
        using (publishes.Begin())
        {
            var receipts = await publisher.PublishAsync(
                new ChannelId(caller.Tenant, channel), new PublishBatch { Drafts = body.Drafts, From = caller.User });

            // It is under way until the answer is given to the connection, which is done when this call returns; and not until it is read: who
            // reads slowly would hold up everybody who waits for publishes.
            answered = AnswerOf(receipts, body.IsArray).ExecuteAsync(context);
        }

        await answered;
        return Results.Empty;
    }

    private static IResult AnswerOf(PublishReceipt[] receipts, bool isArray)
    {
        if (receipts[0].Error is { } first && Array.TrueForAll(receipts, r => r.Error == first))
            return new GridProblem(first, GridProblem.DescriptionOf(first), retryAfterMs: receipts[0].RetryAfterMs);
        if (isArray) return new Receipts(receipts);
        var position = receipts[0].Position;
        return Results.Json(new PublishedMessage(position.Epoch, position.Offset, receipts[0].Duplicate), ApiJson.Default.PublishedMessage);
    }

    private static bool TryReadIdempotencyKey(HttpRequest request, out string? key)
    {
        key = null;
        var header = request.Headers["Idempotency-Key"];
        if (header.Count == 0) return true;
        if (header is not [{ Length: > 0 and <= Message.MaxKeyBytes + 2 } one]) return false;

        // The IETF draft of this header quotes it, most clients do not: both name the same key.
        key = one is ['"', .. var quoted, '"'] ? quoted : one;
        return key.Length > 0;
    }

    /// <summary>The answer to an array: a receipt or an error for each message.</summary>
    private sealed class Receipts(PublishReceipt[] receipts) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.ContentType = "application/json; charset=utf-8";
            await using (var json = new Utf8JsonWriter(httpContext.Response.BodyWriter))
            {
                json.WriteStartArray();
                foreach (var receipt in receipts) Write(json, receipt);
                json.WriteEndArray();
            }

            await httpContext.Response.BodyWriter.FlushAsync(httpContext.RequestAborted);
        }

        private static void Write(Utf8JsonWriter json, PublishReceipt receipt)
        {
            json.WriteStartObject();
            if (receipt.Error is { } error)
            {
                json.WriteStartObject("error");
                json.WriteString("code", error.Name());
                json.WriteString("message", GridProblem.DescriptionOf(error));
                if (receipt.RetryAfterMs is { } retryAfterMs) json.WriteNumber("retryAfterMs", retryAfterMs);
                json.WriteEndObject();
            }
            else
            {
                json.WriteString("epoch", receipt.Position.Epoch);
                json.WriteNumber("offset", receipt.Position.Offset);
                json.WriteBoolean("duplicate", receipt.Duplicate);
            }

            json.WriteEndObject();
        }
    }
}

/// <summary>Who may do what on a channel.</summary>
internal static class ChannelAccess
{
    /// <summary>Why a caller may not do something on a channel; null when it may.</summary>
    public static GridProblem? Refuse(Caller caller, string channel, Capability wanted)
    {
        if (!ChannelName.IsValid(channel))
            return GridProblem.BadRequest($"A channel has 1 to {ChannelName.MaxLength} characters of A-Z a-z 0-9 _ . : ~ @ -");
        return caller.Capabilities.Allows(channel, wanted)
            ? null
            : new GridProblem(ErrorCode.Forbidden, $"The credential does not have '{CapabilityNames.ToNames(wanted)[0]}' on this channel.");
    }
}

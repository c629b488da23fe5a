using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Sending;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary>What can be done with the messages of a subscription: looking at attempts, sending again, moving cursors, polling.</summary>
internal static class WebhookMessageEndpoints
{
    private const int DefaultLimit = 50;
    private const int MaxLimit = 200;
    private const int MaxReplayId = 1024;
    private const string HasUrl = "The webhook has a URL: its messages are sent there.";

    private const string Replay = """{"id":"rp_7f3a","status":"running","delivered":120,"failed":1,"remaining":880}""";

    private const string DeadLetter =
        """{"messageId":"msg_AQoGNWYyYzlhBm9yZGVycw","channel":"orders","epoch":"5f2c9a","offset":42,"attempts":10,"at":"2026-01-04T12:00:00Z","failure":"500"}""";

    private const string Attempt =
        """{"id":"att_019b796dd60000000001c2f0a45e","messageId":"msg_AQoGNWYyYzlhBm9yZGVycw","channel":"orders","offset":42,"attempt":1,"at":"2026-01-01T12:00:00Z","durationMs":31,"status":500,"succeeded":false,"error":"status","response":"oops","responseClipped":false}""";

    /// <summary>Maps the endpoints into <c>/v1/webhooks</c>.</summary>
    public static void MapWebhookMessages(this RouteGroupBuilder group)
    {
        group.MapPost("/{id}/seek", SeekAsync)
            .WithName("seekWebhook")
            .WithSummary("Move the cursors")
            .WithDescription(
                "Everything after the places given is delivered, again if need be, and nothing before them; channels that are not named stay as they are. Needs "
                + "`history`, but for `now`.")
            .Accepts<WebhookSeek>("application/json", ApiMetadata.AnyContentType)
            .Produces(StatusCodes.Status204NoContent)
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample("""{"positions":{"orders":{"epoch":"5f2c9a","offset":40}}}""", null);

        group.MapPost("/{id}/messages/{messageId}/resend", ResendAsync)
            .WithName("resendWebhookMessage")
            .WithSummary("Send a message again")
            .WithDescription("Whatever became of it, with the same `webhook-id`. One that was never sent needs `history`. 404 when the message is not kept, or not one of the "
                + "subscription's.")
            .Produces(StatusCodes.Status202Accepted)
            .WithProblems(401, 403, 404, 429, 503);

        group.MapPost("/{id}/messages/{messageId}/skip", SkipAsync)
            .WithName("skipWebhookMessage")
            .WithSummary("Give up a message")
            .WithDescription("It is not attempted any more and counts as settled; what waits for it goes on. One that does not wait stays as it is; 404 when its channel is none of the subscription's.")
            .Produces(StatusCodes.Status204NoContent)
            .WithProblems(401, 403, 404, 429, 503);

        group.MapGet("/{id}/attempts", AttemptsAsync)
            .WithName("listWebhookAttempts")
            .WithSummary("List attempts")
            .WithDescription(
                "Requests to the endpoint and what became of them, newest first. They are kept for 30 days. One request looks at some thousands of them: where hardly any is "
                + "one of those wanted, a page has fewer than `limit`, or none, and `next` all the same. Only a page without `next` is the last.")
            .WithQuery(
                ("status", false, "string", "`failed` or `succeeded`. Default: both."),
                ("messageId", false, "string", "Only those of one message."),
                ("before", false, "string", "`next` of the page before, or a time (RFC 3339). Default: from the newest."),
                ("since", false, "string", "Only those that began at this time (RFC 3339) or later."),
                ("until", false, "string", "Only those that began before this time (RFC 3339)."),
                ("limit", false, "integer", "The most attempts to list, 1 to 200. Default: 50."))
            .Produces<WebhookAttemptList>()
            .WithProblems(400, 401, 403, 404, 429, 503)
            .WithExample(null, $$"""{"attempts":[{{Attempt}}],"next":"att_019b796dd60000000001c2f0a45e"}""");

        group.MapGet("/{id}/dead-letters", DeadLettersAsync)
            .WithName("listWebhookDeadLetters")
            .WithSummary("List dead letters")
            .WithDescription("Messages whose attempts are used up, newest first.")
            .WithQuery(
                ("after", false, "string", "`next` of the page before. Default: from the newest."),
                ("limit", false, "integer", "The most dead letters to list, 1 to 200. Default: 50."))
            .Produces<WebhookDeadLetterList>()
            .WithProblems(400, 401, 403, 404, 429, 503)
            .WithExample(null, $$"""{"deadLetters":[{{DeadLetter}}]}""");

        group.MapGet("/{id}/dead-letters/export", ExportAsync)
            .WithName("exportWebhookDeadLetters")
            .WithSummary("Export all dead letters")
            .WithDescription(
                "One JSON object on each line, newest first: a dead letter as in the list, and `message`, the message itself, as long as retention keeps it.")
            .Produces<WebhookDeadLetterItem>(StatusCodes.Status200OK, DeadLetterExport.MediaType)
            .WithProblems(401, 403, 404, 429, 503)
            .WithExample(null, DeadLetter);

        group.MapPost("/{id}/dead-letters/redrive", RedriveAsync)
            .WithName("redriveWebhookDeadLetters")
            .WithSummary("Send dead letters again")
            .WithDescription("Those named, or all. They get all their attempts anew.")
            .Accepts<WebhookRedrive>(isOptional: true, "application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookRedriven>()
            .WithProblems(400, 401, 403, 404, 413, 429, 503)
            .WithExample("""{"messages":["msg_AQoGNWYyYzlhBm9yZGVycw"]}""", """{"redriven":1}""");

        group.MapPost("/{id}/replay", ReplayAsync)
            .WithName("replayWebhook")
            .WithSummary("Deliver the past once more")
            .WithDescription(
                "Delivers what matches from a place on, up to where the subscription stands, beside what is new and behind it in turn. `Location` names the replay. 409 "
                + "while another one is under way. Needs `history`.")
            .Accepts<WebhookReplayRequest>("application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookReplayItem>(StatusCodes.Status202Accepted)
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample("""{"since":"2026-01-01T12:00:00Z","perSecond":50}""", Replay);

        group.MapGet("/{id}/replays/{replayId}", GetReplayAsync)
            .WithName("getWebhookReplay")
            .WithSummary("Tell how far a replay is")
            .WithDescription("While it lasts, and afterwards until the next one.")
            .Produces<WebhookReplayItem>()
            .WithProblems(401, 403, 404, 429, 503)
            .WithExample(null, Replay);

        group.MapDelete("/{id}/replays/{replayId}", CancelReplayAsync)
            .WithName("cancelWebhookReplay")
            .WithSummary("End a replay")
            .WithDescription("What is on its way is delivered; the answer says what was done. One that has ended stays as it is.")
            .Produces<WebhookReplayItem>()
            .WithProblems(401, 403, 404, 429, 503)
            .WithExample(null, Replay.Replace("running", "cancelled", StringComparison.Ordinal));

        group.MapPost("/{id}/poll", PollAsync)
            .WithName("pollWebhook")
            .WithSummary("Fetch messages")
            .WithDescription(
                "For a subscription without `url`: hands out messages, each leased for a while. What is not acknowledged in that time is handed out again, with the "
                + "same `messageId`. 409 when the subscription has a URL.")
            .Accepts<WebhookPoll>(isOptional: true, "application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookPolled>()
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample(
                """{"limit":10,"leaseSeconds":30}""",
                """{"messages":[{"lease":"ls_7f3a","messageId":"msg_AQoGNWYyYzlhBm9yZGVycw","attempt":1,"channel":"orders","epoch":"5f2c9a","message":{"offset":42,"at":1795452674123,"data":{"total":12},"event":"order.created"}}]}""");

        group.MapPost("/{id}/ack", AckAsync)
            .WithName("ackWebhook")
            .WithSummary("Acknowledge messages")
            .WithDescription("`acked` are done, `returned` are handed out again at once. A lease that has passed counts for nothing.")
            .Accepts<WebhookAck>("application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookAcked>()
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample("""{"acked":["ls_7f3a"],"returned":[]}""", """{"acknowledged":1}""");
    }

    private static async Task<IResult> SeekAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var to = await WebhookEndpoints.ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParseSeek);
        await webhooks.CheckStartAsync(caller, id, to);
        var grain = await webhooks.FindAsync(caller, id);
        return await grain.SeekAsync(to)
            ? Results.NoContent()
            : await WebhookAccess.RefusalAsync(grain, "The webhook cannot be moved now.");
    }

    private static async Task<IResult> ResendAsync(string id, string messageId, HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var grain = await webhooks.FindAsync(caller, id);
        await webhooks.CheckResendAsync(caller, grain, messageId);
        return WebhookRules.IsMessageId(messageId) && await grain.ResendAsync(messageId)
            ? Results.StatusCode(StatusCodes.Status202Accepted)
            : WebhookAccess.NotFound("There is no such webhook, or no such message of it.");
    }

    private static async Task<IResult> SkipAsync(string id, string messageId, HttpContext context, WebhookAccess webhooks)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return WebhookRules.IsMessageId(messageId) && await grain.SkipAsync(messageId)
            ? Results.NoContent()
            : WebhookAccess.NotFound("There is no such webhook, or no such message that waits.");
    }

    private static async Task<IResult> AttemptsAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var query = ReadQuery(context.Request.Query);
        var caller = context.GetCaller();
        var grain = await webhooks.FindAsync(caller, id);

        // One more than asked for tells whether there is a next page.
        if (await grain.ListAttemptsAsync(query with { Limit = query.Limit + 1 }) is not { Attempts: var found } page) return WebhookAccess.None();
        return Results.Json(
            new WebhookAttemptList(
                [.. found.Take(query.Limit).Where(a => a.Channel is null || WebhookAccess.MayHear(caller, a.Channel)).Select(WebhookAttempt.Of)],
                found.Length > query.Limit ? found[query.Limit - 1].Id : page.Next),
            WebhookJson.Api.WebhookAttemptList);
    }

    private static async Task<IResult> DeadLettersAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var query = context.Request.Query;
        var limit = ReadLimit(query);
        var after = One(query, "after");
        if (after is not null && !WebhookViews.TryParsePlace(after, out _)) throw BodyJson.Bad("The query parameter 'after' must be 'next' of the page before.");
        var caller = context.GetCaller();
        var grain = await webhooks.FindAsync(caller, id);
        if (await grain.ListDeadLettersAsync(after, limit + 1) is not { } found) return WebhookAccess.None();
        return Results.Json(
            new WebhookDeadLetterList(
                [.. found.Take(limit).Where(l => WebhookAccess.MayHear(caller, l.Channel)).Select(WebhookDeadLetterItem.Of)], found.Length > limit ? found[limit - 1].Place : null),
            WebhookJson.Api.WebhookDeadLetterList);
    }

    private static async Task<IResult> ExportAsync(string id, HttpContext context, WebhookAccess webhooks, [FromServices] MessageLogs logs)
    {
        var caller = context.GetCaller();
        var grain = await webhooks.FindAsync(caller, id);

        // The first page is read here, so that what is wrong is still an answer.
        return await grain.ListDeadLettersAsync(null, DeadLetterExport.PageSize) is { } first
            ? new DeadLetterExport(grain, logs.Durable, caller, id, first)
            : WebhookAccess.None();
    }

    private static async Task<IResult> RedriveAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var messages = await WebhookEndpoints.ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParseRedrive);
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        var (count, after) = (0, (string?)null);
        do
        {
            context.RequestAborted.ThrowIfCancellationRequested();
            if (await grain.RedriveAsync(messages, after) is not { } page) return WebhookAccess.None();
            (count, after) = (count + page.Redriven, page.Next);
        }
        while (after is not null && count != messages?.Length);

        return Results.Json(new WebhookRedriven(count), WebhookJson.Api.WebhookRedriven);
    }

    private static async Task<IResult> ReplayAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var (from, perSecond) = await WebhookEndpoints.ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParseReplay);
        await webhooks.CheckStartAsync(caller, id, from);
        var grain = await webhooks.FindAsync(caller, id);
        if (await grain.ReplayAsync(from, perSecond) is not { } replay)
            return await WebhookAccess.RefusalAsync(grain, "Another replay of the webhook is under way.");
        context.Response.Headers.Location = $"{WebhookEndpoints.LocationOf(context)}/{id}/replays/{replay.Id}";
        return Results.Json(WebhookReplayItem.Of(replay), WebhookJson.Api.WebhookReplayItem, statusCode: StatusCodes.Status202Accepted);
    }

    private static Task<IResult> GetReplayAsync(string id, string replayId, HttpContext context, WebhookAccess webhooks) =>
        OfReplayAsync(id, replayId, context, webhooks, (grain, replay) => grain.GetReplayAsync(replay));

    private static Task<IResult> CancelReplayAsync(string id, string replayId, HttpContext context, WebhookAccess webhooks) =>
        OfReplayAsync(id, replayId, context, webhooks, (grain, replay) => grain.CancelReplayAsync(replay));

    private static async Task<IResult> OfReplayAsync(
        string id, string replayId, HttpContext context, WebhookAccess webhooks, Func<IWebhookGrain, string, Task<WebhookReplay?>> call)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return replayId.Length <= MaxReplayId && await call(grain, replayId) is { } replay
            ? Results.Json(WebhookReplayItem.Of(replay), WebhookJson.Api.WebhookReplayItem)
            : WebhookAccess.NotFound("There is no such webhook, or no such replay of it.");
    }

    private static async Task<IResult> PollAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var (limit, lease) = await WebhookEndpoints.ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParsePoll);
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return await grain.PollAsync(limit, lease) is { } messages
            ? new Polled(messages)
            : await WebhookAccess.RefusalAsync(grain, HasUrl);
    }

    private static async Task<IResult> AckAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var (acked, returned) = await WebhookEndpoints.ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParseAck);
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return await grain.AckAsync(acked, returned) is { } count
            ? Results.Json(new WebhookAcked(count), WebhookJson.Api.WebhookAcked)
            : await WebhookAccess.RefusalAsync(grain, HasUrl);
    }

    private static WebhookAttemptQuery ReadQuery(IQueryCollection query)
    {
        var (before, until) = (One(query, "before"), Time(query, "until"));
        if (Rfc3339.TryParse(before, out var time))
        {
            // A time, too, says before what.
            (before, until) = (null, until < time ? until : time);
        }

        if (before is not null && !AttemptId.TryGetTime(before, out _)) throw BodyJson.Bad("The query parameter 'before' must be 'next' of the page before, or a time as RFC 3339 has it.");
        var messageId = One(query, "messageId");
        if (messageId is not null && !WebhookRules.IsMessageId(messageId)) throw BodyJson.Bad("The query parameter 'messageId' must be the id of a message.");
        return new WebhookAttemptQuery
        {
            Succeeded = One(query, "status") switch
            {
                null => null,
                "failed" => false,
                "succeeded" => true,
                _ => throw BodyJson.Bad("The query parameter 'status' must be failed or succeeded."),
            },
            MessageId = messageId,
            Before = before,
            Since = Time(query, "since"),
            Until = until,
            Limit = ReadLimit(query),
        };
    }

    private static int ReadLimit(IQueryCollection query) => SessionEndpoints.TryReadLimit(query["limit"], DefaultLimit, MaxLimit, out var limit)
        ? limit
        : throw BodyJson.Bad($"The query parameter 'limit' must be a whole number from 1 to {MaxLimit}.");

    private static DateTimeOffset? Time(IQueryCollection query, string name)
    {
        if (One(query, name) is not { } text) return null;
        return Rfc3339.TryParse(text, out var time)
            ? time
            : throw BodyJson.Bad($"The query parameter '{name}' must be a time as RFC 3339 has it, with its plus sign encoded.");
    }

    private static string? One(IQueryCollection query, string name) => query[name] switch
    {
        [] => null,
        [{ } one] => one,
        _ => throw BodyJson.Bad($"The query parameter '{name}' must be given once."),
    };

    /// <summary>The answer to a poll. Payloads go out as they were published.</summary>
    private sealed class Polled(WebhookPulled[] messages) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.ContentType = "application/json; charset=utf-8";
            httpContext.Response.Headers.CacheControl = "no-store";
            await using (var json = new Utf8JsonWriter(httpContext.Response.BodyWriter))
            {
                json.WriteStartObject();
                json.WriteStartArray("messages");
                foreach (var pulled in messages)
                {
                    json.WriteStartObject();
                    json.WriteString("lease", pulled.Lease);
                    json.WriteString("messageId", pulled.MessageId);
                    json.WriteNumber("attempt", pulled.Attempt);
                    json.WriteString("channel", pulled.Channel);
                    json.WriteString("epoch", pulled.Epoch);
                    json.WritePropertyName("message");
                    JsonWireCodec.WriteMessageItem(json, pulled.Message);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
                json.WriteEndObject();
            }

            await httpContext.Response.BodyWriter.FlushAsync(httpContext.RequestAborted);
        }
    }
}

using Grid.Abstractions;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Store;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary><c>/v1/webhooks</c>: subscriptions are made, read, changed and switched. See <see cref="WebhookMessageEndpoints"/> for their messages.</summary>
internal static class WebhookEndpoints
{
    private const int MaxChanges = 20;
    private const int DefaultLimit = 50;

    /// <summary>Each subscription of a page is a call to its grain.</summary>
    private const int MaxLimit = 100;

    private const string Settings =
        """{"url":"https://example.com/hooks","channels":["orders","room:*"],"events":["order.*"],"mode":"parallel"}""";

    private const string Item =
        """
        {"id":"wh_019a2b3c","status":"active","url":"https://example.com/hooks","channels":["orders","room:*"],"events":["order.*"],"mode":"parallel","format":"json",
        "signatures":["v1"],"handshake":false,"createdAt":"2026-01-01T12:00:00Z","cursors":{"orders":{"epoch":"5f2c9a","offset":42}},
        "lag":{"messages":0,"seconds":0},"inFlight":0,"circuit":"closed","parked":0}
        """;

    private static readonly string Created = Item.Replace(
        "\"status\"", "\"secret\":\"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\",\"status\"", StringComparison.Ordinal);

    private static readonly string List = $$"""{"webhooks":[{{Item.Replace("\"cursors\":{\"orders\":{\"epoch\":\"5f2c9a\",\"offset\":42}},", "", StringComparison.Ordinal)}}],"next":"wh_019a2b3c"}""";

    /// <summary>Maps the endpoints into <c>/v1</c>.</summary>
    /// <param name="v1">The group.</param>
    /// <param name="policy">Whose they are: of API keys, or of the playground's visitors.</param>
    /// <returns>Their group.</returns>
    public static RouteGroupBuilder MapWebhooks(this RouteGroupBuilder v1, string policy = GridPolicies.Server)
    {
        var group = v1.MapGroup("/webhooks").RequireAuthorization(policy).WithTags("Webhooks");
        group.MapPost("", CreateAsync)
            .WithName("createWebhook")
            .WithSummary("Make a subscription")
            .WithDescription(
                "Messages that are acknowledged to their publisher after this was answered are delivered. `secret` is shown this once. Needs `subscribe` on every "
                + "channel, and `history` with `from` = `start`. Without an answer, list before you repeat: it may have been made.")
            .Accepts<NewWebhook>("application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookItem>(StatusCodes.Status201Created)
            .WithProblems(400, 401, 403, 413, 429, 503)
            .WithExample(Settings, Created);

        group.MapGet("", ListAsync)
            .WithName("listWebhooks")
            .WithSummary("List subscriptions")
            .WithDescription("Lists the tenant's subscriptions by id, which is the order of their creation. Those on channels that the key may not subscribe to are left out.")
            .WithQuery(
                ("after", false, "string", "`next` of the page before. Default: from the first."),
                ("limit", false, "integer", "The most subscriptions to list, 1 to 100. Default: 50."))
            .Produces<WebhookList>()
            .WithProblems(400, 401, 403, 429, 503)
            .WithExample(null, List);

        group.MapGet("/{id}", GetAsync)
            .WithName("getWebhook")
            .WithSummary("Tell how a subscription fares")
            .WithDescription("Its settings, cursors, lag and circuit. Values of headers are not shown.")
            .Produces<WebhookItem>()
            .WithProblems(401, 403, 404, 429, 503)
            .WithExample(null, Item);

        group.MapPatch("/{id}", ChangeAsync)
            .WithName("changeWebhook")
            .WithSummary("Change a subscription")
            .WithDescription(
                "A JSON merge patch (RFC 7396): members left out stay, null is the default. Cursors stay, new channels begin with now. Whether it is sent to or "
                + "polled can't be changed.")
            .Accepts<WebhookChange>("application/json", "application/merge-patch+json", ApiMetadata.AnyContentType)
            .Produces<WebhookItem>()
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample("""{"events":["order.*","invoice.*"],"rateLimit":{"perSecond":50},"description":null}""", Item);

        group.MapDelete("/{id}", DeleteAsync)
            .WithName("deleteWebhook")
            .WithSummary("Remove a subscription")
            .WithDescription("Removes it with all that is stored of it. Requests on their way are not called back.")
            .Produces(StatusCodes.Status204NoContent)
            .WithProblems(401, 403, 404, 429, 503);

        group.MapPost("/{id}/rotate-secret", RotateAsync)
            .WithName("rotateWebhookSecret")
            .WithSummary("Replace the secret")
            .WithDescription("Makes a new secret and shows it this once. While the overlap lasts, deliveries carry the signatures of both.")
            .Accepts<WebhookRotation>(isOptional: true, "application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookSecretItem>()
            .WithProblems(400, 401, 403, 404, 413, 429, 503)
            .WithExample("""{"overlapSeconds":86400}""", """{"secret":"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}""");

        group.MapPost("/{id}/test", TestAsync)
            .WithName("testWebhook")
            .WithSummary("Send a test event")
            .WithDescription("Sends a `grid.test` event now, whatever the subscription's status, and returns the attempt. 409 when it is polled.")
            .Produces<WebhookAttempt>()
            .WithProblems(401, 403, 404, 409, 429, 503)
            .WithExample(
                null,
                """{"id":"att_019b796dd60000000001c2f0a45e","messageId":"evt_Rk9P","attempt":1,"at":"2026-01-01T12:00:00Z","durationMs":31,"status":204,"succeeded":true,"responseClipped":false}""");

        Switch("pause", PauseAsync, "Stop deliveries", "Stops deliveries and keeps everything. 409 when the subscription is not active.");
        Switch("resume", ResumeAsync, "Go on after a pause", "Goes on with the message after the cursor. 409 when the subscription is not paused.");
        Switch("disable", DisableAsync, "Switch a subscription off", "Cursors and backlog stay, within retention.");

        group.MapPost("/{id}/enable", EnableAsync)
            .WithName("enableWebhook")
            .WithSummary("Switch a subscription on again")
            .WithDescription("`resumeFrom` says from where: `cursor` (nothing is lost but what retention took), `now`, a time, or places. 409 when it is not disabled.")
            .Accepts<WebhookEnabling>(isOptional: true, "application/json", ApiMetadata.AnyContentType)
            .Produces<WebhookItem>()
            .WithProblems(400, 401, 403, 404, 409, 413, 429, 503)
            .WithExample("""{"resumeFrom":{"since":"2026-01-01T12:00:00Z"}}""", Item);

        void Switch(string name, Delegate handler, string summary, string description) => group.MapPost($"/{{id}}/{name}", handler)
            .WithName($"{name}Webhook")
            .WithSummary(summary)
            .WithDescription(description)
            .Produces<WebhookItem>()
            .WithProblems(401, 403, 404, 409, 429, 503)
            .WithExample(null, Item);

        group.MapWebhookMessages();
        return group;
    }

    /// <summary>Where the webhooks are that a request is about: the playground's are elsewhere.</summary>
    public static string LocationOf(HttpContext context)
    {
        const string Name = "/webhooks";
        var path = context.Request.PathBase.Add(context.Request.Path).ToUriComponent();
        return path[..(path.IndexOf(Name, StringComparison.OrdinalIgnoreCase) + Name.Length)];
    }

    private static async Task<IResult> CreateAsync(HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var (definition, fromStart) = await ReadAsync(
            context, WebhookBody.MaxBytes, utf8 => WebhookBody.ParseNew(utf8, webhooks.RulesFor(caller)));
        WebhookAccess.CheckMay(caller, definition.Channels, Capability.Subscribe);
        if (fromStart) webhooks.CheckPast(caller, definition.Channels);
        await webhooks.MakeRoomAsync(caller, definition.Channels, context.RequestAborted);

        var id = WebhookId.New(caller.Tenant).Id;
        var created = await webhooks.Grain(caller, id).CreateAsync(definition, fromStart);
        if (created is null) return new GridProblem(ErrorCode.QuotaExceeded, "The tenant has as many webhooks as it may have.");
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.Location = $"{LocationOf(context)}/{id}";
        return Results.Json(
            WebhookItem.Of(created.Webhook, created.Secret), WebhookJson.Api.WebhookItem, statusCode: StatusCodes.Status201Created);
    }

    private static async Task<IResult> ListAsync(HttpContext context, WebhookAccess webhooks)
    {
        var query = context.Request.Query;
        if (!SessionEndpoints.TryReadLimit(query["limit"], DefaultLimit, MaxLimit, out var limit))
            return GridProblem.BadRequest($"The query parameter 'limit' must be a whole number from 1 to {MaxLimit}.");
        if (query["after"] is not ([] or [{ } _]) || (query["after"] is [{ } given] && !WebhookRules.IsId(given)))
            return GridProblem.BadRequest("The query parameter 'after' must be the id of a webhook.");
        var (found, next) = await webhooks.ListAsync(context.GetCaller(), query["after"] is [{ } after] ? after : "", limit, context.RequestAborted);
        return Results.Json(new WebhookList([.. found.Select(w => WebhookItem.Of(w, inList: true))], next), WebhookJson.Api.WebhookList);
    }

    private static async Task<IResult> GetAsync(string id, HttpContext context, WebhookAccess webhooks) =>
        Show(await webhooks.GetAsync(context.GetCaller(), id));

    private static async Task<IResult> ChangeAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var current = await webhooks.GetAsync(caller, id);
        using var raw = await RequestBody.ReadAsync(context, WebhookBody.MaxBytes);
        for (var tries = 1; ; tries++)
        {
            var changed = WebhookBody.ParseChange(raw.Bytes.Span, current.Definition, webhooks.RulesFor(caller));
            WebhookAccess.CheckMay(caller, changed.Channels, Capability.Subscribe);
            if (await webhooks.Grain(caller, id).UpdateAsync(changed, current.Version) is { } webhook) return Show(webhook);

            // Somebody else changed it meanwhile: what they set stays, so this change is made to what is there now.
            if (tries == MaxChanges) return new GridProblem(ErrorCode.Conflict, "Others change the webhook all the time.");
            current = await webhooks.GetAsync(caller, id);
        }
    }

    private static async Task<IResult> DeleteAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return await grain.DeleteAsync() ? Results.NoContent() : WebhookAccess.None();
    }

    private static async Task<IResult> RotateAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        var overlap = await ReadAsync(context, WebhookBody.MaxBytes, WebhookCommands.ParseRotation);
        if (await grain.RotateSecretAsync(overlap) is not { } secret) return WebhookAccess.None();
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(new WebhookSecretItem(secret), WebhookJson.Api.WebhookSecretItem);
    }

    private static async Task<IResult> TestAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        return await grain.TestAsync() is { } attempt
            ? Results.Json(WebhookAttempt.Of(attempt), WebhookJson.Api.WebhookAttempt)
            : await WebhookAccess.RefusalAsync(grain, "The webhook is polled: there is no endpoint to send a test to.");
    }

    private static Task<IResult> PauseAsync(string id, HttpContext context, WebhookAccess webhooks) =>
        SwitchAsync(id, context, webhooks, static g => g.PauseAsync(), "The webhook is not active.");

    private static Task<IResult> ResumeAsync(string id, HttpContext context, WebhookAccess webhooks) =>
        SwitchAsync(id, context, webhooks, static g => g.ResumeAsync(), "The webhook is not paused.");

    private static Task<IResult> DisableAsync(string id, HttpContext context, WebhookAccess webhooks) =>
        SwitchAsync(id, context, webhooks, static g => g.DisableAsync(), "The webhook is disabled already.");

    private static async Task<IResult> EnableAsync(string id, HttpContext context, WebhookAccess webhooks)
    {
        var caller = context.GetCaller();
        var from = await ReadAsync(context, WebhookCommands.MaxBytes, WebhookCommands.ParseEnabling);
        await webhooks.CheckStartAsync(caller, id, from);
        return await SwitchAsync(id, context, webhooks, g => g.EnableAsync(from), "The webhook is not disabled.");
    }

    /// <summary>Does something that changes the status, and shows the subscription as it is then.</summary>
    private static async Task<IResult> SwitchAsync(
        string id, HttpContext context, WebhookAccess webhooks, Func<IWebhookGrain, Task<bool>> change, string conflict)
    {
        var grain = await webhooks.FindAsync(context.GetCaller(), id);
        var done = await change(grain);
        if (await grain.GetAsync() is not { } webhook) return WebhookAccess.None();
        return done ? Show(webhook) : new GridProblem(ErrorCode.Conflict, conflict);
    }

    /// <summary>Reads and parses the body.</summary>
    public static async ValueTask<T> ReadAsync<T>(HttpContext context, int maxBytes, BodyParser<T> parse)
    {
        using var raw = await RequestBody.ReadAsync(context, maxBytes);
        return parse(raw.Bytes.Span);
    }

    private static IResult Show(WebhookDescription webhook) => Results.Json(WebhookItem.Of(webhook), WebhookJson.Api.WebhookItem);
}

/// <summary>Makes something of a body.</summary>
internal delegate T BodyParser<out T>(ReadOnlySpan<byte> utf8);

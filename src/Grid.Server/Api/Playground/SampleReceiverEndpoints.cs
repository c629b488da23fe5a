using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Grid.Server.Hosting;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.Server.Api;

/// <summary>
/// <c>/playground/receiver/{name}</c>: POST is what a delivery meets, PUT breaks and mends it, GET tells what it received. PUT and GET are for
/// visitors; POST is for whoever can sign with the receiver's secret, and to all others says no and remembers nothing.
/// </summary>
internal static class SampleReceiverEndpoints
{
    private const string Route = OwnReceiver.Path + "{name}";

    /// <summary>The largest delivery: a message as large as a frame may be, in its envelope.</summary>
    private const int MaxDelivery = 256 * 1024;

    private const int MaxSetting = 1024;
    private const int MaxHeader = 1024;

    /// <summary>How many requests may hang or be slow at once; what is beyond is answered.</summary>
    private const int MaxWaiting = 128;

    private const int RetryAfterSeconds = 10;
    private static readonly TimeSpan SlowTime = TimeSpan.FromSeconds(3);

    /// <summary>Longer than whoever delivers waits, unless told otherwise.</summary>
    private static readonly TimeSpan HangTime = TimeSpan.FromSeconds(30);

    private static int _waiting;

    /// <summary>Maps the endpoints.</summary>
    public static void MapSampleReceiver(this IEndpointRouteBuilder endpoints)
    {
        var visitors = endpoints.MapGroup("").AsGrid().RequireAuthorization(GridPolicies.Any);
        visitors.AddEndpointFilter<RouteGroupBuilder, PlaygroundWebhooks.VisitorFilter>().ExcludeFromDescription();
        visitors.MapPut(Route, SetAsync);
        visitors.MapGet(Route, ReadAsync);
        endpoints.MapGroup("").AsGrid().AllowAnonymous().ExcludeFromDescription().MapPost(Route, TakeAsync);
    }

    private static async Task<IResult> SetAsync(string name, HttpContext context, IGrainFactory grains, OwnReceiver receiver)
    {
        if (!OwnReceiver.IsName(name)) return BadName();
        if (receiver.UrlOf(name) is null)
            return new GridProblem(ErrorCode.Conflict, "The sample receiver is reached by plain http only, and this server has no such address.");
        var (behaviour, secret) = await WebhookEndpoints.ReadAsync(context, MaxSetting, Parse);
        if (!await Receivers(grains).SetAsync(name, behaviour, secret)) return Unknown();
        return await ReadAsync(name, context, grains, receiver);
    }

    private static async Task<IResult> ReadAsync(string name, HttpContext context, IGrainFactory grains, OwnReceiver receiver)
    {
        if (!OwnReceiver.IsName(name)) return BadName();
        _ = long.TryParse(context.Request.Query["after"], NumberStyles.None, CultureInfo.InvariantCulture, out var after);
        return await Receivers(grains).ReadAsync(name, after) is { } state
            ? Results.Json(SampleReceiverItem.Of(state, receiver.UrlOf(name)?.AbsoluteUri), SampleReceiverJson.Api.SampleReceiverItem)
            : Unknown();
    }

    private static async Task<IResult> TakeAsync(
        string name, HttpContext context, IGrainFactory grains, IOptions<GridOptions> options, IHostApplicationLifetime lifetime)
    {
        if (!PlaygroundEndpoints.IsAllowed(context, options.Value.Playground) || !OwnReceiver.IsName(name)) return Results.NotFound();
        var headers = context.Request.Headers;
        string Header(string header) => headers[header] is [{ Length: <= MaxHeader } one] ? one : "";
        if (Header(WebhookHeaders.Signature).Length == 0) return Results.Unauthorized();

        ReceivedRequest request;
        using (var body = await RequestBody.ReadAsync(context, MaxDelivery))
        {
            _ = long.TryParse(Header(WebhookHeaders.Offset), NumberStyles.None, CultureInfo.InvariantCulture, out var offset);
            _ = int.TryParse(Header(WebhookHeaders.Attempt), NumberStyles.None, CultureInfo.InvariantCulture, out var attempt);
            request = new ReceivedRequest
            {
                Id = Header(WebhookHeaders.Id),
                Timestamp = Header(WebhookHeaders.Timestamp),
                Signature = Header(WebhookHeaders.Signature),
                Channel = Header(WebhookHeaders.Channel),
                Offset = offset,
                Attempt = attempt,
                Body = body.Bytes.ToArray(),
            };
        }

        var answer = await Receivers(grains).TakeAsync(name, request);
        switch (answer)
        {
            case ReceiverAnswer.Unknown:
                // After a restart, until a page tells it again. Holding costs the message none of its attempts.
                context.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
                break;
            case ReceiverAnswer.Busy:
                context.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
                break;
            case ReceiverAnswer.Slow:
                await WaitAsync(SlowTime, context, lifetime);
                break;
            case ReceiverAnswer.Hang:
                await WaitAsync(HangTime, context, lifetime);
                context.Abort();
                break;
            case ReceiverAnswer.Reset:
                context.Abort();
                break;
        }

        return answer == ReceiverAnswer.Redirect ? Results.Redirect("/docs") : Results.StatusCode(StatusOf(answer) ?? StatusCodes.Status204NoContent);
    }

    /// <summary>The status of an answer; null: there is none.</summary>
    internal static int? StatusOf(ReceiverAnswer answer) => answer switch
    {
        ReceiverAnswer.Unknown => StatusCodes.Status503ServiceUnavailable,
        ReceiverAnswer.Refused => StatusCodes.Status401Unauthorized,
        ReceiverAnswer.Error => StatusCodes.Status500InternalServerError,
        ReceiverAnswer.Reject => StatusCodes.Status400BadRequest,
        ReceiverAnswer.Busy => StatusCodes.Status429TooManyRequests,
        ReceiverAnswer.Gone => StatusCodes.Status410Gone,
        ReceiverAnswer.Redirect => StatusCodes.Status302Found,
        ReceiverAnswer.Hang or ReceiverAnswer.Reset => null,
        _ => StatusCodes.Status204NoContent,
    };

    /// <summary>Waits, but not when many wait already, and not longer than the caller or this server.</summary>
    private static async Task WaitAsync(TimeSpan howLong, HttpContext context, IHostApplicationLifetime lifetime)
    {
        try
        {
            if (Interlocked.Increment(ref _waiting) > MaxWaiting) return;
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, lifetime.ApplicationStopping);
            await Task.Delay(howLong, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private static (ReceiverBehaviour? Behaviour, string? Secret) Parse(ReadOnlySpan<byte> utf8)
    {
        ReceiverBehaviour? behaviour = null;
        string? secret = null;
        BodyJson.ReadObject(utf8, true, (string name, ref Utf8JsonReader reader) =>
        {
            switch (name)
            {
                case "behaviour":
                    var text = BodyJson.TextOrNull(ref reader, name);
                    behaviour = Enum.GetValues<ReceiverBehaviour>().Where(b => SampleReceiverItem.Name(b) == text).Select(b => (ReceiverBehaviour?)b).FirstOrDefault()
                        ?? throw BodyJson.Bad($"'behaviour' must be one of {string.Join(", ", Enum.GetValues<ReceiverBehaviour>().Select(b => SampleReceiverItem.Name(b)))}.");
                    return true;
                case "secret":
                    secret = BodyJson.TextOrNull(ref reader, name);
                    if (!WebhookSecret.TryParse(secret ?? "", out _, out var problem)) throw BodyJson.Bad($"'secret': {problem}.");
                    return true;
                default:
                    return false;
            }
        });
        return (behaviour, secret);
    }

    private static ISampleReceiverGrain Receivers(IGrainFactory grains) => grains.GetGrain<ISampleReceiverGrain>(0);

    private static GridProblem BadName() => GridProblem.BadRequest($"A receiver's name has 1 to {OwnReceiver.MaxName} characters of a-z 0-9 -.");

    private static GridProblem Unknown() => WebhookAccess.NotFound("There is no such receiver: it was never told a secret, or has forgotten it.");
}

/// <summary>A receiver, as the page reads it.</summary>
internal sealed record SampleReceiverItem(
    string? Url, string Behaviour, long Total, long Refused, long Accepted, long Repeats, IReadOnlyList<SampleReceiverRequest> Received)
{
    public static SampleReceiverItem Of(ReceiverState state, string? url) => new(
        url, Name(state.Behaviour), state.Total, state.Refused, state.Accepted, state.Repeats, [.. state.Received.Select(SampleReceiverRequest.Of)]);

    public static string Name(Enum value) => JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}

/// <summary>A request that was received; without a status when it was not answered.</summary>
internal sealed record SampleReceiverRequest(
    long Number, DateTime At, string Id, string Channel, long Offset, int Attempt, string Body, string Answer, int? Status)
{
    public static SampleReceiverRequest Of(ReceivedItem item) => new(
        item.Number, item.At, item.Id, item.Channel, item.Offset, item.Attempt, item.Body, SampleReceiverItem.Name(item.Answer),
        SampleReceiverEndpoints.StatusOf(item.Answer));
}

/// <summary>How it is written.</summary>
[JsonSerializable(typeof(SampleReceiverItem))]
internal sealed partial class SampleReceiverJson : JsonSerializerContext
{
    public static SampleReceiverJson Api { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

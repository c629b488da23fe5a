using System.Globalization;
using System.Text.Json;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Webhooks.Sending;

/// <summary>What an answer means for the message and the endpoint.</summary>
internal static class OutcomeOf
{
    /// <summary>The shortest hold: an endpoint that says "at once" would else be asked without a pause, and without using up attempts.</summary>
    private const long MinHoldMs = 1_000;

    /// <summary>Judges a response.</summary>
    public static Outcome Response(WebhookResponse response)
    {
        var took = (long)response.Duration.TotalMilliseconds;
        if (response.IsSuccess) return new Outcome(OutcomeKind.Delivered, took);
        var failure = response.Error == WebhookErrorClass.Status && response.Status is { } status
            ? status.ToString(CultureInfo.InvariantCulture)
            : JsonNamingPolicy.CamelCase.ConvertName(response.Error.ToString());
        return response switch
        {
            { Error: WebhookErrorClass.Cancelled } => new Outcome(OutcomeKind.Lost, took, Failure: failure),
            { Error: WebhookErrorClass.Proxy or WebhookErrorClass.Busy } => new Outcome(OutcomeKind.LocalFault, took, Failure: failure),
            { Error: WebhookErrorClass.Status, Status: 410 } => new Outcome(OutcomeKind.Gone, took, Failure: failure),
            { Error: WebhookErrorClass.Status, Status: 429 or 503, RetryAfter: { } hold } =>
                new Outcome(OutcomeKind.Hold, took, Math.Max(MinHoldMs, (long)hold.TotalMilliseconds), failure),
            { Error: WebhookErrorClass.Status, Status: >= 400 and < 500 and not 429 } => new Outcome(OutcomeKind.Rejected, took, Failure: failure),
            _ => new Outcome(OutcomeKind.Failed, took, Failure: failure),
        };
    }
}

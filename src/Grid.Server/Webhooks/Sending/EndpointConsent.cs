using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Webhooks.Sending;

/// <summary>
/// Whether an endpoint agreed to deliveries by the handshake of CloudEvents (<see cref="CloudEventsHandshake"/>). Asked before the first
/// attempt, by one request however many attempts wait for it; a refusal is a failed attempt, so that it is asked again with the next.
/// </summary>
/// <param name="origin">Who asks.</param>
internal sealed class EndpointConsent(string origin)
{
    private readonly Lock _gate = new();
    private Task<WebhookResponse>? _asking;

    /// <summary>Who asks; sent with deliveries, too.</summary>
    public string Origin => origin;

    /// <summary>Whether the endpoint agreed.</summary>
    public bool IsGiven { get; private set; }

    /// <summary>The most requests a minute that it agreed to; null: no limit.</summary>
    public int? PerMinute { get; private set; }

    /// <summary>Notes a consent that was given earlier.</summary>
    public void Give(int? perMinute) => (PerMinute, IsGiven) = (perMinute, true);

    /// <summary>Asks, unless it was given. Null: the endpoint agrees; else what stands for the attempt's answer.</summary>
    public async Task<WebhookResponse?> AskAsync(WebhookHttp http, string tenant, Uri url, CancellationToken stop)
    {
        if (IsGiven) return null;
        Task<WebhookResponse> asking;
        lock (_gate) asking = _asking is null or { IsCompleted: true } ? _asking = RequestAsync(http, tenant, url, stop) : _asking;
        var response = await asking;
        if (IsGiven) return null;
        return response.Error is WebhookErrorClass.None or WebhookErrorClass.Status or WebhookErrorClass.Redirect
            ? response with { Error = WebhookErrorClass.Protocol, Detail = "The endpoint did not agree to deliveries (WebHook-Allowed-Origin)." }
            : response;
    }

    private async Task<WebhookResponse> RequestAsync(WebhookHttp http, string tenant, Uri url, CancellationToken stop)
    {
        var response = await http.SendAsync(
            new WebhookRequest
            {
                Url = url,
                Tenant = tenant,
                Method = HttpMethod.Options,
                Headers = CloudEventsHandshake.Request(origin),
                AnswerHeaders = [CloudEventsHandshake.AllowedOrigin, CloudEventsHandshake.AllowedRate],
            },
            stop);

        // Consent is in headers alone, whatever the status says.
        if (response.Status is null) return response;
        var answer = CloudEventsHandshake.Judge(
            origin, rateAsked: false, Values(response, CloudEventsHandshake.AllowedOrigin), Values(response, CloudEventsHandshake.AllowedRate));
        if (answer.Allowed) Give(answer.PerMinute);
        return response;
    }

    private static string[] Values(WebhookResponse response, string name) => response.Headers.GetValueOrDefault(name) ?? [];
}

using System.Globalization;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks.Sending;

// A request, made of a message, and the attempt made of its answer.
internal sealed partial class WebhookSender
{
    private Task<WebhookResponse> ExchangeAsync(WebhookTarget target, WebhookMessage message, int number, WebhookHttp http)
    {
        var url = target.Url;
        if (target.Webhook.Tenant == TenancyBootstrap.PlaygroundTenant)
        {
            // The tenant's members are strangers: what they make goes to the sample receiver, whatever its URL says and whatever is allowed to others.
            if (_own is null || _receiver?.Redirect(url) is not { } own) return Task.FromResult(Refused());
            (http, url) = (_own, own);
        }

        return target.Consent is { IsGiven: false } consent
            ? AskFirstAsync(consent, target, message, number, http, url)
            : SignAndSendAsync(target, message, number, http, url);
    }

    private async Task<WebhookResponse> AskFirstAsync(
        EndpointConsent consent, WebhookTarget target, WebhookMessage message, int number, WebhookHttp http, Uri url) =>
        await consent.AskAsync(http, target.Webhook.Tenant, url, _abort.Token) is { } refusal
            ? refusal
            : await SignAndSendAsync(target, message, number, http, url);

    private Task<WebhookResponse> SignAndSendAsync(WebhookTarget target, WebhookMessage message, int number, WebhookHttp http, Uri url)
    {
        var content = target.Format.Format(message);
        var signed = StandardWebhooksSigner.Sign(message.Id, content.Body.Span, target.Secrets, _time.GetUtcNow());
        List<KeyValuePair<string, string>> headers =
        [
            new(WebhookHeaders.Id, signed.Id),
            new(WebhookHeaders.Timestamp, signed.Timestamp),
            new(WebhookHeaders.Signature, signed.Signature),
            new(WebhookHeaders.Channel, message.Channel),
            new(WebhookHeaders.Offset, message.Message.Offset.ToString(CultureInfo.InvariantCulture)),
            new(WebhookHeaders.Attempt, number.ToString(CultureInfo.InvariantCulture)),
            .. content.Headers,
        ];
        if (target.Consent is { Origin: var origin }) headers.Add(new(CloudEventsHandshake.RequestOrigin, origin));

        // Of a name that occurs twice the first counts, so these override nothing.
        headers.AddRange(target.Headers);
        return http.SendAsync(
            new WebhookRequest { Url = url, Tenant = target.Webhook.Tenant, Body = content.Body, ContentType = content.ContentType, Headers = headers }, _abort.Token);
    }

    private WebhookResponse Refused() => new()
    {
        Error = WebhookErrorClass.RefusedAddress,
        Detail = "Webhooks of the playground go to its sample receiver only, which cannot be reached.",
        StartedAt = _time.GetUtcNow(),
        Duration = TimeSpan.Zero,
    };

    private static StoredAttempt Row(WebhookTarget target, string messageId, MessageRef message, int number, WebhookResponse response)
    {
        var at = response.StartedAt.ToUnixTimeMilliseconds();
        return new StoredAttempt
        {
            Webhook = target.Webhook,
            Id = AttemptId.New(at),
            MessageId = messageId,
            Ref = message,
            Number = number,
            At = at,
            DurationMs = (int)response.Duration.TotalMilliseconds,
            Status = response.Status ?? 0,
            Error = response.Error,
            Detail = response.Detail,
            Answer = response.Body.Length > 0 ? response.Body : null,
            AnswerClipped = response.BodyClipped,
        };
    }
}

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Grid.Abstractions;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

/// <summary>
/// What is published about subscriptions, for operators to subscribe to by socket or by webhook: on the tenant's channel
/// <c>grid:webhooks</c>, with an idempotency key, since an effect that is carried out again after a crash must not be told twice.
/// </summary>
internal static class WebhookEvents
{
    /// <summary>The channel.</summary>
    public const string Channel = "grid:webhooks";

    /// <summary>The event of a test delivery; never published.</summary>
    public const string Test = "grid.test";

    /// <summary>
    /// The event of an effect; null: nothing is told. Nothing is told of messages of <see cref="Channel"/> itself: a subscription that
    /// cannot deliver these would else feed itself.
    /// </summary>
    public static MessageDraft? Of(WebhookId webhook, WebhookEffect effect) => effect switch
    {
        WebhookEffect.Failing e => Draft(webhook, "failing", e.At, null, w => Text(w, "failure", e.Failure)),
        WebhookEffect.CircuitOpened e => Draft(webhook, "circuit_opened", e.At, null, null),
        WebhookEffect.Recovered e => Draft(webhook, "recovered", e.At, null, null),
        WebhookEffect.Disabled e => Draft(webhook, "disabled", e.At, null, w => Text(w, "reason", ReasonOf(e.Reason))),
        WebhookEffect.DeadLetter { Ref.Channel: not Channel } e => Draft(webhook, "exhausted", e.At, e.Ref, w =>
        {
            w.WriteNumber("attempts", e.Attempts);
            Text(w, "failure", e.Failure);
        }),
        WebhookEffect.PausedAt { Ref.Channel: not Channel } e => Draft(webhook, "paused", e.At, e.Ref, null),
        WebhookEffect.Truncated { Channel: not Channel } e => Draft(webhook, "truncated", 0, new MessageRef(e.Channel, e.Epoch, e.From), w =>
        {
            w.WriteNumber("to", e.To);
            w.WriteNumber("count", e.Count);
            Text(w, "reason", e.Reason == TruncationReason.Epoch ? "epoch" : "retention");
        }),
        _ => null,
    };

    /// <summary>The word for why a subscription is disabled; null: it is not.</summary>
    public static string? ReasonOf(DisabledReason reason) => reason switch
    {
        DisabledReason.Request => "request",
        DisabledReason.Gone => "gone",
        DisabledReason.NoSuccess => "noSuccess",
        _ => null,
    };

    private static MessageDraft Draft(WebhookId webhook, string type, long at, MessageRef? message, Action<Utf8JsonWriter>? more)
    {
        var output = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteString("webhook", webhook.Id);
            if (at > 0) writer.WriteString("at", DateTimeOffset.FromUnixTimeMilliseconds(at).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            if (message is { } of)
            {
                writer.WriteString("channel", of.Channel);
                writer.WriteString("epoch", of.Epoch);
                writer.WriteNumber(type == "truncated" ? "from" : "offset", of.Offset);
                if (type != "truncated") writer.WriteString("message", of.ToId());
            }

            more?.Invoke(writer);
            writer.WriteEndObject();
        }

        // A channel's name alone can have 200 of the 256 bytes that a key may have: the place goes in as a hash.
        var place = message is { } place1 ? Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(
            System.Text.Encoding.UTF8.GetBytes(place1.ToId())).AsSpan(0, 12)) : string.Empty;
        return new MessageDraft
        {
            Data = output.WrittenMemory,
            Event = "webhook." + type,
            Key = string.Create(CultureInfo.InvariantCulture, $"{webhook.Id}/{type}/{at}/{place}"),
        };
    }

    private static void Text(Utf8JsonWriter writer, string name, string? value)
    {
        if (value is not null) writer.WriteString(name, value);
    }
}

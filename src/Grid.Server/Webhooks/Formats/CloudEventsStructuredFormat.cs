using System.Buffers;
using System.Text.Json;

namespace Grid.Server.Webhooks.Formats;

/// <summary>
/// CloudEvents 1.0 in structured mode, in their JSON format: attributes and payload in one object, <c>data</c> for JSON and
/// <c>data_base64</c> for bytes.
/// </summary>
internal sealed class CloudEventsStructuredFormat(CloudEventAttributes attributes) : IWebhookFormat
{
    /// <inheritdoc/>
    public string Name => "cloudevents";

    /// <inheritdoc/>
    public WebhookContent Format(in WebhookMessage message)
    {
        var payload = message.Message.Payload;
        var output = new ArrayBufferWriter<byte>(JsonBody.InitialSize(payload));
        using (var writer = new Utf8JsonWriter(output, JsonBody.Options))
        {
            writer.WriteStartObject();
            foreach (var (name, value) in attributes.Of(message)) writer.WriteString(name, value);
            writer.WriteString("datacontenttype"u8, payload.IsBinary ? CloudEventAttributes.BinaryType : CloudEventAttributes.JsonType);
            JsonBody.WritePayload(writer, payload, "data_base64"u8);
            writer.WriteEndObject();
        }

        return new WebhookContent(output.WrittenMemory, "application/cloudevents+json; charset=utf-8", []);
    }
}

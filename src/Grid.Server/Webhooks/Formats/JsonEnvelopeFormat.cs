using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Grid.Protocol;

namespace Grid.Server.Webhooks.Formats;

/// <summary>
/// Grid's own form, as the Standard Webhooks specification recommends it: <c>{"type":"order.created","timestamp":"RFC 3339","data":…}</c>.
/// A payload of bytes stands as base64 under <c>data64</c> in place of <c>data</c>, as in every other JSON of Grid.
/// </summary>
internal sealed class JsonEnvelopeFormat : IWebhookFormat
{
    /// <inheritdoc/>
    public string Name => "json";

    /// <inheritdoc/>
    public WebhookContent Format(in WebhookMessage message)
    {
        var output = new ArrayBufferWriter<byte>(JsonBody.InitialSize(message.Message.Payload));
        using (var writer = new Utf8JsonWriter(output, JsonBody.Options))
        {
            writer.WriteStartObject();
            writer.WriteString("type"u8, message.Type);
            writer.WriteString("timestamp"u8, message.Time);
            JsonBody.WritePayload(writer, message.Message.Payload, "data64"u8);
            writer.WriteEndObject();
        }

        return new WebhookContent(output.WrittenMemory, "application/json", []);
    }
}

/// <summary>What the JSON formats share.</summary>
internal static class JsonBody
{
    /// <summary>
    /// Letters of every script stay readable; receivers parse JSON, so nothing needs escaping for HTML. The structure is this code's
    /// own and needs no check.
    /// </summary>
    public static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    private const int Envelope = 160;

    /// <summary>Room for a body, so that it is seldom moved.</summary>
    public static int InitialSize(Payload payload) =>
        Envelope + (payload.IsBinary ? (payload.Bytes.Length + 2) / 3 * 4 : payload.Bytes.Length);

    /// <summary>Writes the payload as <c>data</c>, or as base64 under <paramref name="binaryName"/>.</summary>
    public static void WritePayload(Utf8JsonWriter writer, Payload payload, ReadOnlySpan<byte> binaryName)
    {
        if (payload.IsBinary)
        {
            writer.WriteBase64String(binaryName, payload.Bytes.Span);
            return;
        }

        writer.WritePropertyName("data"u8);
        writer.WriteRawValue(payload.Bytes.Span, skipInputValidation: true);
    }
}

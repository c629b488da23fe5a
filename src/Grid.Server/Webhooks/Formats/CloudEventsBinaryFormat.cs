using System.Buffers;
using System.Text;

namespace Grid.Server.Webhooks.Formats;

/// <summary>
/// CloudEvents 1.0 in binary mode (HTTP protocol binding 1.0.2, section 3.1): the payload is the body, the attributes are headers
/// <c>ce-…</c>. The headers are not signed, except the id, which is <c>webhook-id</c> too; who needs them signed takes the structured
/// mode.
/// </summary>
internal sealed class CloudEventsBinaryFormat(CloudEventAttributes attributes) : IWebhookFormat
{
    private static readonly SearchValues<char> Plain =
        SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c).Where(c => c is not ('"' or '%'))]);

    /// <inheritdoc/>
    public string Name => "cloudevents-binary";

    /// <inheritdoc/>
    public WebhookContent Format(in WebhookMessage message)
    {
        var payload = message.Message.Payload;
        var headers = attributes.Of(message);
        for (var i = 0; i < headers.Count; i++) headers[i] = new("ce-" + headers[i].Key, EncodeValue(headers[i].Value));
        return new WebhookContent(
            payload.Bytes, payload.IsBinary ? CloudEventAttributes.BinaryType : CloudEventAttributes.JsonType, headers);
    }

    /// <summary>
    /// An attribute's value as a header's: percent-encoded is every byte of the UTF-8 that is not printable ASCII, and the space, the
    /// double quote and the percent sign (section 3.1.3.2).
    /// </summary>
    public static string EncodeValue(string value)
    {
        if (!value.AsSpan().ContainsAnyExcept(Plain)) return value;
        var result = new StringBuilder(value.Length * 2);
        foreach (var unit in Encoding.UTF8.GetBytes(value))
        {
            if (Plain.Contains((char)unit)) result.Append((char)unit);
            else result.Append('%').Append(unit.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }

        return result.ToString();
    }
}

using System.Globalization;
using System.Text;

namespace Grid.Server.Webhooks.Formats;

/// <summary>
/// The context attributes of a message as a CloudEvent 1.0, all but <c>datacontenttype</c>: <c>specversion</c>, <c>id</c> (the
/// <c>webhook-id</c>), <c>source</c> (the channel's address in the HTTP API), <c>type</c>, <c>time</c>, and as extensions
/// <c>gridchannel</c>, <c>gridepoch</c>, <c>gridoffset</c> and <c>gridkey</c>, which are left out when there is none.
/// </summary>
/// <remarks>
/// <c>gridoffset</c> is a string because a CloudEvents Integer has 32 bits. The extension <c>sequence</c> is not used: it promises an
/// order for the life of a source, and offsets begin anew with an epoch.
/// </remarks>
internal sealed class CloudEventAttributes
{
    /// <summary>The content type of JSON payloads.</summary>
    public const string JsonType = "application/json";

    /// <summary>The content type of payloads of bytes, of which Grid does not know more.</summary>
    public const string BinaryType = "application/octet-stream";

    private const string ChannelsPath = "/v1/channels/";

    private readonly string _source;

    /// <summary>Makes the attributes' maker.</summary>
    /// <param name="publicUrl">What <c>source</c> begins with; null for a relative one.</param>
    /// <exception cref="ArgumentException">No absolute http or https address, or one with a user, query or fragment.</exception>
    public CloudEventAttributes(Uri? publicUrl)
    {
        if (publicUrl is null)
        {
            _source = ChannelsPath;
            return;
        }

        if (!publicUrl.IsAbsoluteUri || publicUrl.Scheme is not ("http" or "https")
            || publicUrl.UserInfo.Length + publicUrl.Query.Length + publicUrl.Fragment.Length > 0)
            throw new ArgumentException("An absolute http or https address without user, query and fragment is needed.", nameof(publicUrl));
        _source = publicUrl.AbsoluteUri.TrimEnd('/') + ChannelsPath;
    }

    /// <summary>The attributes, in the order in which they are written.</summary>
    public List<KeyValuePair<string, string>> Of(in WebhookMessage message)
    {
        List<KeyValuePair<string, string>> attributes =
        [
            new("specversion", "1.0"),
            new("id", message.Id),
            // Every character of a channel's name may stand in a path as it is (RFC 3986, 3.3).
            new("source", _source + message.Channel),
            new("type", Allowed(message.Type)),
            new("time", message.Time),
            new("gridchannel", message.Channel),
        ];
        if (message.Message.Offset > 0)
        {
            attributes.Add(new("gridepoch", Allowed(message.Epoch)));
            attributes.Add(new("gridoffset", message.Message.Offset.ToString(CultureInfo.InvariantCulture)));
        }

        if (message.Message.Key is { } key) attributes.Add(new("gridkey", Allowed(key)));
        return attributes;
    }

    /// <summary>
    /// A text with U+FFFD for what a CloudEvents String may not hold: control characters, noncharacters and halves of surrogate pairs
    /// (CloudEvents 1.0, "Type System").
    /// </summary>
    public static string Allowed(string text)
    {
        if (!text.AsSpan().ContainsAnyExceptInRange(' ', '~')) return text;
        // Half a surrogate pair is enumerated as U+FFFD.
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes()) result.Append(IsAllowed(rune) ? rune.ToString() : "\uFFFD");
        return result.ToString();
    }

    private static bool IsAllowed(Rune rune) =>
        !Rune.IsControl(rune) && (rune.Value & 0xFFFE) != 0xFFFE && rune.Value is not (>= 0xFDD0 and <= 0xFDEF);
}

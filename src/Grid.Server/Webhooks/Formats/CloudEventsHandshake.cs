using System.Globalization;

namespace Grid.Server.Webhooks.Formats;

/// <summary>Why a target did not consent to deliveries.</summary>
internal enum HandshakeRefusal
{
    /// <summary>It did consent.</summary>
    None,

    /// <summary>The answer has no <c>WebHook-Allowed-Origin</c>: the target knows nothing of the handshake, or does not want to.</summary>
    NoOrigin,

    /// <summary>No <c>WebHook-Allowed-Origin</c> of the answer names who asked.</summary>
    OtherOrigin,

    /// <summary>A rate was asked for and the answer has no <c>WebHook-Allowed-Rate</c>.</summary>
    NoRate,

    /// <summary>No <c>WebHook-Allowed-Rate</c> of the answer is a positive number or <c>*</c>.</summary>
    BadRate,
}

/// <summary>What a target answered to the handshake.</summary>
/// <param name="Refusal">Why it did not consent; <see cref="HandshakeRefusal.None"/> when it did.</param>
/// <param name="PerMinute">The most requests a minute that it consented to; null for no limit, or none named.</param>
internal readonly record struct HandshakeAnswer(HandshakeRefusal Refusal, int? PerMinute)
{
    /// <summary>Whether the target consents to deliveries.</summary>
    public bool Allowed => Refusal == HandshakeRefusal.None;
}

/// <summary>
/// The validation handshake of "HTTP 1.1 Web Hooks for Event Delivery" 1.0.2 (CloudEvents), section 4: an OPTIONS request to the
/// target's address asks whether it wants deliveries. It protects third parties from a sender, and tells nothing about who the target
/// is. Consent is given by headers alone: the status code says nothing, since many servers answer every OPTIONS with 200.
/// </summary>
internal static class CloudEventsHandshake
{
    /// <summary>Who asks; also to be sent with every delivery after a consent.</summary>
    public const string RequestOrigin = "WebHook-Request-Origin";

    /// <summary>The rate asked for, in requests a minute.</summary>
    public const string RequestRate = "WebHook-Request-Rate";

    /// <summary>Where to consent later, by a request of the target's own.</summary>
    public const string RequestCallback = "WebHook-Request-Callback";

    /// <summary>Whose deliveries the target wants: the origin, or <c>*</c>.</summary>
    public const string AllowedOrigin = "WebHook-Allowed-Origin";

    /// <summary>The rate it consents to, in requests a minute, or <c>*</c>.</summary>
    public const string AllowedRate = "WebHook-Allowed-Rate";

    private const string Any = "*";

    /// <summary>Whether a text may be an origin: a DNS name in ASCII with at most 253 characters, such as <c>grid.example.com</c>.</summary>
    public static bool IsOrigin(string text) =>
        text.Length is > 0 and <= 253 && System.Text.Ascii.IsValid(text) && Uri.CheckHostName(text) == UriHostNameType.Dns;

    /// <summary>The headers of the OPTIONS request.</summary>
    /// <param name="origin">The name of this sender, the same for all its servers.</param>
    /// <param name="perMinute">The rate to ask for, in requests a minute; null to ask for none.</param>
    /// <param name="callback">Where the target may consent later; https, with a key that cannot be guessed. Null for no such way.</param>
    /// <exception cref="ArgumentException">One of them is none.</exception>
    public static List<KeyValuePair<string, string>> Request(string origin, int? perMinute = null, Uri? callback = null)
    {
        if (!IsOrigin(origin)) throw new ArgumentException("The origin is a DNS name.", nameof(origin));
        if (perMinute is { } given) ArgumentOutOfRangeException.ThrowIfLessThan(given, 1, nameof(perMinute));
        List<KeyValuePair<string, string>> headers = [new(RequestOrigin, origin)];
        if (callback is not null)
        {
            if (!callback.IsAbsoluteUri || callback.Scheme != Uri.UriSchemeHttps)
                throw new ArgumentException("The callback is an https address.", nameof(callback));
            headers.Add(new(RequestCallback, callback.AbsoluteUri));
        }

        if (perMinute is { } rate) headers.Add(new(RequestRate, rate.ToString(CultureInfo.InvariantCulture)));
        return headers;
    }

    /// <summary>
    /// Judges the answer. A value is one name, or one rate: the specification has no lists, so one with a comma is none. A header that is there
    /// several times, as when a proxy adds one to the target's own, consents if one of them does; of several rates the lowest holds.
    /// </summary>
    /// <param name="origin">Who asked.</param>
    /// <param name="rateAsked">Whether a rate was asked for; then the target must name one.</param>
    /// <param name="allowedOrigin">The values of <see cref="AllowedOrigin"/> in the answer.</param>
    /// <param name="allowedRate">The values of <see cref="AllowedRate"/> in the answer.</param>
    public static HandshakeAnswer Judge(
        string origin, bool rateAsked, IReadOnlyList<string> allowedOrigin, IReadOnlyList<string> allowedRate)
    {
        if (allowedOrigin.Count == 0) return Refused(HandshakeRefusal.NoOrigin);
        if (!allowedOrigin.Any(name => IsFor(name.Trim(), origin))) return Refused(HandshakeRefusal.OtherOrigin);
        if (allowedRate.Count == 0) return rateAsked ? Refused(HandshakeRefusal.NoRate) : new(HandshakeRefusal.None, null);
        int?[] rates = [.. allowedRate.Select(static rate => ParseRate(rate.Trim())).Where(static rate => rate != 0)];
        return rates.Length == 0 ? Refused(HandshakeRefusal.BadRate) : new(HandshakeRefusal.None, rates.Min());
    }

    // DNS names are compared without regard to case (RFC 4343).
    private static bool IsFor(string name, string origin) => name == Any || name.Equals(origin, StringComparison.OrdinalIgnoreCase);

    /// <summary>Requests a minute; null: without a limit; 0: it is no rate.</summary>
    private static int? ParseRate(string rate)
    {
        if (rate == Any) return null;
        if (rate.Length == 0 || rate.AsSpan().ContainsAnyExceptInRange('0', '9')) return 0;

        // A number past any rate that could be reached is a limit all the same.
        return int.TryParse(rate, NumberStyles.None, CultureInfo.InvariantCulture, out var read) ? read : int.MaxValue;
    }

    private static HandshakeAnswer Refused(HandshakeRefusal why) => new(why, null);
}

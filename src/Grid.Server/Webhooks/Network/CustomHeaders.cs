using System.Buffers;

namespace Grid.Server.Webhooks.Network;

/// <summary>A subscription's own headers: which it may have, and how they are shown.</summary>
internal static class CustomHeaders
{
    /// <summary>The most headers.</summary>
    public const int MaxCount = 20;

    /// <summary>The most characters of a name.</summary>
    public const int MaxName = 100;

    /// <summary>The most characters of a value.</summary>
    public const int MaxValue = 2048;

    /// <summary>The most characters of all names and values.</summary>
    public const int MaxTotal = 8 * 1024;

    /// <summary>What reads show in place of every value: some are credentials, and which is not told by their names.</summary>
    public const string Redacted = "********";

    /// <summary>The characters of a token (RFC 9110, 5.6.2).</summary>
    private static readonly SearchValues<char> TokenCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");

    /// <summary>
    /// Names that are not the tenant's to set: of the connection (RFC 9110, 7.6.1), of the message's framing and form, of the host that TLS
    /// checks; and those by which metadata services of clouds tell a meant request from a tricked one.
    /// </summary>
    private static readonly HashSet<string> Refused = new(StringComparer.OrdinalIgnoreCase)
    {
        "connection", "keep-alive", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "http2-settings", "expect", "via", "max-forwards",
        "host", "accept-encoding", "date", "allow", "expires", "last-modified", "traceparent", "tracestate", "baggage", "forwarded", "x-real-ip",
        "metadata", "metadata-flavor", "x-google-metadata-request", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds",
    };

    private static readonly string[] RefusedPrefixes = ["webhook-", "grid-", "ce-", "content-", "proxy-", "sec-", "x-forwarded-"];

    /// <summary>No headers.</summary>
    public static IReadOnlyDictionary<string, string> None { get; } = new Dictionary<string, string>();

    /// <summary>Tells everything that is wrong with a subscription's headers; nothing when they are good. Values are not repeated.</summary>
    public static IReadOnlyList<string> Check(IReadOnlyCollection<KeyValuePair<string, string>> headers)
    {
        var errors = new List<string>();
        if (headers.Count > MaxCount) errors.Add($"headers has more than {MaxCount} entries.");
        if (headers.Sum(static h => h.Key.Length + (h.Value?.Length ?? 0)) > MaxTotal) errors.Add($"headers has more than {MaxTotal} characters.");
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, value) in headers)
        {
            if (name.Length is 0 or > MaxName || name.AsSpan().ContainsAnyExcept(TokenCharacters))
            {
                errors.Add($"headers: a name has 1 to {MaxName} characters that header names may have.");
                continue;
            }

            if (IsRefused(name)) errors.Add($"headers: {name} cannot be set.");
            if (!names.Add(name)) errors.Add($"headers: {name} is there twice.");
            if (value is null || value.Length > MaxValue || value.AsSpan().ContainsAnyExceptInRange(' ', '~') || value.Trim().Length != value.Length)
                errors.Add($"headers: the value of {name} has up to {MaxValue} printable ASCII characters, and no space at its ends.");
            else if (value == Redacted)
                errors.Add($"headers: the value of {name} is what reads show in place of the real one.");
        }

        return errors;
    }

    /// <summary>Whether a name is not the tenant's to set.</summary>
    public static bool IsRefused(string name) =>
        Refused.Contains(name) || RefusedPrefixes.Any(prefix => name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase));

    /// <summary>The headers as reads show them.</summary>
    public static IReadOnlyDictionary<string, string> Redact(IEnumerable<KeyValuePair<string, string>> headers) =>
        headers.ToDictionary(static h => h.Key, static _ => Redacted, StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// A change of the headers by somebody who read them: a value that is still <see cref="Redacted"/> stays what it was. What it was
    /// not has no value to keep, and fails <see cref="Check"/>.
    /// </summary>
    public static IReadOnlyDictionary<string, string> Merge(
        IReadOnlyDictionary<string, string> stored, IEnumerable<KeyValuePair<string, string>> given)
    {
        var known = new Dictionary<string, string>(stored, StringComparer.OrdinalIgnoreCase);
        var merged = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, value) in given) merged[name] = value == Redacted && known.TryGetValue(name, out var old) ? old : value;
        return merged;
    }
}

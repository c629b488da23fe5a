using System.Globalization;
using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// A subscription's URL, checked: the normalised form, or everything that is wrong with it. It is read here by the strictest
/// common part of RFC 3986 and the URL standard, and then compared with what <see cref="System.Uri"/> makes of it, so that no two
/// readers of the same text can see two hosts.
/// </summary>
/// <remarks>A good URL says nothing yet about where its name leads; that is checked for each connection (<see cref="GuardedConnector"/>).</remarks>
/// <param name="Uri">The normalised URL, or null when there are errors.</param>
/// <param name="Errors">What is wrong; empty when nothing is.</param>
internal readonly record struct WebhookUrl(Uri? Uri, IReadOnlyList<string> Errors)
{
    /// <summary>The most characters of a URL.</summary>
    public const int MaxLength = 2048;

    /// <summary>Reads and checks a URL.</summary>
    public static WebhookUrl Parse(string? text, NetworkRules rules)
    {
        if (string.IsNullOrEmpty(text)) return new WebhookUrl(null, ["url is missing."]);
        var errors = new List<string>();
        if (text.Length > MaxLength) errors.Add($"url is longer than {MaxLength} characters.");
        CheckCharacters(text, errors);

        // What the parts of such a text are cannot be said for sure.
        if (errors.Count > 0) return new WebhookUrl(null, errors);

        if (Scheme(text) is not { } scheme)
            return new WebhookUrl(null, [$"url must be absolute and start with https://{(rules.AllowsHttp ? " or http://" : "")}"]);
        if (!rules.AllowsScheme(scheme)) errors.Add("url must be https.");

        var rest = text[(scheme.Length + "://".Length)..];
        if (rest.Contains('#', StringComparison.Ordinal)) errors.Add("url must not have a fragment (#).");
        var end = rest.AsSpan().IndexOfAny("/?#");
        var authority = end < 0 ? rest : rest[..end];
        var at = authority.LastIndexOf('@');
        if (at >= 0)
        {
            errors.Add("url must not have a user name or password.");
            authority = authority[(at + 1)..];
        }

        var (host, port) = Split(authority, scheme, errors);
        if (port is { } number && !rules.AllowsPort(number)) errors.Add($"url's port is {number}; allowed: {rules.Ports}.");
        if (host is not null) WebhookHost.Check(host, rules.Addresses, errors);
        if (errors.Count > 0) return new WebhookUrl(null, errors);

        // The same text as the HTTP library will read it.
        if (!System.Uri.TryCreate(text, UriKind.Absolute, out var uri) || !Agrees(uri, scheme, host!, port!.Value))
            return new WebhookUrl(null, ["url is not well formed."]);
        return uri.AbsoluteUri.Length > MaxLength
            ? new WebhookUrl(null, [$"url is longer than {MaxLength} characters when written in its normal form."])
            : new WebhookUrl(new Uri(uri.AbsoluteUri), []);
    }

    private static void CheckCharacters(string text, List<string> errors)
    {
        var (control, space, backslash, foreign) = (false, false, false, false);
        foreach (var c in text)
        {
            control |= c is < ' ' or '\x7f' && c is not ('\t' or '\n' or '\r');
            space |= c is ' ' or '\t' or '\n' or '\r';
            backslash |= c == '\\';
            foreign |= c > '\x7f';
        }

        if (control) errors.Add("url must not have control characters.");
        if (space) errors.Add("url must not have white space.");
        if (backslash) errors.Add("url must not have backslashes.");
        if (foreign) errors.Add("url must be ASCII: international host names as punycode (xn--…), the rest percent-encoded.");
    }

    private static string? Scheme(string text)
    {
        foreach (var scheme in (string[])[System.Uri.UriSchemeHttps, System.Uri.UriSchemeHttp])
        {
            if (text.StartsWith(scheme + "://", StringComparison.OrdinalIgnoreCase)) return scheme;
        }

        return null;
    }

    /// <summary>Takes host and port apart; null for what could not be told, with an error.</summary>
    private static (string? Host, int? Port) Split(string authority, string scheme, List<string> errors)
    {
        var hostEnd = authority.StartsWith('[') ? authority.IndexOf(']', StringComparison.Ordinal) + 1 : authority.IndexOf(':', StringComparison.Ordinal);
        if (hostEnd == 0 && authority.StartsWith('['))
        {
            errors.Add("url's IPv6 address has no closing bracket.");
            return (null, null);
        }

        var host = hostEnd < 0 ? authority : authority[..hostEnd];
        var rest = hostEnd < 0 ? "" : authority[hostEnd..];
        if (host.Length == 0)
        {
            errors.Add("url has no host.");
            return (null, null);
        }

        if (rest.Length == 0) return (host, scheme == System.Uri.UriSchemeHttps ? 443 : 80);
        if (rest[0] == ':' && rest.Length is > 1 and <= 6 && !rest.AsSpan(1).ContainsAnyExceptInRange('0', '9')
            && int.Parse(rest.AsSpan(1), CultureInfo.InvariantCulture) is var port and > 0 and <= IPEndPoint.MaxPort)
        {
            return (host, port);
        }

        errors.Add("url's port must be a number from 1 to 65535.");
        return (host, null);
    }

    private static bool Agrees(Uri uri, string scheme, string host, int port)
    {
        if (uri.Scheme != scheme || uri.Port != port || uri.UserInfo.Length > 0 || uri.Fragment.Length > 0) return false;
        return host.StartsWith('[')
            ? uri.HostNameType == UriHostNameType.IPv6 && IPAddress.Parse(uri.IdnHost).Equals(IPAddress.Parse(host))
            : string.Equals(uri.IdnHost, host, StringComparison.OrdinalIgnoreCase);
    }
}

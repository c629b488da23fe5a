using System.Buffers;
using System.Globalization;
using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Checks the host of a URL as it was written: a name of the internet, or an address in its usual form that is not refused.
/// Readers of addresses also take decimal, octal, hexadecimal and short forms (2130706433, 0177.1, 0x7f.1), and not all alike; here
/// they are refused, as the URL standard's rule tells them: by a last part that is a number.
/// </summary>
internal static class WebhookHost
{
    private const int MaxLabel = 63;
    private const int MaxName = 253;

    private static readonly SearchValues<char> LabelCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdefABCDEF");

    /// <summary>Names that never belong to a host of the internet (RFC 6761, 6762, 8375, and ICANN's reservation of internal).</summary>
    private static readonly string[] LocalNames = ["localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa", "onion"];

    /// <summary>Adds what is wrong with a host to <paramref name="errors"/>.</summary>
    /// <param name="host">The host as written, with brackets if it is IPv6; ASCII.</param>
    /// <param name="rules">The rules for addresses.</param>
    /// <param name="errors">Where errors go.</param>
    public static void Check(string host, AddressRules rules, List<string> errors)
    {
        if (host.Contains('%', StringComparison.Ordinal))
            errors.Add("url's host must not be percent-encoded or have a zone.");
        else if (host.StartsWith('['))
            CheckIPv6(host, rules, errors);
        else if (IsNumber(host[(host.TrimEnd('.').LastIndexOf('.') + 1)..].TrimEnd('.')))
            CheckIPv4(host, rules, errors);
        else
            CheckName(host, rules, errors);
    }

    private static void CheckIPv6(string host, AddressRules rules, List<string> errors)
    {
        if (!IPAddress.TryParse(host, out var address)) errors.Add("url's host is not an IPv6 address.");
        else CheckAddress(address, rules, errors);
    }

    private static void CheckIPv4(string host, AddressRules rules, List<string> errors)
    {
        var parts = host.Split('.');
        var usual = parts.Length == 4 && parts.All(static part =>
            byte.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var value)
            && part == value.ToString(CultureInfo.InvariantCulture));
        if (!usual) errors.Add("url's host ends in a number and is not an IPv4 address of four decimal numbers.");
        else CheckAddress(IPAddress.Parse(host), rules, errors);
    }

    private static void CheckAddress(IPAddress address, AddressRules rules, List<string> errors)
    {
        if (rules.Refusal(address) is { } kind) errors.Add($"url's address is not one that webhooks may be sent to ({kind}).");
    }

    private static void CheckName(string host, AddressRules rules, List<string> errors)
    {
        if (host.EndsWith('.'))
        {
            errors.Add("url's host must not end with a dot.");
            return;
        }

        if (host.Length > MaxName) errors.Add($"url's host is longer than {MaxName} characters.");
        foreach (var label in host.Split('.'))
        {
            var error = label.Length switch
            {
                0 => "url's host has an empty part.",
                > MaxLabel => $"url's host has a part of more than {MaxLabel} characters.",
                _ when label.AsSpan().ContainsAnyExcept(LabelCharacters) => "url's host has characters that no host name has.",
                _ when label[0] == '-' || label[^1] == '-' => "url's host has a part that starts or ends with a hyphen.",
                _ => null,
            };
            if (error is not null && !errors.Contains(error)) errors.Add(error);
        }

        // Where addresses inside are open, so are their names; each connection's addresses are checked all the same.
        if (!rules.HasExceptions && IsLocal(host)) errors.Add("url's host is a name that is used inside a network only.");
    }

    /// <summary>Whether a name is meant for one machine or network; one of a single part is completed by the resolver's own domains.</summary>
    private static bool IsLocal(string host) => !host.Contains('.', StringComparison.Ordinal) || LocalNames.Any(name =>
        host.EndsWith(name, StringComparison.OrdinalIgnoreCase) && (host.Length == name.Length || host[^(name.Length + 1)] == '.'));

    private static bool IsNumber(ReadOnlySpan<char> label)
    {
        if (label.Length == 0) return false;
        if (!label.ContainsAnyExceptInRange('0', '9')) return true;
        return label.StartsWith("0x", StringComparison.OrdinalIgnoreCase) && !label[2..].ContainsAnyExcept(HexDigits);
    }
}

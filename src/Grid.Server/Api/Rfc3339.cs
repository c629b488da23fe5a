using System.Globalization;

namespace Grid.Server.Api;

/// <summary>Times as RFC 3339 (5.6) has them: date, time to the second or finer, and an offset. Nothing is guessed.</summary>
internal static class Rfc3339
{
    private const int MaxLength = 40;

    /// <summary>As fine as a tick: more digits, which other languages write, are cut off.</summary>
    private const int FractionDigits = 7;

    private static readonly string[] Forms = ["yyyy-MM-dd'T'HH:mm:sszzz", "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFzzz"];

    /// <summary>Reads a time; in UTC.</summary>
    public static bool TryParse(string? text, out DateTimeOffset time)
    {
        time = default;
        if (text is not { Length: > 19 and <= MaxLength }) return false;
        var upper = text.ToUpperInvariant();
        if (upper.EndsWith('Z')) upper = upper[..^1] + "+00:00";
        if (upper[19] == '.')
        {
            var end = 20;
            while (end < upper.Length && char.IsAsciiDigit(upper[end])) end++;
            if (end == 20) return false;
            if (end > 20 + FractionDigits) upper = upper.Remove(20 + FractionDigits, end - 20 - FractionDigits);
        }

        if (!DateTimeOffset.TryParseExact(upper, Forms, CultureInfo.InvariantCulture, DateTimeStyles.None, out var parsed)) return false;
        time = parsed.ToUniversalTime();
        return true;
    }
}

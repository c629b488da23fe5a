using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;

namespace Grid.Server.Webhooks.Sending;

/// <summary>
/// Names of attempts: <c>att_</c>, the time in Unix milliseconds (12 hexadecimal digits), a count of the process (8), and random bits of
/// the process (8). They rise with time within a silo, and tell the time, so that a list goes on after one without looking it up.
/// </summary>
internal static class AttemptId
{
    private const string Prefix = "att_";
    private const int TimeDigits = 12;
    private const int Length = 4 + TimeDigits + 16;

    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789abcdef");
    private static readonly string Process = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4));
    private static int _count;

    /// <summary>A new name.</summary>
    /// <param name="atMs">When the attempt began.</param>
    public static string New(long atMs) =>
        string.Create(CultureInfo.InvariantCulture, $"{Prefix}{atMs:x12}{(uint)Interlocked.Increment(ref _count):x8}{Process}");

    /// <summary>When an attempt began; false for what is no name of one.</summary>
    public static bool TryGetTime(string? id, out long atMs)
    {
        atMs = 0;
        return id is { Length: Length } && id.StartsWith(Prefix, StringComparison.Ordinal) && !id.AsSpan(Prefix.Length).ContainsAnyExcept(Digits)
            && long.TryParse(id.AsSpan(Prefix.Length, TimeDigits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out atMs);
    }
}

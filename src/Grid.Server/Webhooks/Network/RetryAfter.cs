using System.Net.Http.Headers;

namespace Grid.Server.Webhooks.Network;

/// <summary>Reads <c>Retry-After</c> (RFC 9110, 10.2.3): seconds, or a date.</summary>
internal static class RetryAfter
{
    /// <summary>An endpoint cannot ask for more than this.</summary>
    public static readonly TimeSpan Most = TimeSpan.FromHours(24);

    /// <summary>Reads a header's value.</summary>
    /// <param name="value">The value.</param>
    /// <param name="now">The time that a date is compared with.</param>
    /// <returns>How long to wait, from 0 to <see cref="Most"/>; null if there is no such header or it is neither.</returns>
    public static TimeSpan? Parse(string? value, DateTimeOffset now)
    {
        value = value?.Trim();
        if (string.IsNullOrEmpty(value)) return null;
        if (!value.AsSpan().ContainsAnyExceptInRange('0', '9'))
        {
            // Any number of digits, so a number too large to read is meant as very long.
            return int.TryParse(value, out var seconds) && seconds < Most.TotalSeconds ? TimeSpan.FromSeconds(seconds) : Most;
        }

        if (!RetryConditionHeaderValue.TryParse(value, out var condition) || condition.Date is not { } date) return null;
        var wait = date - now;
        return wait < TimeSpan.Zero ? TimeSpan.Zero : wait > Most ? Most : wait;
    }
}

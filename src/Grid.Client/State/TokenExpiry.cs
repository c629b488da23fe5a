using System.Buffers.Text;
using System.Text.Json;

namespace Grid.Client;

/// <summary>Reads when a client token expires and decides when to replace it. The token is not verified: that is the server's part.</summary>
internal static class TokenExpiry
{
    /// <summary>A token is replaced this long before it expires, or when a fifth of its remaining life is left, if that is later.</summary>
    public static readonly TimeSpan Lead = TimeSpan.FromSeconds(60);

    /// <summary>The <c>exp</c> claim of a JWT; null for a token that is none or has none.</summary>
    public static DateTimeOffset? Of(string token)
    {
        if (token.Split('.') is not [_, var claims, _]) return null;
        try
        {
            var bytes = Base64Url.DecodeFromChars(claims);
            using var document = JsonDocument.Parse(bytes);
            return document.RootElement.ValueKind == JsonValueKind.Object
                && document.RootElement.TryGetProperty("exp", out var exp) && exp.TryGetInt64(out var seconds)
                ? DateTimeOffset.FromUnixTimeSeconds(seconds)
                : null;
        }
        catch (Exception e) when (e is FormatException or JsonException or ArgumentOutOfRangeException or InvalidOperationException)
        {
            return null;
        }
    }

    /// <summary>How long from <paramref name="now"/> until a token that expires then should be replaced.</summary>
    public static TimeSpan RefreshIn(DateTimeOffset expiresAt, DateTimeOffset now)
    {
        var left = expiresAt - now;
        if (left <= TimeSpan.Zero) return TimeSpan.Zero;
        var lead = left / 5 < Lead ? left / 5 : Lead;
        return left - lead;
    }
}

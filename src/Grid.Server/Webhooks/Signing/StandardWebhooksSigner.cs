using System.Globalization;
using System.Text;

namespace Grid.Server.Webhooks.Signing;

/// <summary>The values of the three headers that the Standard Webhooks specification asks for.</summary>
/// <param name="Id">Of <see cref="WebhookHeaders.Id"/>.</param>
/// <param name="Timestamp">Of <see cref="WebhookHeaders.Timestamp"/>.</param>
/// <param name="Signature">Of <see cref="WebhookHeaders.Signature"/>.</param>
internal readonly record struct SignedHeaders(string Id, string Timestamp, string Signature);

/// <summary>
/// Signs an attempt by the Standard Webhooks specification (1.0.0): over <c>{id}.{timestamp}.{body}</c>, one entry for each secret
/// that is valid, the current ones first.
/// </summary>
internal static class StandardWebhooksSigner
{
    /// <summary>Signs an attempt.</summary>
    /// <param name="id">The message's id; one that <see cref="WebhookMessageId.IsValid"/> accepts.</param>
    /// <param name="body">The body, byte for byte as it is sent.</param>
    /// <param name="secrets">The subscription's secrets.</param>
    /// <param name="now">When the attempt is made: it decides the timestamp, cut to whole seconds, and which secrets are valid.</param>
    /// <exception cref="ArgumentException">The id may not be sent.</exception>
    public static SignedHeaders Sign(string id, ReadOnlySpan<byte> body, SecretSet secrets, DateTimeOffset now)
    {
        if (!WebhookMessageId.IsValid(id)) throw new ArgumentException("No webhook-id.", nameof(id));
        var timestamp = now.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
        Span<byte> prefix = stackalloc byte[id.Length + timestamp.Length + 2];
        var length = Encoding.ASCII.GetBytes(id, prefix);
        prefix[length++] = (byte)'.';
        length += Encoding.ASCII.GetBytes(timestamp, prefix[length..]);
        prefix[length] = (byte)'.';

        string? signature = null;
        foreach (var secret in secrets.ValidAt(now))
        {
            var entry = secret.Sign(prefix, body);
            signature = signature is null ? entry : $"{signature} {entry}";
        }

        return new SignedHeaders(id, timestamp, signature!);
    }
}

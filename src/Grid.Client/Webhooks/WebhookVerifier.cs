using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Grid.Client.Webhooks;

/// <summary>A delivery whose signature is right.</summary>
/// <param name="Id">
/// The message's id, the same in every attempt: keep it for as long as you want to notice repeats, at least for the tolerance.
/// </param>
/// <param name="SentAt">When this attempt was signed; of a later attempt it is later.</param>
public readonly record struct VerifiedWebhook(string Id, DateTimeOffset SentAt);

/// <summary>
/// Tells deliveries of Grid from forgeries, by the Standard Webhooks specification; it works for other senders that follow it as well.
/// Make one and keep it: it holds no state and can be used from many threads.
/// </summary>
/// <remarks>
/// It needs the body as it came, byte for byte: read it before anything parses it. In ASP.NET Core:
/// <code>
/// app.MapPost("/hooks", async (HttpRequest request) =>
/// {
///     using var body = new MemoryStream();
///     await request.Body.CopyToAsync(body);
///     var delivery = verifier.Verify(body.ToArray(), name => request.Headers[name]);
/// </code>
/// </remarks>
public sealed class WebhookVerifier
{
    /// <summary>The most signatures of a request that are looked at; a sender has no reason for more.</summary>
    private const int MaxSignatures = 32;

    private const int MinSecretBytes = 24;
    private const int MaxSecretBytes = 64;
    private const int PublicKeyBytes = 32;
    private const int Ed25519SignatureBytes = 64;
    private const string SecretPrefix = "whsec_";
    private const string PublicKeyPrefix = "whpk_";

    private readonly List<byte[]> _secrets = [];
    private readonly List<byte[]> _publicKeys = [];
    private readonly Ed25519Verification? _ed25519;
    private readonly TimeSpan _tolerance;
    private readonly TimeProvider _time;

    /// <summary>Makes a verifier with the default options.</summary>
    /// <param name="secrets">The endpoint's secrets, as for the other constructor.</param>
    public WebhookVerifier(params string[] secrets)
        : this(secrets, new WebhookVerifierOptions())
    {
    }

    /// <summary>Makes a verifier.</summary>
    /// <param name="secrets">
    /// What the endpoint's signatures may be made with: secrets (<c>whsec_…</c>) and public keys (<c>whpk_…</c>). One right signature
    /// of any of them is enough, so that during a rotation the old and the new one can both be given.
    /// </param>
    /// <param name="options">How to check.</param>
    /// <exception cref="ArgumentException">
    /// No secret, one of another form, or a public key without <see cref="WebhookVerifierOptions.Ed25519"/>. The message does not
    /// quote it.
    /// </exception>
    public WebhookVerifier(IEnumerable<string> secrets, WebhookVerifierOptions options)
    {
        ArgumentNullException.ThrowIfNull(secrets);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Tolerance, TimeSpan.Zero, nameof(options));
        (_ed25519, _tolerance, _time) = (options.Ed25519, options.Tolerance, options.TimeProvider);
        foreach (var secret in secrets) Add(secret);
        if (_secrets.Count + _publicKeys.Count == 0) throw new ArgumentException("A secret is needed.", nameof(secrets));
        if (_publicKeys.Count > 0 && _ed25519 is null)
            throw new ArgumentException("Public keys (whpk_) need the option Ed25519.", nameof(options));
    }

    /// <summary>Checks a request by its headers.</summary>
    /// <param name="body">The body as it came, byte for byte.</param>
    /// <param name="header">Gives a header's value by its name, case ignored; null for none.</param>
    /// <returns>What is known of the delivery.</returns>
    /// <exception cref="WebhookVerificationException">It is no delivery of Grid, or not one of now.</exception>
    public VerifiedWebhook Verify(ReadOnlySpan<byte> body, Func<string, string?> header)
    {
        ArgumentNullException.ThrowIfNull(header);
        return Verify(body, header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    }

    /// <summary>Checks a request by the values of its headers.</summary>
    /// <param name="body">The body as it came, byte for byte.</param>
    /// <param name="id">The value of <c>webhook-id</c>.</param>
    /// <param name="timestamp">The value of <c>webhook-timestamp</c>.</param>
    /// <param name="signature">The value of <c>webhook-signature</c>.</param>
    /// <returns>What is known of the delivery.</returns>
    /// <exception cref="WebhookVerificationException">It is no delivery of Grid, or not one of now.</exception>
    public VerifiedWebhook Verify(ReadOnlySpan<byte> body, string? id, string? timestamp, string? signature)
    {
        if (string.IsNullOrEmpty(id)) throw Missing("webhook-id");
        if (string.IsNullOrEmpty(timestamp)) throw Missing("webhook-timestamp");
        if (string.IsNullOrEmpty(signature)) throw Missing("webhook-signature");
        var sentAt = CheckTime(timestamp);

        // A full stop in the id would let a part of the id be read as the timestamp.
        var text = Encoding.UTF8.GetBytes($"{id}.{timestamp}.");
        return !id.Contains('.', StringComparison.Ordinal) && HasMatch(signature, text, body)
            ? new VerifiedWebhook(id, sentAt)
            : throw new WebhookVerificationException(
                WebhookVerificationError.NoMatchingSignature, "No signature of the request is of one of the secrets.");
    }

    private static WebhookVerificationException Missing(string header) =>
        new(WebhookVerificationError.MissingHeader, $"The header {header} is missing.");

    private void Add(string secret)
    {
        if (secret is not null && secret.StartsWith(SecretPrefix, StringComparison.Ordinal)
            && Decode(secret.AsSpan(SecretPrefix.Length), MaxSecretBytes) is { Length: >= MinSecretBytes } key)
        {
            _secrets.Add(key);
        }
        else if (secret is not null && secret.StartsWith(PublicKeyPrefix, StringComparison.Ordinal)
            && Decode(secret.AsSpan(PublicKeyPrefix.Length), PublicKeyBytes) is { Length: PublicKeyBytes } publicKey)
        {
            _publicKeys.Add(publicKey);
        }
        else
        {
            throw new ArgumentException(
                "A secret is whsec_ and 24 to 64 bytes in base64, or whpk_ and the 32 bytes of an Ed25519 public key.", nameof(secret));
        }
    }

    /// <summary>The bytes of a base64 text; null when it is none, or has more than <paramref name="most"/>.</summary>
    private static byte[]? Decode(ReadOnlySpan<char> base64, int most)
    {
        var bytes = new byte[most];
        return Convert.TryFromBase64Chars(base64, bytes, out var length) ? bytes[..length] : null;
    }

    private DateTimeOffset CheckTime(string timestamp)
    {
        if (!long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            || seconds > DateTimeOffset.MaxValue.ToUnixTimeSeconds())
        {
            throw new WebhookVerificationException(
                WebhookVerificationError.MalformedTimestamp, "The header webhook-timestamp is no number of seconds.");
        }

        // In whole seconds on both sides: the timestamp has no fraction, so the time of signing has lost its own.
        var age = TimeSpan.FromSeconds(_time.GetUtcNow().ToUnixTimeSeconds() - seconds);
        if (age > _tolerance)
        {
            throw new WebhookVerificationException(
                WebhookVerificationError.TooOld, "The request was signed too long ago.");
        }

        if (-age > _tolerance)
        {
            throw new WebhookVerificationException(
                WebhookVerificationError.TooNew, "The request was signed in the future.");
        }

        return DateTimeOffset.FromUnixTimeSeconds(seconds);
    }

    private bool HasMatch(string signature, ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> body)
    {
        byte[][]? expected = null;
        byte[]? text = null;
        var found = false;
        var left = MaxSignatures;
        foreach (var range in signature.AsSpan().Split(' '))
        {
            var entry = signature.AsSpan()[range];
            if (entry.IsEmpty) continue;
            if (left-- == 0) break;
            if (entry.StartsWith("v1,") && Decode(entry[3..], HMACSHA256.HashSizeInBytes) is { } given)
            {
                expected ??= Hmacs(prefix, body);
                foreach (var hmac in expected) found |= CryptographicOperations.FixedTimeEquals(hmac, given);
            }
            else if (entry.StartsWith("v1a,") && Decode(entry[4..], Ed25519SignatureBytes) is { Length: Ed25519SignatureBytes } signed)
            {
                text ??= [.. prefix, .. body];
                foreach (var key in _publicKeys) found |= _ed25519!(key, text, signed);
            }
        }

        return found;
    }

    private byte[][] Hmacs(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> body)
    {
        var hmacs = new byte[_secrets.Count][];
        for (var i = 0; i < hmacs.Length; i++)
        {
            using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _secrets[i]);
            hmac.AppendData(prefix);
            hmac.AppendData(body);
            hmacs[i] = hmac.GetHashAndReset();
        }

        return hmacs;
    }
}

using System.Buffers;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using NSec.Cryptography;
using IncrementalHash = System.Security.Cryptography.IncrementalHash;

namespace Grid.Server.Webhooks.Signing;

/// <summary>How a secret signs. The numbers are stored.</summary>
internal enum WebhookSecretKind : byte
{
    /// <summary>HMAC-SHA256 with a secret that both sides know (<c>whsec_</c>); signatures begin with <c>v1,</c>.</summary>
    HmacSha256 = 1,

    /// <summary>
    /// Ed25519 (RFC 8032) with a private key (<c>whsk_</c>), checked with the public one (<c>whpk_</c>); signatures begin with
    /// <c>v1a,</c>.
    /// </summary>
    Ed25519 = 2,
}

/// <summary>
/// A secret that signs deliveries, by the Standard Webhooks specification. It shows itself to nobody who does not ask with
/// <see cref="Reveal"/>: neither as text nor to a debugger, a logger or a serializer.
/// </summary>
/// <remarks>
/// The key lies in memory that the collector does not move, so there are no copies of it, and is cleared when nobody uses the secret
/// any more. There is no <c>Dispose</c>: a rotation would pull the key from under a sender at work, and a signature made with a key of
/// zeros can be made by anyone.
/// </remarks>
[DebuggerDisplay("{ToString(),nq}")]
internal sealed class WebhookSecret
{
    /// <summary>The shortest HMAC secret, in bytes.</summary>
    public const int MinHmacBytes = 24;

    /// <summary>The longest HMAC secret, in bytes.</summary>
    public const int MaxHmacBytes = 64;

    /// <summary>The bytes of an HMAC secret that is generated.</summary>
    public const int DefaultHmacBytes = 32;

    private const int SeedBytes = 32;
    private const string HmacPrefix = "whsec_";
    private const string PrivatePrefix = "whsk_";
    private const string PublicPrefix = "whpk_";

    private static readonly SearchValues<char> Base64Chars =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=");

    private readonly byte[] _key;

    /// <summary>What makes HMACs with the key, while nobody uses it. It has a copy of the key in native memory, which is cleared with it.</summary>
    private IncrementalHash? _hmac;

    private WebhookSecret(WebhookSecretKind kind, ReadOnlySpan<byte> key)
    {
        Kind = kind;
        _key = GC.AllocateUninitializedArray<byte>(key.Length, pinned: true);
        key.CopyTo(_key);
    }

    /// <summary>Clears the key.</summary>
    ~WebhookSecret() => CryptographicOperations.ZeroMemory(_key);

    /// <summary>How it signs.</summary>
    public WebhookSecretKind Kind { get; }

    /// <summary>How many bytes <see cref="CopyKey"/> writes.</summary>
    public int KeyLength => _key.Length;

    /// <summary>Makes a secret: 32 random bytes, or a new key pair.</summary>
    public static WebhookSecret Generate(WebhookSecretKind kind = WebhookSecretKind.HmacSha256)
    {
        // Every 32 bytes are an Ed25519 private key (RFC 8032, 5.1.5).
        Span<byte> key = stackalloc byte[kind == WebhookSecretKind.Ed25519 ? SeedBytes : DefaultHmacBytes];
        RandomNumberGenerator.Fill(key);
        try
        {
            return new WebhookSecret(kind, key);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    /// <summary>
    /// Reads <c>whsec_</c> with 24 to 64 bytes or <c>whsk_</c> with an Ed25519 private key, in base64 with padding. A private key is
    /// 32 bytes, or 64 when the public key follows it, as some tools write it.
    /// </summary>
    /// <param name="text">The text.</param>
    /// <param name="secret">The secret, if it is one.</param>
    /// <param name="problem">What is wrong, for a person; it never quotes the text.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out WebhookSecret? secret, [NotNullWhen(false)] out string? problem)
    {
        secret = null;
        problem = null;
        if (text.StartsWith(HmacPrefix, StringComparison.Ordinal))
        {
            Read(text.AsSpan(HmacPrefix.Length), WebhookSecretKind.HmacSha256, ref secret, ref problem);
        }
        else if (text.StartsWith(PrivatePrefix, StringComparison.Ordinal))
        {
            Read(text.AsSpan(PrivatePrefix.Length), WebhookSecretKind.Ed25519, ref secret, ref problem);
        }
        else
        {
            problem = text.StartsWith(PublicPrefix, StringComparison.Ordinal)
                ? "a public key (whpk_) cannot sign: the private key (whsk_) is needed"
                : "a secret begins with whsec_ or whsk_";
        }

        return secret is not null;
    }

    /// <summary>Reads the form of <see cref="CopyKey"/>.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static WebhookSecret FromKey(WebhookSecretKind kind, ReadOnlySpan<byte> key) =>
        kind switch
        {
            WebhookSecretKind.HmacSha256 => key.Length is >= MinHmacBytes and <= MaxHmacBytes,
            WebhookSecretKind.Ed25519 => key.Length == SeedBytes,
            _ => false,
        }
            ? new WebhookSecret(kind, key)
            : throw new FormatException("No key of a webhook secret.");

    /// <summary>
    /// The secret as text, <c>whsec_…</c> or <c>whsk_…</c>, to be shown once to the person who made it. A string cannot be cleared:
    /// let go of it at once.
    /// </summary>
    public string Reveal()
    {
        var text = (Kind == WebhookSecretKind.HmacSha256 ? HmacPrefix : PrivatePrefix) + Convert.ToBase64String(_key);
        GC.KeepAlive(this);
        return text;
    }

    /// <summary>What receivers check Ed25519 signatures with, <c>whpk_…</c>; null for HMAC. No secret.</summary>
    public string? PublicKey()
    {
        if (Kind != WebhookSecretKind.Ed25519) return null;
        using var key = ImportPrivateKey(_key);
        GC.KeepAlive(this);
        return PublicPrefix + Convert.ToBase64String(key.PublicKey.Export(KeyBlobFormat.RawPublicKey));
    }

    /// <summary>
    /// Signs <paramref name="prefix"/> and <paramref name="body"/>, one after the other: an entry of <c>webhook-signature</c>.
    /// </summary>
    public string Sign(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> body)
    {
        var signature = Kind == WebhookSecretKind.HmacSha256 ? SignHmac(prefix, body) : SignEd25519(prefix, body);
        GC.KeepAlive(this);
        return signature;
    }

    /// <summary>Writes the key, to be encrypted; <see cref="KeyLength"/> bytes.</summary>
    public void CopyKey(Span<byte> destination)
    {
        _key.CopyTo(destination);
        GC.KeepAlive(this);
    }

    /// <summary>Whether two are the same secret; the time it takes does not tell how much of them is.</summary>
    public bool IsSameAs(WebhookSecret other)
    {
        var same = Kind == other.Kind && CryptographicOperations.FixedTimeEquals(_key, other._key);
        GC.KeepAlive(this);
        GC.KeepAlive(other);
        return same;
    }

    /// <summary>Which kind of secret this is, and nothing of it.</summary>
    public override string ToString() => (Kind == WebhookSecretKind.HmacSha256 ? HmacPrefix : PrivatePrefix) + "***";

    private static void Read(ReadOnlySpan<char> base64, WebhookSecretKind kind, ref WebhookSecret? secret, ref string? problem)
    {
        Span<byte> bytes = stackalloc byte[MaxHmacBytes];
        try
        {
            // The decoder passes over white space, and says no more than "no" to what is too long.
            if (base64.Length > (MaxHmacBytes + 2) / 3 * 4)
            {
                problem = TooLong(kind);
            }
            else if (base64.ContainsAnyExcept(Base64Chars) || !Convert.TryFromBase64Chars(base64, bytes, out var length))
            {
                problem = "what follows the prefix is not base64 with padding";
            }
            else if (kind == WebhookSecretKind.HmacSha256)
            {
                if (length < MinHmacBytes) problem = $"a secret has at least {MinHmacBytes} bytes";
                else secret = new WebhookSecret(kind, bytes[..length]);
            }
            else
            {
                ReadPrivateKey(bytes[..length], ref secret, ref problem);
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    private static void ReadPrivateKey(ReadOnlySpan<byte> bytes, ref WebhookSecret? secret, ref string? problem)
    {
        if (bytes.Length is not (SeedBytes or 2 * SeedBytes))
        {
            problem = TooLong(WebhookSecretKind.Ed25519);
            return;
        }

        if (bytes.Length == 2 * SeedBytes)
        {
            using var key = ImportPrivateKey(bytes[..SeedBytes]);
            if (!key.PublicKey.Export(KeyBlobFormat.RawPublicKey).AsSpan().SequenceEqual(bytes[SeedBytes..]))
            {
                problem = "the public key is not that of the private key before it";
                return;
            }
        }

        secret = new WebhookSecret(WebhookSecretKind.Ed25519, bytes[..SeedBytes]);
    }

    private static string TooLong(WebhookSecretKind kind) => kind == WebhookSecretKind.HmacSha256
        ? $"a secret has at most {MaxHmacBytes} bytes"
        : $"an Ed25519 private key has {SeedBytes} bytes, or {2 * SeedBytes} with the public key";

    // Made for each use, some 55 µs beside 30 µs for the signature: libsodium puts every key between guard pages of its own, four
    // mappings of memory each, and 16,000 endpoints that keep one would use up the 65,530 that Linux allows a process by default.
    private static Key ImportPrivateKey(ReadOnlySpan<byte> seed) => Key.Import(SignatureAlgorithm.Ed25519, seed, KeyBlobFormat.RawPrivateKey);

    private string SignHmac(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> body)
    {
        // To bring the key into a new one takes as long as the signature itself. One that failed on its way is not used again.
        var hmac = Interlocked.Exchange(ref _hmac, null) ?? IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _key);
        hmac.AppendData(prefix);
        hmac.AppendData(body);
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        hmac.GetHashAndReset(mac);
        if (Interlocked.CompareExchange(ref _hmac, hmac, null) is not null) hmac.Dispose();
        return "v1," + Convert.ToBase64String(mac);
    }

    private string SignEd25519(ReadOnlySpan<byte> prefix, ReadOnlySpan<byte> body)
    {
        // In one piece: it reads the whole text twice.
        var length = prefix.Length + body.Length;
        var text = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            prefix.CopyTo(text);
            body.CopyTo(text.AsSpan(prefix.Length));
            using var key = ImportPrivateKey(_key);
            Span<byte> signature = stackalloc byte[SignatureAlgorithm.Ed25519.SignatureSize];
            SignatureAlgorithm.Ed25519.Sign(key, text.AsSpan(0, length), signature);
            return "v1a," + Convert.ToBase64String(signature);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(text);
        }
    }
}

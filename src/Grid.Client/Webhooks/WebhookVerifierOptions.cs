namespace Grid.Client.Webhooks;

/// <summary>Checks an Ed25519 signature (RFC 8032).</summary>
/// <param name="publicKey">The public key, 32 bytes.</param>
/// <param name="text">What was signed.</param>
/// <param name="signature">The signature, 64 bytes.</param>
/// <returns>Whether the signature is the key's.</returns>
public delegate bool Ed25519Verification(ReadOnlySpan<byte> publicKey, ReadOnlySpan<byte> text, ReadOnlySpan<byte> signature);

/// <summary>How a <see cref="WebhookVerifier"/> checks.</summary>
public sealed class WebhookVerifierOptions
{
    /// <summary>
    /// How far the time of signing may lie from now, before or after. Default: 5 minutes. Longer lets a recorded request be replayed
    /// longer; shorter refuses deliveries when clocks differ.
    /// </summary>
    public TimeSpan Tolerance { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>The clock. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>
    /// Checks Ed25519 signatures; needed only with public keys (<c>whpk_</c>). .NET has no Ed25519, and this package brings no native
    /// library along for it. With the package NSec.Cryptography:
    /// <code>
    /// (key, text, signature) => SignatureAlgorithm.Ed25519.Verify(
    ///     PublicKey.Import(SignatureAlgorithm.Ed25519, key, KeyBlobFormat.RawPublicKey), text, signature)
    /// </code>
    /// </summary>
    public Ed25519Verification? Ed25519 { get; set; }
}

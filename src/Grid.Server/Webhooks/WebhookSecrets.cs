using System.Collections.Immutable;
using Grid.Abstractions;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

/// <summary>Encrypts and decrypts what is secret of one subscription: what signs, and the values of its headers.</summary>
/// <param name="vault">With what.</param>
/// <param name="webhook">The subscription, to which what is encrypted is bound.</param>
internal sealed class WebhookSecrets(SecretVault vault, WebhookId webhook)
{
    /// <summary>What a new subscription signs with.</summary>
    public static SecretSet Create(WebhookDefinition definition) => SecretSet.Create(New(definition.Asymmetric));

    /// <summary>New secrets in place of the former ones, which sign on for a while.</summary>
    public static SecretSet Rotate(SecretSet secrets, WebhookDefinition definition, TimeSpan overlap, DateTimeOffset now) =>
        secrets.WithoutEnded(now).Rotate(overlap, now, New(definition.Asymmetric));

    /// <summary>The secrets after Ed25519 was switched on or off; the same ones where nothing changes.</summary>
    public static SecretSet Adapt(SecretSet secrets, WebhookDefinition definition)
    {
        var hasPair = secrets.Current.Any(static s => s.Kind == WebhookSecretKind.Ed25519);
        if (hasPair == definition.Asymmetric) return secrets;
        var hmac = secrets.Current.First(static s => s.Kind == WebhookSecretKind.HmacSha256);
        return definition.Asymmetric ? secrets.WithCurrent(hmac, WebhookSecret.Generate(WebhookSecretKind.Ed25519)) : secrets.WithCurrent(hmac);
    }

    /// <summary>The secret that is shown once.</summary>
    public static string Reveal(SecretSet secrets) => secrets.Current.First(static s => s.Kind == WebhookSecretKind.HmacSha256).Reveal();

    /// <summary>The public key; null without Ed25519.</summary>
    public static string? PublicKey(SecretSet secrets) =>
        secrets.Current.FirstOrDefault(static s => s.Kind == WebhookSecretKind.Ed25519)?.PublicKey();

    /// <summary>Encrypts what signs.</summary>
    public byte[] Protect(SecretSet secrets) => vault.Protect(secrets, webhook.Tenant, webhook.Id);

    /// <summary>Decrypts what signs.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">It cannot be.</exception>
    public SecretSet Unprotect(ReadOnlyMemory<byte> stored) => vault.Unprotect(stored.ToArray(), webhook.Tenant, webhook.Id);

    /// <summary>Encrypts headers.</summary>
    public byte[] ProtectHeaders(IReadOnlyDictionary<string, string> headers) => vault.ProtectHeaders(headers, webhook.Tenant, webhook.Id);

    /// <summary>Decrypts headers; none for null.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">They cannot be.</exception>
    public IReadOnlyDictionary<string, string> UnprotectHeaders(byte[]? stored) =>
        stored is null ? ImmutableDictionary<string, string>.Empty : vault.UnprotectHeaders(stored, webhook.Tenant, webhook.Id);

    private static WebhookSecret[] New(bool asymmetric) => asymmetric
        ? [WebhookSecret.Generate(), WebhookSecret.Generate(WebhookSecretKind.Ed25519)]
        : [WebhookSecret.Generate()];
}

using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.DataProtection;

namespace Grid.Server.Webhooks.Signing;

/// <summary>
/// Encrypts the secrets of subscriptions, and the values of their headers, for the store, with the keys of ASP.NET's Data Protection. What is encrypted is bound to its
/// subscription: put into another's record, it does not open.
/// </summary>
internal sealed class SecretVault(IDataProtectionProvider provider)
{
    private readonly IDataProtector _root = provider.CreateProtector("Grid.Webhooks.SecretSet", "v1");
    private readonly IDataProtector _headers = provider.CreateProtector("Grid.Webhooks.Headers", "v1");

    /// <summary>Encrypts the secrets of a subscription.</summary>
    public byte[] Protect(SecretSet secrets, string tenant, string subscription)
    {
        var bytes = secrets.Serialize();
        try
        {
            return Of(_root, tenant, subscription).Protect(bytes);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Decrypts the secrets of a subscription.</summary>
    /// <exception cref="CryptographicException">
    /// They were changed, belong to another subscription, or are of a key that is gone or of a later version.
    /// </exception>
    public SecretSet Unprotect(byte[] stored, string tenant, string subscription)
    {
        var bytes = Of(_root, tenant, subscription).Unprotect(stored);
        try
        {
            return SecretSet.Deserialize(bytes);
        }
        catch (FormatException e)
        {
            throw new CryptographicException(e.Message, e);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Encrypts the headers of a subscription: any of them may be a credential.</summary>
    public byte[] ProtectHeaders(IReadOnlyDictionary<string, string> headers, string tenant, string subscription) =>
        Of(_headers, tenant, subscription).Protect(JsonSerializer.SerializeToUtf8Bytes(headers));

    /// <summary>Decrypts the headers of a subscription.</summary>
    /// <exception cref="CryptographicException">As for <see cref="Unprotect"/>.</exception>
    public IReadOnlyDictionary<string, string> UnprotectHeaders(byte[] stored, string tenant, string subscription)
    {
        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, string>>(Of(_headers, tenant, subscription).Unprotect(stored)) ?? [];
        }
        catch (JsonException e)
        {
            throw new CryptographicException(e.Message, e);
        }
    }

    // A purpose of its own for each, not one joined text: names may hold any separator.
    private static IDataProtector Of(IDataProtector root, string tenant, string subscription) => root.CreateProtector(tenant).CreateProtector(subscription);
}

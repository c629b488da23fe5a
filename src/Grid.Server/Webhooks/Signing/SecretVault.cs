using System.Security.Cryptography;
using Microsoft.AspNetCore.DataProtection;

namespace Grid.Server.Webhooks.Signing;

/// <summary>
/// Encrypts the secrets of subscriptions for the store, with the keys of ASP.NET's Data Protection. What is encrypted is bound to its
/// subscription: put into another's record, it does not open.
/// </summary>
internal sealed class SecretVault(IDataProtectionProvider provider)
{
    private readonly IDataProtector _root = provider.CreateProtector("Grid.Webhooks.SecretSet", "v1");

    /// <summary>Encrypts the secrets of a subscription.</summary>
    public byte[] Protect(SecretSet secrets, string tenant, string subscription)
    {
        var bytes = secrets.Serialize();
        try
        {
            return Of(tenant, subscription).Protect(bytes);
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
        var bytes = Of(tenant, subscription).Unprotect(stored);
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

    // A purpose of its own for each, not one joined text: names may hold any separator.
    private IDataProtector Of(string tenant, string subscription) => _root.CreateProtector(tenant).CreateProtector(subscription);
}

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Grid.Server.Tenancy;

/// <summary>
/// API keys: their form, and the digest under which they are stored. The digest is keyed with the store's own secret, so that a
/// copy of the keys' records alone does not let anybody test guesses.
/// </summary>
internal sealed class ApiKeys(ISecretStore secrets)
{
    /// <summary>The shortest key, in characters.</summary>
    public const int MinLength = 8;

    /// <summary>The longest key, in characters.</summary>
    public const int MaxLength = 200;

    // A store that is away at the first use must not be remembered as the answer.
    private readonly Lazy<byte[]> _secret = new(() => secrets.GetOrCreate(SecretNames.ApiKeys), LazyThreadSafetyMode.PublicationOnly);

    /// <summary>Makes a key: <c>gk_</c> and 32 random bytes.</summary>
    public static string Generate() => "gk_" + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    /// <summary>
    /// Whether a text can be an API key: 8 to 200 characters, none of them a control character, no white space at the ends (an HTTP
    /// header would lose it), and not the form of a client token, which is never looked up as a key.
    /// </summary>
    public static bool IsWellFormed(string key)
    {
        if (key.Length is < MinLength or > MaxLength || key.Trim().Length != key.Length || ClientTokens.HasTokenForm(key)) return false;
        foreach (var c in key)
        {
            if (char.IsControl(c) || char.IsSurrogate(c)) return false;
        }

        return true;
    }

    /// <summary>The hexadecimal digest that names the key's grain.</summary>
    public string Digest(string key) => Convert.ToHexStringLower(HMACSHA256.HashData(_secret.Value, Encoding.UTF8.GetBytes(key)));
}

namespace Grid.Server.Tenancy;

/// <summary>
/// Keeps the secrets that a store makes for itself. They never leave the servers that share the store; who reads them can forge
/// resume tokens and test guesses of API keys.
/// </summary>
public interface ISecretStore
{
    /// <summary>
    /// The secret of a name: 32 random bytes, made at the first call and the same ever after, through restarts and on every silo of
    /// a cluster. When this returns, the secret is synced to the store.
    /// </summary>
    byte[] GetOrCreate(string name);
}

/// <summary>The names of the secrets that Grid keeps.</summary>
internal static class SecretNames
{
    /// <summary>Keys the digest under which API keys are stored.</summary>
    public const string ApiKeys = "api-keys";

    /// <summary>Signs resume tokens.</summary>
    public const string Resume = "resume";
}

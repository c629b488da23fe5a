using Grid.Server.Tenancy;

namespace Grid.Server.Log;

/// <summary>Keeps secrets in the embedded store.</summary>
internal sealed class StoreSecrets(RocksDbStore store) : ISecretStore
{
    public byte[] GetOrCreate(string name) => store.GetOrCreateSecret(name);
}

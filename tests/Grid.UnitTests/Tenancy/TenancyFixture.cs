using System.Security.Cryptography;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Tenancy;

/// <summary>Secrets of one test.</summary>
internal sealed class MemorySecretStore : ISecretStore
{
    private readonly Dictionary<string, byte[]> _secrets = [];

    public byte[] GetOrCreate(string name)
    {
        lock (_secrets)
        {
            if (!_secrets.TryGetValue(name, out var secret)) _secrets[name] = secret = RandomNumberGenerator.GetBytes(32);
            return secret;
        }
    }
}

/// <summary>An authenticator over dictionaries in place of grains, which counts how often it asks them.</summary>
internal sealed class TenancyFixture
{
    public TenancyFixture()
    {
        ApiKeys = new ApiKeys(new MemorySecretStore());
        Authenticator = new Authenticator(LookUpKey, LookUpTenant, ApiKeys, new ClientTokens(Time), Time);
        Tenants["acme"] = [NewKey("k1")];
        Tenants["other"] = [NewKey("k1")];
    }

    public FakeTimeProvider Time { get; } = new(DateTimeOffset.Parse("2026-03-01T12:00:00Z", System.Globalization.CultureInfo.InvariantCulture));

    public ApiKeys ApiKeys { get; }

    public Authenticator Authenticator { get; }

    public Dictionary<string, SigningKey[]> Tenants { get; } = [];

    public Dictionary<string, ApiKeyInfo> Keys { get; } = [];

    public int Lookups { get; private set; }

    public Func<Task> BeforeLookup { get; set; } = () => Task.CompletedTask;

    public static Capabilities Room { get; } = new([KeyValuePair.Create("room:*", Capability.Subscribe | Capability.Publish)]);

    public static SigningKey NewKey(string id) => new() { Id = id, Secret = RandomNumberGenerator.GetBytes(32) };

    public void AddKey(string key, bool revoked = false, string tenant = "acme") => Keys[ApiKeys.Digest(key)] = new ApiKeyInfo
    {
        Tenant = tenant,
        Name = "test",
        Capabilities = CapabilityNames.ToNames(Room),
        CreatedAt = Time.GetUtcNow(),
        Revoked = revoked,
    };

    public async Task<string> MintAsync(string user = "ana", int seconds = 60, string tenant = "acme") =>
        (await Authenticator.MintAsync(tenant, user, Room, TimeSpan.FromSeconds(seconds))).Token;

    private async Task<ApiKeyInfo?> LookUpKey(string digest)
    {
        Lookups++;
        await BeforeLookup();
        return Keys.GetValueOrDefault(digest);
    }

    private async Task<SigningKey[]?> LookUpTenant(string tenant)
    {
        Lookups++;
        await BeforeLookup();
        return Tenants.GetValueOrDefault(tenant);
    }
}

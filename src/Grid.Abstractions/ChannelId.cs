using Grid.Protocol;

namespace Grid.Abstractions;

/// <summary>A channel of a tenant. Its text form <c>tenant/channel</c> is the key of the channel's grain.</summary>
[GenerateSerializer, Immutable, Alias("grid.ChannelId")]
public readonly record struct ChannelId
{
    /// <summary>Names a channel. Neither part is validated here: the edges do that.</summary>
    public ChannelId(string tenant, string name) => (Tenant, Name) = (tenant, name);

    /// <summary>The tenant.</summary>
    [Id(0)]
    public string Tenant { get; }

    /// <summary>The channel's name, by the grammar of <see cref="ChannelName"/>.</summary>
    [Id(1)]
    public string Name { get; }

    /// <summary>The part of the name that picks the policy.</summary>
    public ReadOnlySpan<char> Namespace => ChannelName.NamespaceOf(Name);

    /// <summary>The grain key: <c>tenant/channel</c>. A tenant has no slash in its name, and neither has a channel.</summary>
    public override string ToString() => $"{Tenant}/{Name}";

    /// <summary>Reads the form of <see cref="ToString"/>.</summary>
    /// <exception cref="FormatException">The text has no slash.</exception>
    public static ChannelId Parse(string key)
    {
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return slash > 0 ? new(key[..slash], key[(slash + 1)..]) : throw new FormatException($"'{key}' is no channel key.");
    }
}

/// <summary>The grammar of tenant names: 1 to 64 characters of <c>a-z 0-9 -</c>.</summary>
public static class TenantName
{
    /// <summary>The longest name.</summary>
    public const int MaxLength = 64;

    private static readonly System.Buffers.SearchValues<char> Allowed =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>Whether <paramref name="name"/> is a tenant name.</summary>
    public static bool IsValid(ReadOnlySpan<char> name) => name.Length is > 0 and <= MaxLength && !name.ContainsAnyExcept(Allowed);
}

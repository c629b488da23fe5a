using System.Text.Json;
using Grid.Protocol;

namespace Grid.Server.Tenancy;

/// <summary>The wire names of <see cref="Capability"/>: <c>subscribe</c>, <c>publish</c>, <c>history</c>, <c>presence</c>.</summary>
internal static class CapabilityNames
{
    private static readonly (Capability Capability, string Name)[] Names =
    [
        (Capability.Subscribe, "subscribe"), (Capability.Publish, "publish"),
        (Capability.History, "history"), (Capability.Presence, "presence"),
    ];

    /// <summary>The four names, for messages to people.</summary>
    public static string All { get; } = string.Join(", ", Names.Select(n => n.Name));

    /// <summary>Finds a capability by its wire name.</summary>
    public static bool TryParse(string name, out Capability capability)
    {
        foreach (var (known, knownName) in Names)
        {
            if (name != knownName) continue;
            capability = known;
            return true;
        }

        capability = Capability.None;
        return false;
    }

    /// <summary>The names of every flag in <paramref name="capability"/>.</summary>
    public static string[] ToNames(Capability capability) =>
        [.. Names.Where(n => (capability & n.Capability) != 0).Select(n => n.Name)];

    /// <summary>The grants as they are stored and written into tokens: names by pattern. Repeated patterns are joined.</summary>
    public static Dictionary<string, string[]> ToNames(Capabilities capabilities)
    {
        var joined = new Dictionary<string, Capability>(StringComparer.Ordinal);
        foreach (var (pattern, granted) in capabilities.Grants)
            joined[pattern] = joined.GetValueOrDefault(pattern) | granted;
        return joined.ToDictionary(g => g.Key, g => ToNames(g.Value), StringComparer.Ordinal);
    }

    /// <summary>
    /// Reads what <see cref="ToNames(Capabilities)"/> wrote. A name that this version does not know grants nothing, so that a newer
    /// version's tokens stay usable during a rolling update.
    /// </summary>
    public static Capabilities FromNames(IEnumerable<KeyValuePair<string, string[]>> grants) =>
        new([.. grants.Select(g => KeyValuePair.Create(g.Key, Join(g.Value)))]);

    /// <summary>Reads the claim <c>cap</c> of a token; false when it is no object of arrays of strings over channel patterns.</summary>
    public static bool TryRead(JsonElement claim, out Capabilities capabilities)
    {
        capabilities = null!;
        if (claim.ValueKind != JsonValueKind.Object) return false;
        var grants = new List<KeyValuePair<string, Capability>>();
        foreach (var grant in claim.EnumerateObject())
        {
            if (grants.Count == Capabilities.MaxPatterns || !ChannelName.IsValidPattern(grant.Name)) return false;
            if (grant.Value.ValueKind != JsonValueKind.Array) return false;
            var granted = Capability.None;
            foreach (var name in grant.Value.EnumerateArray())
            {
                if (name.ValueKind != JsonValueKind.String) return false;
                if (TryParse(name.GetString()!, out var one)) granted |= one;
            }

            grants.Add(KeyValuePair.Create(grant.Name, granted));
        }

        capabilities = new Capabilities(grants);
        return true;
    }

    private static Capability Join(string[] names) =>
        names.Aggregate(Capability.None, (all, name) => TryParse(name, out var one) ? all | one : all);
}

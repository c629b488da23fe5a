using Grid.Protocol;

namespace Grid.Server.Tenancy;

/// <summary>What a credential may do on a channel.</summary>
[Flags]
public enum Capability
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Receive messages.</summary>
    Subscribe = 1,

    /// <summary>Publish messages.</summary>
    Publish = 2,

    /// <summary>Read messages from before the subscription.</summary>
    History = 4,

    /// <summary>See who is there.</summary>
    Presence = 8,

    /// <summary>Everything.</summary>
    All = Subscribe | Publish | History | Presence,
}

/// <summary>
/// The channels that a credential covers, each a name or a prefix ending in <c>*</c>, with what may be done there. Grants add up.
/// Nothing is allowed that is not granted.
/// </summary>
public sealed class Capabilities
{
    /// <summary>The most patterns of one credential.</summary>
    public const int MaxPatterns = 200;

    private readonly Dictionary<string, Capability> _exact = new(StringComparer.Ordinal);
    private readonly List<(string Prefix, Capability Granted)> _prefixes = [];

    /// <summary>Everything on every channel: what the bootstrap key has.</summary>
    public static Capabilities Everything { get; } = new([new("*", Capability.All)]);

    /// <summary>Makes a set of grants.</summary>
    /// <exception cref="ArgumentException">A pattern is no channel name or prefix, or there are too many.</exception>
    public Capabilities(IReadOnlyCollection<KeyValuePair<string, Capability>> grants)
    {
        if (grants.Count > MaxPatterns) throw new ArgumentException($"At most {MaxPatterns} channel patterns are allowed.", nameof(grants));
        foreach (var (pattern, granted) in grants)
        {
            if (!ChannelName.IsValidPattern(pattern)) throw new ArgumentException($"'{pattern}' is no channel name or prefix.", nameof(grants));
            if (pattern.EndsWith('*')) _prefixes.Add((pattern[..^1], granted));
            else _exact[pattern] = granted;
        }

        Grants = [.. grants];
    }

    /// <summary>The grants as they were given.</summary>
    public IReadOnlyList<KeyValuePair<string, Capability>> Grants { get; }

    /// <summary>Whether all of <paramref name="wanted"/> is granted on <paramref name="channel"/>.</summary>
    public bool Allows(string channel, Capability wanted)
    {
        var granted = _exact.GetValueOrDefault(channel);
        foreach (var (prefix, here) in _prefixes)
        {
            if (channel.StartsWith(prefix, StringComparison.Ordinal)) granted |= here;
        }

        return (granted & wanted) == wanted;
    }

    /// <summary>Whether every grant of <paramref name="other"/> is covered by this set: what a key may hand on in a token.</summary>
    public bool Covers(Capabilities other)
    {
        foreach (var (pattern, wanted) in other.Grants)
        {
            var probe = pattern.EndsWith('*') ? pattern[..^1] : pattern;
            var granted = pattern.EndsWith('*') ? Capability.None : _exact.GetValueOrDefault(probe);
            foreach (var (prefix, here) in _prefixes)
            {
                if (probe.StartsWith(prefix, StringComparison.Ordinal)) granted |= here;
            }

            if ((granted & wanted) != wanted) return false;
        }

        return true;
    }
}

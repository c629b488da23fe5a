using Grid.Protocol;
using Grid.Server.Webhooks;

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

    // A list to look through: nearly all have few, and each connection holds one.
    private readonly KeyValuePair<string, Capability>[] _grants;

    /// <summary>Everything on every channel: what the bootstrap key has.</summary>
    public static Capabilities Everything { get; } = new([new("*", Capability.All)]);

    /// <summary>Makes a set of grants.</summary>
    /// <exception cref="ArgumentException">A pattern is no channel name or prefix, or there are too many.</exception>
    public Capabilities(IReadOnlyCollection<KeyValuePair<string, Capability>> grants)
    {
        if (grants.Count > MaxPatterns) throw new ArgumentException($"At most {MaxPatterns} channel patterns are allowed.", nameof(grants));
        foreach (var (pattern, _) in grants)
        {
            if (!ChannelName.IsValidPattern(pattern)) throw new ArgumentException($"'{pattern}' is no channel name or prefix.", nameof(grants));
        }

        _grants = [.. grants];
    }

    /// <summary>The grants as they were given.</summary>
    public IReadOnlyList<KeyValuePair<string, Capability>> Grants => _grants;

    /// <summary>
    /// Whether all of <paramref name="wanted"/> is granted on <paramref name="channel"/>. On Grid's own channels (<c>grid:…</c>) nobody
    /// publishes from outside, whatever is granted: whoever hears there that a webhook was disabled has to be able to believe it.
    /// </summary>
    public bool Allows(string channel, Capability wanted) =>
        (GrantedOn(channel) & wanted) == wanted && !((wanted & Capability.Publish) != 0 && ChannelPatterns.IsOwn(channel));

    /// <summary>Whether every grant of <paramref name="other"/> is covered by this set: what a key may hand on in a token.</summary>
    public bool Covers(Capabilities other)
    {
        foreach (var (pattern, wanted) in other.Grants)
        {
            if ((GrantedOn(pattern) & wanted) != wanted) return false;
        }

        return true;
    }

    /// <summary>What is granted on a channel, or on all that a pattern stands for: a prefix covers the longer ones too.</summary>
    private Capability GrantedOn(string nameOrPattern)
    {
        var granted = Capability.None;
        foreach (var (pattern, here) in _grants)
        {
            var covers = pattern.EndsWith('*')
                ? nameOrPattern.AsSpan().StartsWith(pattern.AsSpan(0, pattern.Length - 1)) : nameOrPattern == pattern;
            if (covers) granted |= here;
        }

        return granted;
    }
}

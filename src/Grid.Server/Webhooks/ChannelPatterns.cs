namespace Grid.Server.Webhooks;

/// <summary>
/// The channels of a subscription: names, or prefixes that end with <c>*</c>. They match channels of durable namespaces only: an
/// ephemeral channel leaves no marks, and what it forgets could not be delivered. What Grid itself publishes, on channels that begin with
/// <c>grid:</c>, is matched by patterns that begin so alone: who wants all of a tenant's messages does not want those about webhooks.
/// </summary>
internal static class ChannelPatterns
{
    /// <summary>What the names of Grid's own channels begin with.</summary>
    public const string Own = "grid:";

    /// <summary>Whether a pattern is a prefix, and which.</summary>
    public static bool IsPrefix(string pattern, out ReadOnlySpan<char> prefix)
    {
        var wild = pattern.EndsWith('*');
        prefix = wild ? pattern.AsSpan(0, pattern.Length - 1) : pattern;
        return wild;
    }

    /// <summary>Whether a channel is one of Grid's own.</summary>
    public static bool IsOwn(ReadOnlySpan<char> channel) => channel.StartsWith(Own, StringComparison.Ordinal);

    /// <summary>Whether a channel matches a pattern.</summary>
    public static bool Match(string pattern, string channel) => IsPrefix(pattern, out var prefix)
        ? channel.AsSpan().StartsWith(prefix, StringComparison.Ordinal) && (IsOwn(prefix) || !IsOwn(channel))
        : string.Equals(pattern, channel, StringComparison.Ordinal);

    /// <summary>Whether a channel matches one of the patterns.</summary>
    public static bool Match(IReadOnlyList<string> patterns, string channel)
    {
        foreach (var pattern in patterns)
        {
            if (Match(pattern, channel)) return true;
        }

        return false;
    }
}

namespace Grid.Server.Webhooks;

/// <summary>
/// The channels of a subscription: names, or prefixes that end with <c>*</c>. They match channels of durable namespaces only: an
/// ephemeral channel leaves no marks, and what it forgets could not be delivered.
/// </summary>
internal static class ChannelPatterns
{
    /// <summary>Whether a channel matches one of the patterns.</summary>
    public static bool Match(IReadOnlyList<string> patterns, string channel)
    {
        foreach (var pattern in patterns)
        {
            if (pattern.EndsWith('*') ? channel.AsSpan().StartsWith(pattern.AsSpan(0, pattern.Length - 1), StringComparison.Ordinal) : channel == pattern)
                return true;
        }

        return false;
    }
}

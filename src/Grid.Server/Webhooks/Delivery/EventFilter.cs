using System.Collections.Frozen;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Which kinds of event a subscription wants: exact names, or prefixes like <c>order.*</c>. None named: every message.</summary>
internal sealed class EventFilter
{
    private readonly FrozenSet<string> _exact;
    private readonly string[] _prefixes;
    private readonly bool _all;

    private EventFilter(IReadOnlyCollection<string> patterns)
    {
        _all = patterns.Count == 0 || patterns.Contains("*");
        _exact = patterns.Where(p => !p.EndsWith('*')).ToFrozenSet(StringComparer.Ordinal);
        _prefixes = [.. patterns.Where(p => p.EndsWith('*')).Select(p => p[..^1]).Distinct(StringComparer.Ordinal)];
    }

    /// <summary>Lets every message pass, also those that name no event.</summary>
    public static EventFilter Everything { get; } = new([]);

    /// <summary>Whether a text may be part of a filter: an event's name, which may end in <c>*</c>.</summary>
    public static bool IsValidPattern(ReadOnlySpan<char> pattern) =>
        Message.IsValidEvent(pattern) && pattern.IndexOf('*') is var star && (star < 0 || star == pattern.Length - 1);

    /// <summary>Makes a filter of valid patterns; of none, or null: <see cref="Everything"/>.</summary>
    public static EventFilter Of(IReadOnlyCollection<string>? patterns) =>
        patterns is null || patterns.Count == 0 ? Everything : new EventFilter(patterns);

    /// <summary>Whether a message is wanted. One that names no event passes only where everything does.</summary>
    public bool Matches(Message message)
    {
        if (_all) return true;
        if (message.Event is not { } name) return false;
        if (_exact.Contains(name)) return true;
        foreach (var prefix in _prefixes)
        {
            if (name.StartsWith(prefix, StringComparison.Ordinal)) return true;
        }

        return false;
    }
}

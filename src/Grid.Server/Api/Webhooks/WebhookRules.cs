using System.Buffers;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;

namespace Grid.Server.Api;

/// <summary>What a subscription's settings may be, and what is shown of them.</summary>
internal class WebhookRules(NetworkRules network, NamespacePolicies policies)
{
    /// <summary>The most patterns of channels, and of events.</summary>
    public const int MaxPatterns = 100;

    /// <summary>The most characters of a description.</summary>
    public const int MaxDescription = 500;

    /// <summary>The lowest rate, per second.</summary>
    public const double MinRate = 0.01;

    /// <summary>The highest rate, per second.</summary>
    public const double MaxRate = 10_000;

    /// <summary>The mode in which <see cref="WebhookDefinition.OnExhausted"/> means something.</summary>
    public const string Ordered = "ordered";

    private static readonly SearchValues<char> IdCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    private static readonly string[] Modes = ["parallel", "keyed", Ordered];
    private static readonly string[] Exhaustions = ["block", "deadLetter", "pause"];
    private static readonly WebhookFormats Formats = new();

    /// <summary>Headers as reads show them.</summary>
    public static IReadOnlyDictionary<string, string> Redact(IReadOnlyDictionary<string, string> headers) => CustomHeaders.Redact(headers);

    /// <summary>Whether a text can be a subscription's id. Grains are not woken for others.</summary>
    public static bool IsId(string id) =>
        id.Length is > 3 and <= 64 && id.StartsWith("wh_", StringComparison.Ordinal)
        && !id.AsSpan(3).ContainsAnyExcept(IdCharacters);

    /// <summary>
    /// Checks settings and brings them into their normal form. What did not change is not checked again: it was good when it was set,
    /// and rules that became stricter since must not be in the way of another change.
    /// </summary>
    /// <param name="set">The settings.</param>
    /// <param name="before">As they were; null for a new subscription.</param>
    /// <exception cref="GridProblemException">Something is wrong.</exception>
    public virtual WebhookDefinition Check(WebhookDefinition set, WebhookDefinition? before)
    {
        if (set.Url != before?.Url) set = set with { Url = CheckUrl(set.Url, before) };
        if (!ReferenceEquals(set.Channels, before?.Channels)) set = set with { Channels = CheckChannels(set.Channels) };
        if (!ReferenceEquals(set.Events, before?.Events)) set = set with { Events = CheckEvents(set.Events) };
        OneOf("mode", set.Mode, Modes);
        OneOf("onExhausted", set.OnExhausted, Exhaustions);
        if (Formats.Find(set.Format) is null) OneOf("format", set.Format, [.. Formats.Names]);
        if (set.KeySeparator is { } separator && (separator.Length != 1 || char.IsControl(separator[0]) || char.IsSurrogate(separator[0])))
            throw BodyJson.Bad("'keySeparator' must be one character.");
        if (set.Description is { } description && (description.Length > MaxDescription || description.Any(char.IsControl)))
            throw BodyJson.Bad($"'description' has at most {MaxDescription} characters and no control characters.");
        if (set.Schedule is { } schedule && !RetrySchedule.TryCreate([.. schedule.Select(s => (double)s)], out _, out var wrong))
            throw BodyJson.Bad($"'retry.schedule': {wrong}");
        if (!ReferenceEquals(set.Headers, before?.Headers)) CheckHeaders(set.Headers, before?.Headers ?? []);
        if (Origin(set.Url) != Origin(before?.Url)) CheckHidden(set.Headers);
        return set;
    }

    /// <summary>The headers after a change: those with null are taken away, and values that are still redacted stay what they were.</summary>
    public static Dictionary<string, string> Merge(
        IReadOnlyDictionary<string, string> before, IEnumerable<KeyValuePair<string, string?>> changes)
    {
        var after = new Dictionary<string, string>(before, StringComparer.OrdinalIgnoreCase);
        foreach (var (name, value) in changes)
        {
            // Taken away first, so that the name is spelt as it was given last.
            after.Remove(name);
            if (value is not null) after[name] = value;
        }

        return new Dictionary<string, string>(CustomHeaders.Merge(before, after), StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>Refuses to start in the past where a namespace that is delivered from does not allow it.</summary>
    public void CheckHistory(IEnumerable<string> patterns)
    {
        foreach (var pattern in patterns)
        {
            if (!AllowsHistory(pattern))
                throw new GridProblemException(new(ErrorCode.Forbidden, $"A namespace of '{pattern}' does not allow history."));
        }
    }

    /// <summary>Whether every namespace that a pattern's channels are delivered from allows to read the past.</summary>
    public bool AllowsHistory(string pattern) => !PoliciesOf(pattern).Any(p => p is { Durability: Durability.Durable, History: false });

    /// <summary>Whether a text can be the id of a message.</summary>
    public static bool IsMessageId(string? id) => id is not null && WebhookMessageId.IsValid(id);

    private static void OneOf(string member, string value, string[] known)
    {
        if (!known.Contains(value)) throw BodyJson.Bad($"'{member}' must be one of {string.Join(", ", known)}.");
    }

    private static string[] CheckEvents(string[] events)
    {
        foreach (var pattern in events)
        {
            if (!EventFilter.IsValidPattern(pattern))
                throw BodyJson.Bad($"'events' has names of 1 to {Message.MaxEventLength} characters, or prefixes ending in *.");
        }

        return [.. events.Distinct(StringComparer.Ordinal)];
    }

    private static void CheckHeaders(Dictionary<string, string> headers, Dictionary<string, string> before)
    {
        // A value that is kept, but hidden from here, was checked when it was set.
        var known = new HashSet<string>(before.Keys, StringComparer.OrdinalIgnoreCase);
        var visible = headers.Select(h => h.Value == CustomHeaders.Redacted && known.Contains(h.Key) ? new(h.Key, "") : h).ToList();
        if (CustomHeaders.Check(visible) is { Count: > 0 } errors) throw BodyJson.Bad(string.Join(' ', errors));
    }

    private static string? Origin(string? url) => url is null ? null : new Uri(url).GetLeftPart(UriPartial.Authority);

    /// <summary>
    /// Whoever may change a subscription has not seen the values of its headers, and must not get them by having them sent to a host of
    /// their own.
    /// </summary>
    private static void CheckHidden(Dictionary<string, string> headers)
    {
        var hidden = headers.Where(static h => h.Value == CustomHeaders.Redacted).Select(static h => h.Key).ToList();
        if (hidden.Count == 0) return;
        throw BodyJson.Bad(
            $"With another origin in 'url' the values of 'headers' have to be given again, or taken away with null: {string.Join(", ", hidden)}.");
    }

    private string? CheckUrl(string? url, WebhookDefinition? before)
    {
        if (before is not null && before.Url is null != url is null)
            throw BodyJson.Bad("'url' cannot be added or taken away: a subscription is sent to, or polled, for its whole life.");
        return url is null ? null : ParseUrl(url);
    }

    /// <summary>Reads a URL, and refuses those that nothing may be sent to.</summary>
    protected virtual string ParseUrl(string url)
    {
        var parsed = WebhookUrl.Parse(url, network);
        return parsed.Uri?.AbsoluteUri ?? throw BodyJson.Bad(string.Join(' ', parsed.Errors));
    }

    private string[] CheckChannels(string[] channels)
    {
        if (channels.Length is 0 or > MaxPatterns) throw BodyJson.Bad($"'channels' must name 1 to {MaxPatterns} channels, or prefixes ending in *.");
        foreach (var pattern in channels)
        {
            if (!ChannelName.IsValidPattern(pattern))
                throw BodyJson.Bad($"'channels' has names of 1 to {ChannelName.MaxLength} characters of A-Z a-z 0-9 _ . : ~ @ -, or prefixes ending in *.");
            if (PoliciesOf(pattern).All(p => p.Durability != Durability.Durable))
                throw BodyJson.Bad($"'channels' has '{pattern}', whose namespace is ephemeral: webhooks deliver what is stored.");
        }

        return [.. channels.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>The policies of all namespaces that a pattern's channels can be in.</summary>
    private IEnumerable<NamespacePolicy> PoliciesOf(string pattern)
    {
        var name = pattern.TrimEnd('*');
        return name.Length == pattern.Length || name.Contains(':', StringComparison.Ordinal)
            ? [policies.For(name)]
            : policies.Named.Where(n => n.Key.StartsWith(name, StringComparison.Ordinal)).Select(n => n.Value).Append(policies.Default);
    }
}

using System.Text.Json;
using Grid.Abstractions;

namespace Grid.Server.Api;

/// <summary>
/// The bodies that make and change a subscription. Making one is a change of one in which nothing is set; so both are read in one place.
/// </summary>
internal static class WebhookBody
{
    /// <summary>The largest body, in bytes.</summary>
    public const int MaxBytes = 128 * 1024;

    private static readonly WebhookDefinition Nothing = new() { Channels = [] };

    /// <summary>Reads the body of <c>POST /v1/webhooks</c>.</summary>
    /// <exception cref="GridProblemException">The body is not valid.</exception>
    public static (WebhookDefinition Definition, bool FromStart) ParseNew(ReadOnlySpan<byte> utf8, WebhookRules rules)
    {
        var (definition, from) = Parse(utf8, Nothing, isNew: true);
        if (from is not (null or "now" or "start")) throw BodyJson.Bad("'from' must be now or start.");

        // Not compared with what was before: nothing was checked yet.
        return (rules.Check(definition, null), from == "start");
    }

    /// <summary>Reads a change as a JSON merge patch (RFC 7396): what is left out stays, null is the default.</summary>
    /// <exception cref="GridProblemException">The body is not valid, or what comes of it is not.</exception>
    public static WebhookDefinition ParseChange(ReadOnlySpan<byte> utf8, WebhookDefinition current, WebhookRules rules) =>
        rules.Check(Parse(utf8, current, isNew: false).Definition, current);

    private static (WebhookDefinition Definition, string? From) Parse(ReadOnlySpan<byte> utf8, WebhookDefinition current, bool isNew)
    {
        var set = current;
        string? from = null;
        BodyJson.ReadObject(utf8, false, (string name, ref Utf8JsonReader reader) =>
        {
            switch (name)
            {
                case "url":
                    set = set with { Url = BodyJson.TextOrNull(ref reader, name) };
                    return true;
                case "channels":
                    set = set with { Channels = BodyJson.TextsOrNull(ref reader, name, WebhookRules.MaxPatterns) ?? [] };
                    return true;
                case "events":
                    set = set with { Events = BodyJson.TextsOrNull(ref reader, name, WebhookRules.MaxPatterns) ?? [] };
                    return true;
                case "mode":
                    set = set with { Mode = BodyJson.TextOrNull(ref reader, name) ?? Nothing.Mode };
                    return true;
                case "keySeparator":
                    set = set with { KeySeparator = BodyJson.TextOrNull(ref reader, name) };
                    return true;
                case "onExhausted":
                    set = set with { OnExhausted = BodyJson.TextOrNull(ref reader, name) ?? Nothing.OnExhausted };
                    return true;
                case "description":
                    set = set with { Description = BodyJson.TextOrNull(ref reader, name) is { Length: > 0 } text ? text : null };
                    return true;
                case "headers":
                    set = set with { Headers = ReadHeaders(ref reader, set.Headers) };
                    return true;
                case "rateLimit":
                    set = set with { PerSecond = ReadRate(ref reader, set.PerSecond) };
                    return true;
                case "retry":
                    set = set with { Schedule = ReadSchedule(ref reader, set.Schedule) };
                    return true;
                case "format":
                    set = set with { Format = BodyJson.TextOrNull(ref reader, name) ?? Nothing.Format };
                    return true;
                case "signatures":
                    set = set with { Asymmetric = ReadSignatures(ref reader) };
                    return true;
                case "handshake":
                    set = set with { Handshake = BodyJson.FlagOrNull(ref reader, name) ?? false };
                    return true;
                case "from" when isNew:
                    from = BodyJson.TextOrNull(ref reader, name);
                    return true;
                default:
                    return false;
            }
        });
        return (set, from);
    }

    private static Dictionary<string, string> ReadHeaders(ref Utf8JsonReader reader, Dictionary<string, string> current)
    {
        if (reader.TokenType == JsonTokenType.Null) return [];
        var changes = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
        BodyJson.ReadObject(ref reader, "headers", (string name, ref Utf8JsonReader value) =>
        {
            // The value is not told in what is said of it: it may be a credential.
            if (!changes.TryAdd(name, BodyJson.TextOrNull(ref value, "headers")))
                throw BodyJson.Bad("'headers' has a name twice; upper and lower case are the same.");
            return true;
        });
        return WebhookRules.Merge(current, changes);
    }

    // In a merge patch an object changes what it names: an empty one changes nothing.
    private static double? ReadRate(ref Utf8JsonReader reader, double? current)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        var rate = current;
        BodyJson.ReadObject(ref reader, "rateLimit", (string name, ref Utf8JsonReader value) =>
        {
            if (name != "perSecond") return false;
            rate = BodyJson.NumberOrNull(ref value, "rateLimit.perSecond", WebhookRules.MinRate, WebhookRules.MaxRate);
            return true;
        });
        return rate;
    }

    private static int[]? ReadSchedule(ref Utf8JsonReader reader, int[]? current)
    {
        if (reader.TokenType == JsonTokenType.Null) return null;
        var schedule = current;
        BodyJson.ReadObject(ref reader, "retry", (string name, ref Utf8JsonReader value) =>
        {
            if (name != "schedule") return false;
            schedule = null;
            if (value.TokenType == JsonTokenType.Null) return true;
            const string Wrong = "'retry.schedule' must be an array of whole numbers: seconds.";
            if (value.TokenType != JsonTokenType.StartArray) throw BodyJson.Bad(Wrong);
            List<int> delays = [];
            while (value.Read() && value.TokenType != JsonTokenType.EndArray)
                delays.Add(value.TokenType == JsonTokenType.Number && value.TryGetInt32(out var seconds) ? seconds : throw BodyJson.Bad(Wrong));
            schedule = [.. delays];
            return true;
        });
        return schedule;
    }

    private static bool ReadSignatures(ref Utf8JsonReader reader)
    {
        var versions = BodyJson.TextsOrNull(ref reader, "signatures", 2);
        return versions switch
        {
            null or ["v1"] => false,
            ["v1", "v1a"] or ["v1a", "v1"] => true,
            _ => throw BodyJson.Bad("""'signatures' must be ["v1"] or ["v1","v1a"]."""),
        };
    }
}

using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Webhooks.Signing;

namespace Grid.Server.Api;

/// <summary>The bodies of what is done with a subscription. All but that of a seek, a replay and an acknowledgement may be left out.</summary>
internal static class WebhookCommands
{
    /// <summary>The largest body, in bytes.</summary>
    public const int MaxBytes = 1024 * 1024;

    /// <summary>The most messages or leases that a body names.</summary>
    public const int MaxNames = 1000;

    /// <summary>The most messages of one poll.</summary>
    public const int MaxPoll = 256;

    /// <summary>The longest lease, in seconds: 12 hours.</summary>
    public const int MaxLease = 12 * 3600;

    private const int DefaultPoll = 10;
    private const int DefaultLease = 30;
    private const int DefaultOverlap = 86_400;
    private const int MaxLeaseName = 1024;

    /// <summary><c>rotate-secret</c>: how long the old secret signs as well.</summary>
    public static TimeSpan ParseRotation(ReadOnlySpan<byte> utf8)
    {
        int? seconds = null;
        BodyJson.ReadObject(utf8, true, (string name, ref Utf8JsonReader reader) =>
        {
            if (name != "overlapSeconds") return false;
            seconds = BodyJson.WholeOrNull(ref reader, name, 0, (int)SecretSet.MaxOverlap.TotalSeconds);
            return true;
        });
        return TimeSpan.FromSeconds(seconds ?? DefaultOverlap);
    }

    /// <summary><c>enable</c>: from where to go on; by default where it stands, with which nothing is lost.</summary>
    public static WebhookStart ParseEnabling(ReadOnlySpan<byte> utf8)
    {
        WebhookStart? start = null;
        BodyJson.ReadObject(utf8, true, (string name, ref Utf8JsonReader reader) =>
        {
            if (name != "resumeFrom") return false;
            start = reader.TokenType == JsonTokenType.StartObject
                ? ReadStart(ref reader)
                : BodyJson.TextOrNull(ref reader, name) switch
                {
                    null => null,
                    { } named when named is "cursor" or "now" => new WebhookStart { Named = named },
                    _ => throw BodyJson.Bad("'resumeFrom' must be cursor, now, {\"since\":…} or {\"positions\":…}."),
                };
            return true;
        });
        return start ?? new WebhookStart { Named = "cursor" };

        static WebhookStart ReadStart(ref Utf8JsonReader reader)
        {
            var start = new StartReader();
            BodyJson.ReadObject(ref reader, "resumeFrom", (string name, ref Utf8JsonReader value) => start.Read(name, ref value));
            return start.Result("'resumeFrom' must have exactly one of since and positions.");
        }
    }

    /// <summary><c>seek</c>: where to.</summary>
    public static WebhookStart ParseSeek(ReadOnlySpan<byte> utf8)
    {
        var start = new StartReader();
        BodyJson.ReadObject(utf8, false, (string name, ref Utf8JsonReader reader) => start.ReadNamed(name, ref reader) || start.Read(name, ref reader));
        return start.Result("The body must have exactly one of positions, since and named.");
    }

    /// <summary><c>replay</c>: from where, and how fast.</summary>
    public static (WebhookStart From, double? PerSecond) ParseReplay(ReadOnlySpan<byte> utf8)
    {
        var start = new StartReader();
        double? perSecond = null;
        BodyJson.ReadObject(utf8, false, (string name, ref Utf8JsonReader reader) =>
        {
            if (name != "perSecond") return start.Read(name, ref reader);
            perSecond = BodyJson.NumberOrNull(ref reader, name, WebhookRules.MinRate, WebhookRules.MaxRate);
            return true;
        });
        return (start.Result("The body must have exactly one of since and positions."), perSecond);
    }

    /// <summary><c>dead-letters/redrive</c>: which messages; null: all.</summary>
    public static string[]? ParseRedrive(ReadOnlySpan<byte> utf8)
    {
        string[]? messages = null;
        BodyJson.ReadObject(utf8, true, (string name, ref Utf8JsonReader reader) =>
        {
            if (name != "messages") return false;
            messages = BodyJson.TextsOrNull(ref reader, name, MaxNames);
            if (messages is { Length: 0 } || messages?.All(WebhookRules.IsMessageId) == false)
                throw BodyJson.Bad($"'messages' must have the ids of 1 to {MaxNames} messages.");
            return true;
        });
        return messages;
    }

    /// <summary><c>poll</c>: how many messages, and for how long.</summary>
    public static (int Limit, TimeSpan Lease) ParsePoll(ReadOnlySpan<byte> utf8)
    {
        int? limit = null, lease = null;
        BodyJson.ReadObject(utf8, true, (string name, ref Utf8JsonReader reader) =>
        {
            switch (name)
            {
                case "limit":
                    limit = BodyJson.WholeOrNull(ref reader, name, 1, MaxPoll);
                    return true;
                case "leaseSeconds":
                    lease = BodyJson.WholeOrNull(ref reader, name, 1, MaxLease);
                    return true;
                default:
                    return false;
            }
        });
        return (limit ?? DefaultPoll, TimeSpan.FromSeconds(lease ?? DefaultLease));
    }

    /// <summary><c>ack</c>: what is done, and what is given back.</summary>
    public static (string[] Acked, string[] Returned) ParseAck(ReadOnlySpan<byte> utf8)
    {
        string[] acked = [], returned = [];
        BodyJson.ReadObject(utf8, false, (string name, ref Utf8JsonReader reader) =>
        {
            switch (name)
            {
                case "acked":
                    acked = ReadLeases(ref reader, name);
                    return true;
                case "returned":
                    returned = ReadLeases(ref reader, name);
                    return true;
                default:
                    return false;
            }
        });
        if (acked.Length + returned.Length is 0 or > MaxNames) throw BodyJson.Bad($"'acked' and 'returned' must have 1 to {MaxNames} leases together.");
        return (acked, returned);
    }

    private static string[] ReadLeases(ref Utf8JsonReader reader, string name)
    {
        var leases = BodyJson.TextsOrNull(ref reader, name, MaxNames) ?? [];
        return leases.All(l => l.Length is > 0 and <= MaxLeaseName) ? leases : throw BodyJson.Bad($"'{name}' has a text that is no lease.");
    }

    /// <summary>Reads the members that say where to begin.</summary>
    private sealed class StartReader
    {
        private string? _named;
        private DateTimeOffset? _since;
        private Dictionary<string, Position>? _positions;

        public bool Read(string name, ref Utf8JsonReader reader)
        {
            switch (name)
            {
                case "since":
                    _since = BodyJson.TimeOrNull(ref reader, name);
                    return true;
                case "positions":
                    _positions = reader.TokenType == JsonTokenType.Null ? null : ReadPositions(ref reader);
                    return true;
                default:
                    return false;
            }
        }

        public bool ReadNamed(string name, ref Utf8JsonReader reader)
        {
            if (name != "named") return false;
            _named = BodyJson.TextOrNull(ref reader, name);
            return _named is null or "now" ? true : throw BodyJson.Bad("'named' must be now.");
        }

        /// <summary>Where; one way alone must be given.</summary>
        public WebhookStart Result(string problem) =>
            (_named is null ? 0 : 1) + (_since is null ? 0 : 1) + (_positions is null ? 0 : 1) == 1
                ? new WebhookStart { Named = _named, Since = _since, Positions = _positions }
                : throw BodyJson.Bad(problem);

        private static Dictionary<string, Position> ReadPositions(ref Utf8JsonReader reader)
        {
            var positions = new Dictionary<string, Position>(StringComparer.Ordinal);
            BodyJson.ReadObject(ref reader, "positions", (string channel, ref Utf8JsonReader value) =>
            {
                if (!ChannelName.IsValid(channel)) throw BodyJson.Bad("'positions' has a name that is no channel's.");
                if (positions.Count == WireLimits.MaxCursors) throw BodyJson.Bad($"'positions' has more than {WireLimits.MaxCursors} channels.");
                positions.Add(channel, ReadPosition(ref value, channel));
                return true;
            });
            return positions.Count > 0 ? positions : throw BodyJson.Bad("'positions' must name at least one channel.");
        }

        private static Position ReadPosition(ref Utf8JsonReader reader, string channel)
        {
            string? epoch = null;
            long? offset = null;
            BodyJson.ReadObject(ref reader, $"positions.{channel}", (string name, ref Utf8JsonReader value) =>
            {
                switch (name)
                {
                    case "epoch":
                        epoch = BodyJson.TextOrNull(ref value, $"positions.{channel}.epoch");
                        return true;
                    case "offset":
                        offset = BodyJson.WholeOrNull(ref value, $"positions.{channel}.offset");
                        return true;
                    default:
                        return false;
                }
            });
            // Those that the server makes are of such characters; what it cannot have made must not get into what is stored.
            return epoch is { Length: > 0 and <= Position.MaxEpochLength } && !epoch.AsSpan().ContainsAnyExceptInRange('!', '~') && offset is { } at
                ? new Position(epoch, at)
                : throw BodyJson.Bad($"'positions.{channel}' must have an epoch of 1 to {Position.MaxEpochLength} ASCII characters and an offset.");
        }
    }
}

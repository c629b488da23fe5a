using System.Text.Json;
using Grid.Protocol;
using Grid.Server.Tenancy;

namespace Grid.Server.Api;

/// <summary>The body of <c>POST /v1/tokens</c>.</summary>
internal sealed record TokenBody(string User, TimeSpan Lifetime, Capabilities Capabilities)
{
    /// <summary>The largest body, in bytes.</summary>
    public const int MaxBytes = 64 * 1024;

    /// <summary>How long a token is valid that asks for no lifetime.</summary>
    public static readonly TimeSpan DefaultLifetime = TimeSpan.FromHours(1);

    /// <summary>Reads a body.</summary>
    /// <exception cref="GridProblemException">The body is not valid.</exception>
    public static TokenBody Parse(ReadOnlySpan<byte> utf8)
    {
        var reader = BodyJson.Reader(utf8, 1);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw BodyJson.Bad("The body must be a JSON object.");
            var body = Read(ref reader);
            return reader.Read() ? throw BodyJson.Bad("The body has something after its JSON value.") : body;
        }
        catch (JsonException e)
        {
            throw BodyJson.Bad(BodyJson.Describe(e));
        }
    }

    private static TokenBody Read(ref Utf8JsonReader reader)
    {
        string? user = null;
        long? ttl = null;
        Capabilities? capabilities = null;
        var seen = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("user"u8))
            {
                BodyJson.Once(ref seen, 1, "user");
                reader.Read();
                user = BodyJson.TextOrNull(ref reader, "user");
            }
            else if (reader.ValueTextEquals("ttlSeconds"u8))
            {
                BodyJson.Once(ref seen, 2, "ttlSeconds");
                reader.Read();
                ttl = BodyJson.WholeOrNull(ref reader, "ttlSeconds");
            }
            else if (reader.ValueTextEquals("capabilities"u8))
            {
                BodyJson.Once(ref seen, 4, "capabilities");
                reader.Read();
                capabilities = ReadCapabilities(ref reader);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }

        if (!UserName.IsValid(user)) throw BodyJson.Bad($"'user' must have 1 to {UserName.MaxLength} characters and no control characters.");
        if (capabilities is null) throw BodyJson.Bad("'capabilities' is missing: a token allows nothing that it does not name.");
        var most = (long)ClientTokens.MaxLifetime.TotalSeconds;
        if (ttl is < 1 || ttl > most) throw BodyJson.Bad($"'ttlSeconds' must be from 1 to {most} (30 days).");
        return new TokenBody(user!, ttl is { } seconds ? TimeSpan.FromSeconds(seconds) : DefaultLifetime, capabilities);
    }

    private static Capabilities ReadCapabilities(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject) throw BodyJson.Bad("'capabilities' must be an object.");
        var grants = new Dictionary<string, Capability>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var pattern = reader.HasValueSequence || reader.ValueSpan.Length > 6 * (ChannelName.MaxLength + 1) ? "" : PatternOf(ref reader);
            if (!ChannelName.IsValidPattern(pattern)) throw BodyJson.Bad("A capability must name a channel, or a prefix ending in *.");
            if (grants.Count == Capabilities.MaxPatterns) throw BodyJson.Bad($"At most {Capabilities.MaxPatterns} channel patterns are allowed.");
            reader.Read();
            if (!grants.TryAdd(pattern, ReadNames(ref reader, pattern))) throw BodyJson.Bad($"The capability '{pattern}' is given twice.");
        }

        return new Capabilities(grants);
    }

    private static string PatternOf(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            // An unpaired surrogate: no channel has one.
            return "";
        }
    }

    private static Capability ReadNames(ref Utf8JsonReader reader, string pattern)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw BodyJson.Bad($"The capability '{pattern}' must be an array of: {CapabilityNames.All}.");
        var granted = Capability.None;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.String
                || BodyJson.TextOrNull(ref reader, "capabilities") is not { } name
                || !CapabilityNames.TryParse(name, out var one))
                throw BodyJson.Bad($"The capability '{pattern}' must be an array of: {CapabilityNames.All}.");
            granted |= one;
        }

        return granted;
    }
}

using System.Collections.Frozen;
using System.Text.Json;

namespace Grid.Server.Telemetry;

/// <summary>Tags whose values are those of an enumeration, in lower case with underscores; made once, so that using one allocates nothing.</summary>
internal static class Tag
{
    /// <summary>The tag of a value.</summary>
    public static KeyValuePair<string, object?> Of<TEnum>(string name, TEnum value)
        where TEnum : struct, Enum => new(name, Names<TEnum>.Of(value));

    private static class Names<TEnum>
        where TEnum : struct, Enum
    {
        private static readonly FrozenDictionary<TEnum, string> Known = Enum.GetValues<TEnum>().Distinct().ToFrozenDictionary(
            value => value, value => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()));

        public static string Of(TEnum value) => Known.TryGetValue(value, out var name) ? name : "other";
    }
}

using System.Collections;
using System.Reflection;
using System.Text.RegularExpressions;
using Grid.Server.Hosting;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Network;

namespace Grid.ClusterTests.Deploy;

/// <summary>
/// The settings that the host knows, as names of environment variables: what the options classes have, read by reflection, and the
/// few of ASP.NET that deployments use. A name that is misspelt in a manifest would otherwise be no error anywhere, and no setting.
/// </summary>
internal static partial class KnownSettings
{
    private static readonly string[] OfTheFramework =
        ["ASPNETCORE_URLS", "ASPNETCORE_FORWARDEDHEADERS_ENABLED", "ASPNETCORE_HTTP_PORTS", "Logging__Console__FormatterName"];

    private static readonly IReadOnlyList<Regex> Known =
        [.. OfTheFramework.Concat(Names("Grid", typeof(GridOptions))).Concat(OfTheCluster()).Concat(OfWebhooks()).Select(name => new Regex($"^{name}$"))];

    /// <summary>Whether the host knows a setting by this name.</summary>
    public static bool Contains(string name) => Known.Any(known => known.IsMatch(name));

    /// <summary>Whether a name is meant to be a setting of the host.</summary>
    public static bool LooksLikeOne(string name) => SettingName().IsMatch(name);

    /// <summary>The names of settings that a text mentions.</summary>
    public static IEnumerable<string> In(string text) => SettingName().Matches(text).Select(match => match.Value).Distinct();

    [GeneratedRegex(@"\b(Grid__|ConnectionStrings__|Logging__|ASPNETCORE_)\w+")]
    private static partial Regex SettingName();

    private static IEnumerable<string> OfTheCluster() => Names("Grid", typeof(GridClusterOptions))
        .Select(name => name is "Grid__Postgres" or "Grid__Redis" ? name.Replace("Grid__", "ConnectionStrings__", StringComparison.Ordinal) : name);

    private static IEnumerable<string> OfWebhooks() =>
        Names("Grid__Webhooks", typeof(WebhookOptions)).Concat(Names("Grid__Webhooks", typeof(WebhookNetworkOptions)));

    private static IEnumerable<string> Names(string prefix, Type type)
    {
        foreach (var property in type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            var name = $"{prefix}__{property.Name}";
            var of = property.PropertyType;
            if (typeof(IDictionary).IsAssignableFrom(of))
            {
                foreach (var inner in Names(name + "__[A-Za-z0-9_]+", of.GetGenericArguments()[1])) yield return inner;
            }
            else if (of.IsGenericType && of.GetGenericTypeDefinition() == typeof(IList<>))
            {
                yield return name + "__[0-9]+";
            }
            else if (of.IsClass && of.Assembly == typeof(GridOptions).Assembly)
            {
                foreach (var inner in Names(name, of)) yield return inner;
            }
            else
            {
                yield return name;
            }
        }
    }
}

namespace Grid.Benchmarks.Servers;

/// <summary>Runtime settings that .NET servers of either side are started with: those that Grid comes with.</summary>
internal static class DotNetSettings
{
    /// <summary>The environment; as in Grid's image and launch profile.</summary>
    public static IReadOnlyDictionary<string, string> Environment { get; } = new Dictionary<string, string>
    {
        ["DOTNET_GCgen0size"] = "0x4000000",
    };
}

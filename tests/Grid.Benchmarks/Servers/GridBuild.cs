using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>A build of Grid.Host under test: that of this build, or one of two that are compared by the same generator.</summary>
/// <param name="Name">The side's name; null for the usual one.</param>
/// <param name="Host">Its program; null for the one of this build.</param>
internal sealed record GridBuild(string? Name, string? Host)
{
    /// <summary>What was built with the benchmarks.</summary>
    public static GridBuild Own { get; } = new(null, null);

    /// <summary>Reads <c>--hosts NAME=FILE,NAME=FILE</c>; without it, this build alone.</summary>
    public static GridBuild[] Of(Options options)
    {
        if (options.Text("hosts") is not { } list) return [Own];
        return [.. list.Split(',').Select(part =>
        {
            var at = part.IndexOf('=', StringComparison.Ordinal);
            var file = at < 1 ? "" : Path.GetFullPath(part[(at + 1)..]);
            return File.Exists(file) ? new GridBuild(part[..at], file) : throw new BenchmarkException($"--hosts: '{part}' is no NAME=Grid.Host.dll.");
        })];
    }
}

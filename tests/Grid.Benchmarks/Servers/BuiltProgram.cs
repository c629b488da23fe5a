using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>Programs that were built with the benchmarks, in the same configuration.</summary>
internal static class BuiltProgram
{
    /// <summary>A program's path.</summary>
    /// <param name="folder">Its project's folder, from the repository's root.</param>
    /// <exception cref="BenchmarkException">It is not built.</exception>
    public static string Find(string folder)
    {
        // …/tests/Grid.Benchmarks/bin/<configuration>/<framework>/
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var root = output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;
        var path = Path.Combine(root, folder, "bin", output.Parent.Name, output.Name, Path.GetFileName(folder) + ".dll");
        return File.Exists(path) ? path : throw new BenchmarkException($"Not built: {path}");
    }
}

using System.Diagnostics;
using Grid.Testing.Hosting;

namespace Grid.Testing.Sdk;

/// <summary>
/// Starts a script of this folder in Node. Its arguments are the folder of the built SDK that the host serves
/// (<c>src/Grid.Host/wwwroot/sdk</c>), and the folder whose <c>node_modules</c> has the packages that tests need. Where Node or the
/// packages are missing, tests fail.
/// </summary>
internal static class NodeScript
{
    /// <summary>Starts a script; its standard input, output and error are redirected.</summary>
    /// <param name="script">The file's name.</param>
    /// <param name="folder">An empty folder, for a copy of the SDK.</param>
    public static async Task<Process> StartAsync(string script, TestFolder folder)
    {
        var packages = Repository.PathOf("src/grid-client-ts");
        foreach (var package in new[] { "ws", "standardwebhooks", "cloudevents" })
        {
            if (!Directory.Exists(Path.Combine(packages, "node_modules", package)))
                throw new TestFailedException($"The package '{package}' is missing: run 'npm ci' in {packages} (tests/run.sh does).");
        }

        // A copy in a folder that says what its modules are: the web root needs no package.json, but Node does.
        foreach (var module in Directory.EnumerateFiles(Repository.PathOf("src/Grid.Host/wwwroot/sdk"), "*.js"))
            File.Copy(module, folder[Path.GetFileName(module)]);
        await File.WriteAllTextAsync(folder["package.json"], """{"type":"module"}""");
        var info = new ProcessStartInfo("node")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        info.ArgumentList.Add(Repository.PathOf($"tests/Grid.Testing/Sdk/{script}"));
        info.ArgumentList.Add(folder.Path);
        info.ArgumentList.Add(packages);
        return await ProcessStarter.StartAsync(info);
    }
}

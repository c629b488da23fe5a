using System.Runtime.InteropServices;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary>
/// The host as the Dockerfile publishes it, without Docker: what it copies is copied into an empty folder, and what it runs there is
/// run. So its list of files is enough, and its commands work. Made once for all tests that use it.
/// </summary>
public sealed class PublishedHost : IAsyncLifetime, IDisposable
{
    private readonly TestFolder _folder = new("publish");

    /// <summary>What the image has in <c>/app</c>.</summary>
    public string App => _folder["app"];

    /// <summary>The program that the image starts.</summary>
    public string Program => Path.Combine(App, Dockerfile.Load().Final("ENTRYPOINT").List[1]);

    /// <inheritdoc/>
    public async Task InitializeAsync()
    {
        var source = _folder["source"];
        var environment = new Dictionary<string, string>
        {
            ["TARGETARCH"] = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? "amd64" : "arm64", ["MSBUILDDISABLENODEREUSE"] = "1",
            ["UseSharedCompilation"] = "false",
        };
        foreach (var instruction in Dockerfile.Load().Instructions.Where(i => i.Stage == "build"))
        {
            switch (instruction.Name)
            {
                case "COPY":
                    foreach (var from in instruction.Words.SkipLast(1)) Copy(from, Path.Combine(source, instruction.Words.Last()));
                    break;
                case "RUN":
                    // In a container these are at the root; here they are below the folder.
                    var command = instruction.Arguments.Replace(" /app", $" {App}", StringComparison.Ordinal).Replace(" /data", $" {_folder["data"]}", StringComparison.Ordinal);
                    (await Commands.RunAsync("/bin/sh", ["-ec", command], environment, source, seconds: 400)).Ok();
                    break;
            }
        }
    }

    /// <inheritdoc/>
    public Task DisposeAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose() => _folder.Dispose();

    private static void Copy(string from, string to)
    {
        var path = Repository.PathOf(from);
        if (File.Exists(path))
        {
            Directory.CreateDirectory(to);
            File.Copy(path, Path.Combine(to, Path.GetFileName(path)), overwrite: true);
            return;
        }

        // What a folder built before is not sent to the builder: deploy/Dockerfile.dockerignore.
        foreach (var file in Directory.GetFiles(path, "*", SearchOption.AllDirectories))
        {
            var relative = Path.GetRelativePath(path, file);
            if (relative.Split('/').Any(part => part is "bin" or "obj" or "data")) continue;
            var target = Path.Combine(to, relative);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target, overwrite: true);
        }
    }
}

/// <summary>The tests that use the published host, one after the other, and while no other test runs: making it takes all processors.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class PublishedHostTests : ICollectionFixture<PublishedHost>
{
    public const string Name = "published host";
}

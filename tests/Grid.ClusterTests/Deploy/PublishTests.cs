using System.Diagnostics;
using System.Text.Json;
using Grid.Testing;
using Grid.Testing.Hosting;

namespace Grid.ClusterTests.Deploy;

/// <summary>What the Dockerfile publishes is whole, of one platform, and runs.</summary>
[Collection(PublishedHostTests.Name)]
public sealed class PublishTests(PublishedHost host)
{
    [Fact]
    public void Its_entry_point_and_what_that_needs_are_there()
    {
        Assert.Equal("dotnet", Dockerfile.Load().Final("ENTRYPOINT").List[0]);
        Assert.True(File.Exists(host.Program), host.Program);
        Assert.All(
            (string[])["Grid.Host.runtimeconfig.json", "appsettings.json", "wwwroot/index.html"],
            name => Assert.True(File.Exists(Path.Combine(host.App, name)), name));

        // Every library that the program was built with.
        using var dependencies = JsonDocument.Parse(File.ReadAllText(Path.ChangeExtension(host.Program, ".deps.json")));
        var target = dependencies.RootElement.GetProperty("runtimeTarget").GetProperty("name").GetString()!;
        var libraries = dependencies.RootElement.GetProperty("targets").GetProperty(target).EnumerateObject()
            .Where(library => library.Value.TryGetProperty("runtime", out _))
            .SelectMany(library => library.Value.GetProperty("runtime").EnumerateObject()).Select(file => Path.GetFileName(file.Name)).ToArray();
        Assert.Contains("Orleans.Runtime.dll", libraries);
        Assert.All(libraries, name => Assert.True(File.Exists(Path.Combine(host.App, name)), name));
    }

    [Fact]
    public void The_native_store_is_there_once()
    {
        var native = Directory.GetFiles(host.App, "*rocksdb*", SearchOption.AllDirectories).Select(Path.GetFileName).Order(StringComparer.Ordinal);

        Assert.Equal(["librocksdb.so"], native);
        Assert.False(Directory.Exists(Path.Combine(host.App, "runtimes")), "There are native files of other platforms.");
    }

    [Fact]
    public async Task It_runs_and_its_health_check_tells_so()
    {
        using var folder = new TestFolder("published");
        var check = Dockerfile.Load().Final("HEALTHCHECK").List;
        Assert.Equal(["dotnet", "Grid.Host.dll", "healthcheck"], check);
        var environment = new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = $"http://*:{FreePort.Next()}", ["Grid__DataDirectory"] = folder["data"], ["Grid__DrainSpan"] = "00:00:00",
            ["Grid__Bootstrap__ApiKey"] = HostProcess.DefaultApiKey,
        };
        Assert.Equal(1, (await CheckAsync()).ExitCode);

        var info = new ProcessStartInfo("dotnet", [host.Program]) { WorkingDirectory = folder.Path, RedirectStandardOutput = true };
        foreach (var (name, value) in environment) info.Environment[name] = value;
        using var process = await ProcessStarter.StartAsync(info);
        var output = process.StandardOutput.ReadToEndAsync();
        using var deadline = TestDeadline.In(180);
        await deadline.UntilAsync(async () => (await CheckAsync("/readyz")).ExitCode == 0, () => "the published host is ready");
        Assert.Equal(0, (await CheckAsync()).ExitCode);
        Assert.Equal(1, (await CheckAsync("/v1/channels/a")).ExitCode);

        ProcessStarter.Terminate(process);
        await process.WaitForExitAsync(deadline.Token);
        Assert.True(process.ExitCode == 0, await output);

        Task<CommandResult> CheckAsync(params string[] path) => Commands.RunAsync("dotnet", [host.Program, .. check[2..], .. path], environment);
    }
}

using System.Diagnostics;
using System.Globalization;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary>
/// <c>deploy/cluster.sh</c> with a folder and ports of its own. Whatever becomes of the test, and of this whole process, a watcher
/// takes the cluster down when its input ends.
/// </summary>
internal sealed class ScriptCluster : IAsyncDisposable
{
    private static readonly string Script = Repository.PathOf("deploy/cluster.sh");
    private readonly TestFolder _folder = new("cluster");
    private readonly Dictionary<string, string> _environment;
    private readonly Process _watcher;

    /// <summary>Prepares a cluster; <c>up</c> starts it.</summary>
    /// <param name="host">The folder of the host to run; null to have it published from the sources.</param>
    public ScriptCluster(string? host)
    {
        // PostgreSQL runs as another user when this is root, and has to get through.
        File.SetUnixFileMode(_folder.Path, (UnixFileMode)Convert.ToInt32("711", 8));
        Port = FreePort.Next();
        SiloPort = Consecutive();
        _environment = new(StringComparer.Ordinal)
        {
            ["GRID_CLUSTER_DIR"] = Folder,
            ["GRID_PORT"] = Text(Port),
            ["GRID_SILO_HTTP_PORT"] = Text(SiloPort),
            ["GRID_SILO_PORT"] = Text(Consecutive()),
            ["GRID_POSTGRES_PORT"] = Text(FreePort.Next()),
            ["GRID_REDIS_PORT"] = Text(FreePort.Next()),
            ["GRID_STATS_PORT"] = Text(FreePort.Next()),
            ["GRID_DRAIN_NOTICE"] = "3",
            ["GRID_DRAIN_SPAN"] = "1",
        };
        if (host is not null) _environment["GRID_HOST_DIR"] = host;

        var info = new ProcessStartInfo("setsid", ["bash", "-c", "while read -r; do :; done; \"$0\" down --wipe > /dev/null 2>&1; rmdir \"$1\"", Script, _folder.Path]) { RedirectStandardInput = true };
        foreach (var (name, value) in _environment) info.Environment[name] = value;
        _watcher = Process.Start(info)!;
    }

    /// <summary>Where its state is.</summary>
    public string Folder => _folder["run"];

    /// <summary>The balancer's port.</summary>
    public int Port { get; }

    /// <summary>The port of silo 1's own HTTP; the others follow.</summary>
    public int SiloPort { get; }

    /// <summary>The balancer.</summary>
    public Uri Address => new($"http://127.0.0.1:{Port}");

    /// <summary>The key that was made for it.</summary>
    public string ApiKey => File.ReadAllText(Path.Combine(Folder, "run", "api-key"));

    /// <summary>Runs a command of the script.</summary>
    public Task<CommandResult> RunAsync(params string[] arguments) => Commands.RunAsync(Script, arguments, _environment, seconds: 300);

    /// <summary>The processes that it says it has started, by name.</summary>
    public Dictionary<string, int> Processes() => Directory.Exists(Path.Combine(Folder, "run"))
        ? Directory.GetFiles(Path.Combine(Folder, "run"), "*.pid").ToDictionary(
            file => Path.GetFileNameWithoutExtension(file),
            file => int.Parse(File.ReadAllText(file).Split(' ')[0], CultureInfo.InvariantCulture),
            StringComparer.Ordinal)
        : [];

    /// <summary>All processes of this machine whose command line or environment names the cluster's folder.</summary>
    public IReadOnlyList<string> Leftovers() =>
    [
        .. Directory.GetDirectories("/proc").Select(Path.GetFileName).Where(name => int.TryParse(name, out var id) && id != _watcher.Id)
            .Select(id => (Id: id, Command: Read($"/proc/{id}/cmdline"), Environment: Read($"/proc/{id}/environ")))
            .Where(p => p.Command.Contains(Folder, StringComparison.Ordinal)
                || p.Environment.Contains($"GRID_CLUSTER_DIR={Folder}", StringComparison.Ordinal))
            .Select(p => $"{p.Id} {p.Command.Replace('\0', ' ')}"),
    ];

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _watcher.StandardInput.Close();
        using var deadline = TestDeadline.In(120);
        await _watcher.WaitForExitAsync(deadline.Token);
        _watcher.Dispose();
        _folder.Dispose();
    }

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended, or is somebody else's.
            return "";
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>The first of three free ports in a row.</summary>
    private static int Consecutive()
    {
        while (true)
        {
            var first = FreePort.Next();
            var second = FreePort.Next();
            if (second == first + 1 && FreePort.Next() == first + 2) return first;
        }
    }
}

using System.Net;
using Grid.Benchmarks.Net;
using Grid.Testing;

namespace Grid.Benchmarks.Servers;

/// <summary>Grid.Host of this build as a process with a temporary store, or a server named by <c>--url</c> and <c>--key</c>.</summary>
internal sealed class GridServer : IGridServer
{
    private readonly string? _folder;
    private readonly GridProcess _process;
    private string? _token;

    private GridServer(string name, GridProcess process, string apiKey, string? folder)
    {
        Name = name;
        _process = process;
        ApiKey = apiKey;
        _folder = folder;
    }

    public string Name { get; }

    public IPEndPoint Address => _process.Address;

    /// <summary>Its process; null when it was not started here.</summary>
    public int? ProcessId => _process.ProcessId;

    public string? Ending => _process.Ending;

    public string ApiKey { get; }

    public IReadOnlyList<int> Silos => ProcessId is { } id ? [id] : [];

    public string? Profile { get; private init; }

    public string Token => _token ??= _process.Mint(ApiKey);

    /// <summary>Starts a server, or takes the one that the options name.</summary>
    public static GridServer Start(Options options, params (string Name, string Value)[] settings) =>
        Start(options, GridBuild.Own, settings);

    /// <summary>Starts a server of a build.</summary>
    public static GridServer Start(Options options, GridBuild build, params (string Name, string Value)[] settings)
    {
        if (options.Text("url") is { } url)
        {
            var uri = new Uri(url);
            var address = Dns.GetHostAddresses(uri.Host, System.Net.Sockets.AddressFamily.InterNetwork)[0];
            return new GridServer(
                "grid",
                new GridProcess(new IPEndPoint(address, uri.Port), new Dictionary<string, string>(), Path.GetTempPath()),
                options.Text("key") ?? throw new BenchmarkException("--url needs --key."),
                null);
        }

        var folder = Directory.CreateTempSubdirectory("grid-bench-").FullName;
        var key = "bench-" + Guid.NewGuid().ToString("N");
        var environment = GridProcess.Environment(options, key, [("Grid__DataDirectory", Path.Combine(folder, "data")), .. settings]);
        var process = new GridProcess(new IPEndPoint(IPAddress.Loopback, FreePort.Next()), environment, folder, build.Host);
        var server = new GridServer(build.Name ?? "grid", process, key, folder) { Profile = options.Text("perf") };
        try
        {
            server.Launch();
            server.WaitUntilReady();
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <inheritdoc cref="GridProcess.Launch"/>
    public void Launch() => _process.Launch();

    /// <inheritdoc cref="GridProcess.Kill"/>
    public void Kill() => _process.Kill();

    /// <inheritdoc cref="GridProcess.WaitUntilReady"/>
    public void WaitUntilReady() => _process.WaitUntilReady();

    /// <inheritdoc cref="GridProcess.Metric"/>
    public double? Metric(string name, string label = "") => _process.Metric(name, label);

    public IPEndPoint AddressOf(int index) => Address;

    public ServerUsage Usage() => ServerUsage.Of("silo", ProcessId);

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new GridConnection(load, index, Token) { Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged };

    public void Dispose()
    {
        _process.Dispose();
        if (_folder is not null) Directory.Delete(_folder, recursive: true);
    }
}

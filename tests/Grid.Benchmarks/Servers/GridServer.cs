using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>Grid.Host of this build as a process with a temporary store, or a server named by <c>--url</c> and <c>--key</c>.</summary>
internal sealed class GridServer : IServer
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(60);

    private readonly string? _folder;
    private readonly IReadOnlyDictionary<string, string> _environment;
    private ChildProcess? _process;
    private string? _token;

    private GridServer(IPEndPoint address, string apiKey, string? folder, IReadOnlyDictionary<string, string> environment)
    {
        Address = address;
        ApiKey = apiKey;
        _folder = folder;
        _environment = environment;
    }

    public string Name => "grid";

    public IPEndPoint Address { get; }

    public int? ProcessId => _process?.Id;

    public string? Ending => _process?.Ending;

    /// <summary>The API key of the tenant used.</summary>
    public string ApiKey { get; }

    /// <summary>Where a profile of each measurement goes; null for none.</summary>
    public string? Profile { get; private init; }

    /// <summary>A token that may do everything on every channel.</summary>
    public string Token => _token ??= Mint();

    private Uri Url => new($"http://{Address}");

    /// <summary>Starts a server, or takes the one that the options name.</summary>
    public static GridServer Start(Options options, params (string Name, string Value)[] settings)
    {
        if (options.Text("url") is { } url)
        {
            var uri = new Uri(url);
            var address = Dns.GetHostAddresses(uri.Host, System.Net.Sockets.AddressFamily.InterNetwork)[0];
            return new GridServer(
                new IPEndPoint(address, uri.Port),
                options.Text("key") ?? throw new BenchmarkException("--url needs --key."),
                null,
                new Dictionary<string, string>());
        }

        var folder = Directory.CreateTempSubdirectory("grid-bench-").FullName;
        var key = "bench-" + Guid.NewGuid().ToString("N");
        var environment = new Dictionary<string, string>
        {
            ["Grid__DataDirectory"] = Path.Combine(folder, "data"),
            ["Grid__Bootstrap__ApiKey"] = key,
            ["ASPNETCORE_ENVIRONMENT"] = "Production",
        };
        foreach (var setting in options.Text("env")?.Split(',') ?? [])
        {
            var at = setting.IndexOf('=', StringComparison.Ordinal);
            if (at < 1) throw new BenchmarkException($"--env: '{setting}' is no NAME=VALUE.");
            environment[setting[..at]] = setting[(at + 1)..];
        }

        var profile = options.Text("perf");
        if (profile is not null)
        {
            // perf finds the names of compiled methods in a file, and only where code is mapped once.
            environment["DOTNET_PerfMapEnabled"] = "1";
            environment["DOTNET_EnableWriteXorExecute"] = "0";
        }

        foreach (var (name, value) in settings) environment[name] = value;
        var server = new GridServer(new IPEndPoint(IPAddress.Loopback, ChildProcess.FreePort()), key, folder, environment) { Profile = profile };
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

    /// <summary>Starts the process again, on the same address and store; <see cref="WaitUntilReady"/> is the caller's.</summary>
    public void Launch() => _process = ChildProcess.Start(
        "dotnet", [HostPath(), "--urls", $"http://{Address}"], _environment, _folder!);

    /// <summary>Ends the process without a word, as a crash would.</summary>
    public void Kill()
    {
        (_process ?? throw new BenchmarkException("Only a server that was started here can be killed.")).Dispose();
    }

    /// <summary>Waits until it says that it may take traffic.</summary>
    public void WaitUntilReady()
    {
        using var http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(2) };
        var end = DateTime.UtcNow + StartPatience;
        while (true)
        {
            if (Ending is { } ending) throw new BenchmarkException("Grid.Host " + ending);
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, "/readyz");
                using var response = http.Send(request);
                if (response.IsSuccessStatusCode) return;
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // Not yet.
            }

            if (DateTime.UtcNow > end) throw new BenchmarkException("Grid.Host was not ready in time:\n" + _process?.Output);
            Thread.Sleep(20);
        }
    }

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new GridConnection(load, index, Token) { Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged };

    public void Dispose()
    {
        _process?.Dispose();
        if (_folder is not null) Directory.Delete(_folder, recursive: true);
    }

    private string Mint()
    {
        using var http = new HttpClient { BaseAddress = Url };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/tokens");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", ApiKey);
        request.Content = new StringContent(
            """{"user":"bench","ttlSeconds":3600,"capabilities":{"*":["subscribe","publish","history"]}}""",
            Encoding.UTF8,
            "application/json");
        using var response = http.Send(request);
        using var body = new StreamReader(response.Content.ReadAsStream());
        var text = body.ReadToEnd();
        if (!response.IsSuccessStatusCode) throw new BenchmarkException($"No token: {(int)response.StatusCode} {text}");
        using var json = JsonDocument.Parse(text);
        return json.RootElement.GetProperty("token").GetString()!;
    }

    /// <summary>The host that was built with the benchmarks, in the same configuration.</summary>
    private static string HostPath()
    {
        // …/tests/Grid.Benchmarks/bin/<configuration>/<framework>/
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var root = output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;
        var path = Path.Combine(root, "src", "Grid.Host", "bin", output.Parent.Name, output.Name, "Grid.Host.dll");
        return File.Exists(path) ? path : throw new BenchmarkException($"Not built: {path}");
    }
}

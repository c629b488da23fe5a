using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>Grid.Host as one process: the embedded server, or one silo of a cluster.</summary>
/// <param name="address">Where it listens for clients.</param>
/// <param name="environment">Its settings.</param>
/// <param name="folder">Where it runs.</param>
/// <param name="host">Its program; null for the one of this build.</param>
internal sealed class GridProcess(IPEndPoint address, IReadOnlyDictionary<string, string> environment, string folder, string? host = null) : IDisposable
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(90);

    private const int LinesOfFault = 8;

    private ChildProcess? _process;

    /// <summary>Where it listens for clients.</summary>
    public IPEndPoint Address { get; } = address;

    /// <summary>Its process id; null before the start.</summary>
    public int? ProcessId => _process?.Id;

    /// <summary>Its exit code and what it printed; null while it runs, and after <see cref="Kill"/>.</summary>
    public string? Ending => Killed ? null : _process?.Ending;

    /// <summary>Its exit code; null while it runs.</summary>
    public int? ExitCode => _process?.ExitCode;

    /// <summary>What it logged as errors last, with the lines that follow each.</summary>
    public string Faults
    {
        get
        {
            var lines = _process?.Output.Split('\n') ?? [];
            return string.Join('\n', lines.Where((_, i) => lines[Math.Max(0, i - LinesOfFault)..(i + 1)].Any(IsFault)).TakeLast(5 * LinesOfFault));
        }
    }

    /// <summary>Whether it was killed on purpose and not started since.</summary>
    public bool Killed { get; private set; }

    private Uri Url => new($"http://{Address}");

    /// <summary>The settings that every server under test gets, and those of the command line.</summary>
    public static Dictionary<string, string> Environment(Options options, string apiKey, IEnumerable<(string Name, string Value)> settings)
    {
        var environment = new Dictionary<string, string>(DotNetSettings.Environment)
        {
            ["Grid__Bootstrap__ApiKey"] = apiKey,
            ["ASPNETCORE_ENVIRONMENT"] = "Production",
        };
        foreach (var setting in options.Text("env")?.Split(',') ?? [])
        {
            var at = setting.IndexOf('=', StringComparison.Ordinal);
            if (at < 1) throw new BenchmarkException($"--env: '{setting}' is no NAME=VALUE.");
            environment[setting[..at]] = setting[(at + 1)..];
        }

        if (options.Text("perf") is not null)
        {
            // perf finds the names of compiled methods in a file, and only where code is mapped once.
            environment["DOTNET_PerfMapEnabled"] = "1";
            environment["DOTNET_EnableWriteXorExecute"] = "0";
        }

        foreach (var (name, value) in settings) environment[name] = value;
        return environment;
    }

    /// <summary>Starts the process, again on the same address and store; <see cref="WaitUntilReady"/> is the caller's.</summary>
    public void Launch()
    {
        _process = ChildProcess.Start("dotnet", [host ?? BuiltProgram.Find("src/Grid.Host"), "--urls", $"http://{Address}"], environment, folder);
        Killed = false;
    }

    /// <summary>Ends the process without a word, as a crash would.</summary>
    public void Kill()
    {
        Killed = true;
        Process.Kill();
    }

    /// <summary>Stops the process without ending it, or lets it go on.</summary>
    public void Pause(bool paused) => Process.Signal(paused ? ChildProcess.SigStop : ChildProcess.SigCont);

    /// <summary>Waits until it says that it may take traffic.</summary>
    public void WaitUntilReady()
    {
        using var http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(2) };
        var waited = Stopwatch.StartNew();
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

            if (waited.Elapsed > StartPatience) throw new BenchmarkException("Grid.Host was not ready in time:\n" + _process?.Output);
            Thread.Sleep(20);
        }
    }

    /// <summary>A token that may do everything on every channel.</summary>
    public string Mint(string apiKey)
    {
        using var http = new HttpClient { BaseAddress = Url };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/tokens");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", apiKey);
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

    /// <summary>The sum of the samples of a metric; null when the host shows none.</summary>
    /// <param name="name">The name in Prometheus's form.</param>
    /// <param name="label">What the sample's labels have to contain.</param>
    public double? Metric(string name, string label = "")
    {
        try
        {
            using var http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(2) };
            using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
            using var response = http.Send(request);
            if (!response.IsSuccessStatusCode) return null;
            using var body = new StreamReader(response.Content.ReadAsStream());
            var samples = body.ReadToEnd().Split('\n')
                .Where(l => l.StartsWith(name, StringComparison.Ordinal) && l.Length > name.Length && l[name.Length] is '{' or ' ')
                .Where(l => l.Contains(label, StringComparison.Ordinal))
                .Select(l => double.Parse(l[(l.LastIndexOf('}') + 1)..].Trim().Split(' ')[^(l.Trim().Split(' ').Length > 2 ? 2 : 1)],
                    System.Globalization.CultureInfo.InvariantCulture)).ToArray();
            return samples.Length == 0 ? null : samples.Sum();
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    private static bool IsFault(string line) =>
        line.StartsWith("fail: ", StringComparison.Ordinal) || line.StartsWith("crit: ", StringComparison.Ordinal) || line.StartsWith("Grid ends", StringComparison.Ordinal);

    public void Dispose()
    {
        Killed = true;
        _process?.Dispose();
    }

    private ChildProcess Process => _process ?? throw new BenchmarkException("Only a server that was started here can be stopped.");
}

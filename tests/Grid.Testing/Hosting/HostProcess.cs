using System.Diagnostics;
using System.Globalization;
using System.Reflection;

namespace Grid.Testing.Hosting;

/// <summary>
/// The real, built host as a process of its own: on a free port, with its data in a temporary folder. It can be killed and started
/// again on the same data and port as often as a test likes; dispose kills it and removes the data.
/// </summary>
public sealed class HostProcess : IAsyncDisposable
{
    /// <summary>The API key that the host is given unless the settings name another.</summary>
    public const string DefaultApiKey = "test-bootstrap-key-0123456789abcdef";

    private const int SigInt = 2;
    private const int SigStop = 19;
    private const int SigCont = 18;
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(180);
    private readonly TestFolder? _ownFolder;
    private readonly string? _namespace;
    private readonly Dictionary<string, string?> _settings;
    private Process? _process;
    private Task _output = Task.CompletedTask;

    /// <summary>Prepares a host without starting it.</summary>
    /// <param name="settings">Environment variables, such as <c>Grid__Heartbeat</c>; a null value removes one of the defaults.</param>
    /// <param name="dataDirectory">The data directory; null for a temporary one.</param>
    /// <param name="port">The port; null for a free one.</param>
    /// <param name="place">The address it listens on, and the network namespace it lives in; null for loopback.</param>
    public HostProcess(
        IEnumerable<KeyValuePair<string, string?>>? settings = null, string? dataDirectory = null, int? port = null, HostPlace? place = null)
    {
        place ??= HostPlace.Loopback;
        _namespace = place.Namespace;
        if (dataDirectory is null) _ownFolder = new TestFolder("host");
        DataDirectory = dataDirectory ?? _ownFolder!["data"];
        Port = port ?? FreePort.Next();
        Address = new Uri($"http://{place.Address}:{Port}");
        _settings = new(StringComparer.Ordinal)
        {
            ["Grid__DataDirectory"] = DataDirectory,
            ["Grid__Bootstrap__ApiKey"] = DefaultApiKey,
            ["Grid__SiloPort"] = FreePort.Next().ToString(CultureInfo.InvariantCulture),
            ["Grid__GatewayPort"] = FreePort.Next().ToString(CultureInfo.InvariantCulture),
            ["ASPNETCORE_URLS"] = $"http://{place.Address}:{Port}",
            ["ASPNETCORE_ENVIRONMENT"] = "Production",
        };
        foreach (var (name, value) in settings ?? []) _settings[name] = value;
        ApiKey = _settings["Grid__Bootstrap__ApiKey"] ?? "";
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>The port it listens on.</summary>
    public int Port { get; }

    /// <summary>Its data directory.</summary>
    public string DataDirectory { get; }

    /// <summary>The bootstrap API key that it was given.</summary>
    public string ApiKey { get; }

    /// <summary>Everything that its runs wrote.</summary>
    public HostOutput Output { get; } = new();

    /// <summary>Whether its process stands still (<see cref="Pause"/>).</summary>
    public bool IsPaused { get; private set; }

    /// <summary>Whether a process is running.</summary>
    public bool IsRunning => _process is { HasExited: false };

    /// <summary>How the last process ended; null while one runs, or before the first.</summary>
    public int? ExitCode => _process is { HasExited: true } ended ? ended.ExitCode : null;

    /// <summary>The running process's id.</summary>
    public int Id => _process?.Id ?? throw new InvalidOperationException("The host was not started.");

    /// <summary>Starts a host and waits until it may take traffic.</summary>
    public static async Task<HostProcess> RunAsync(
        IEnumerable<KeyValuePair<string, string?>>? settings = null, string? dataDirectory = null, int? port = null)
    {
        var host = new HostProcess(settings, dataDirectory, port);
        try
        {
            await host.StartAsync().ConfigureAwait(false);
            return host;
        }
        catch
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The built host: of the same configuration as these tests, below the repository's root; or <c>GRID_HOST_DLL</c>.</summary>
    public static string FindHost()
    {
        if (Environment.GetEnvironmentVariable("GRID_HOST_DLL") is { Length: > 0 } given) return given;
        var relative = typeof(HostProcess).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .First(a => a.Key == "GridHostOutput").Value!;
        var path = Repository.PathOf(relative);
        return File.Exists(path) ? path : throw new TestFailedException($"The host is not built: {path} is missing.");
    }

    /// <summary>Starts the process, again if it ended, and waits until <c>/readyz</c> says that it may take traffic.</summary>
    public async Task StartAsync()
    {
        await LaunchAsync().ConfigureAwait(false);
        await WaitUntilReadyAsync().ConfigureAwait(false);
    }

    /// <summary>Starts the process without waiting for readiness: for starts that are meant to fail.</summary>
    public async Task LaunchAsync()
    {
        if (IsRunning) throw new InvalidOperationException("The host is running.");
        await _output.ConfigureAwait(false);
        _process?.Dispose();
        var info = new ProcessStartInfo
        {
            FileName = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } dotnet ? dotnet : "dotnet",
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            // Not the folder of the binaries: the host must not depend on where it is started.
            WorkingDirectory = Path.GetTempPath(),
        };

        // Whoever started the tests in the background made them deaf to SIGINT, and children inherit that. Like "ip" below, "env"
        // becomes the program, so the process stays the one that is started here.
        foreach (var word in (string[])["--default-signal=INT", info.FileName]) info.ArgumentList.Add(word);
        info.FileName = "env";
        if (_namespace is not null)
        {
            string[] enter = ["netns", "exec", _namespace, info.FileName];
            for (var i = 0; i < enter.Length; i++) info.ArgumentList.Insert(i, enter[i]);
            info.FileName = "ip";
        }

        info.ArgumentList.Add(FindHost());
        foreach (var inherited in info.Environment.Keys.Where(IsHostSetting).ToArray()) info.Environment.Remove(inherited);
        foreach (var (name, value) in _settings)
        {
            if (value is not null) info.Environment[name] = value;
        }

        _process = await ProcessStarter.StartAsync(info).ConfigureAwait(false);
        Output.Add($"--- process {_process.Id} started on port {Port}");
        _output = Task.WhenAll(PumpAsync(_process.StandardOutput, ""), PumpAsync(_process.StandardError, "stderr: "));
    }

    /// <summary>Waits until <c>/readyz</c> answers 200.</summary>
    /// <exception cref="TestFailedException">The process ended, or did not become ready in time; with its output.</exception>
    public async Task WaitUntilReadyAsync()
    {
        using var http = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromSeconds(5) };
        using var deadline = new TestDeadline(StartTimeout);
        await deadline.UntilAsync(
            async () =>
            {
                if (!IsRunning) throw new TestFailedException($"The host ended with {_process?.ExitCode} before it was ready.\n{Output.Tail()}");
                try
                {
                    using var answer = await http.GetAsync(new Uri("/readyz", UriKind.Relative)).ConfigureAwait(false);
                    return answer.IsSuccessStatusCode;
                }
                catch (Exception e) when (
                    // The HTTP client lets the socket's own exception through when the other side resets at once.
                    e is HttpRequestException or System.Net.Sockets.SocketException or OperationCanceledException)
                {
                    return false;
                }
            },
            () => $"the host is ready\n{Output.Tail()}").ConfigureAwait(false);
    }

    /// <summary>Kills the process at once (SIGKILL), as <c>kill -9</c> does, and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        if (_process is null) return;
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync().ConfigureAwait(false);
        await _output.ConfigureAwait(false);
        IsPaused = false;
        Output.Add($"--- process {_process.Id} killed");
    }

    /// <summary>Makes the process stand still (SIGSTOP), with all its connections open, as on a machine that hangs.</summary>
    public void Pause()
    {
        ProcessStarter.Signal(Id, SigStop);
        IsPaused = true;
        Output.Add($"--- process {Id} stopped");
    }

    /// <summary>Lets a process that stands still go on (SIGCONT).</summary>
    public void Continue()
    {
        ProcessStarter.Signal(Id, SigCont);
        IsPaused = false;
        Output.Add($"--- process {Id} goes on");
    }

    /// <summary>Asks the process to end (SIGTERM).</summary>
    public void Terminate() => ProcessStarter.Terminate(_process ?? throw new InvalidOperationException("The host was not started."));

    /// <summary>Interrupts the process, as Ctrl+C does (SIGINT).</summary>
    public void Interrupt() => ProcessStarter.Signal(Id, SigInt);

    /// <summary>Waits until the process has ended by itself; its exit code.</summary>
    /// <exception cref="TestFailedException">It did not end in time; with its output.</exception>
    public async Task<int> ExitAsync(TimeSpan? timeout = null)
    {
        var process = _process ?? throw new InvalidOperationException("The host was not started.");
        using var deadline = new TestDeadline(timeout ?? TimeSpan.FromSeconds(120));
        try
        {
            await process.WaitForExitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new TestFailedException($"The host did not end within {deadline.Span.TotalSeconds:0} s.\n{Output.Tail()}");
        }

        await _output.ConfigureAwait(false);
        Output.Add($"--- process {process.Id} ended with {process.ExitCode}");
        return process.ExitCode;
    }

    /// <summary>The process's resident memory, in bytes (Linux: <c>VmRSS</c> of <c>/proc</c>).</summary>
    public long ResidentBytes()
    {
        foreach (var line in File.ReadLines($"/proc/{Id}/status"))
        {
            if (!line.StartsWith("VmRSS:", StringComparison.Ordinal)) continue;
            return long.Parse(line["VmRSS:".Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture) * 1024;
        }

        throw new TestFailedException("The process's memory could not be read.");
    }

    /// <summary>The HTTP endpoints with the bootstrap key.</summary>
    public GridHttp Http() => new(Address, ApiKey);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        _process?.Dispose();
        _ownFolder?.Dispose();
    }

    private static bool IsHostSetting(string name) =>
        name.StartsWith("Grid__", StringComparison.OrdinalIgnoreCase) || name.StartsWith("ConnectionStrings__", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("ASPNETCORE_", StringComparison.OrdinalIgnoreCase) || name.StartsWith("OTEL_", StringComparison.OrdinalIgnoreCase);

    private async Task PumpAsync(StreamReader reader, string prefix)
    {
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line) Output.Add(prefix + line);
    }
}

using System.Diagnostics;
using System.Globalization;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Servers;

namespace Grid.ClusterTests.Deploy;

/// <summary>HAProxy with the repository's configuration, in front of given servers, on free ports.</summary>
internal sealed class HaproxyProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly int _statePort;
    private readonly Task<string> _errors;

    private HaproxyProcess(Process process, int port, int statePort)
    {
        (_process, _statePort) = (process, statePort);
        _errors = process.StandardError.ReadToEndAsync();
        Address = new Uri($"http://127.0.0.1:{port}");
        Http = new HttpClient { BaseAddress = Address, Timeout = TimeSpan.FromSeconds(20) };
    }

    /// <summary>The program.</summary>
    public static string Program => ServerPrograms.Find("haproxy", "haproxy");

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>Requests to it.</summary>
    public HttpClient Http { get; }

    /// <summary>The environment that the configuration asks for.</summary>
    public static Dictionary<string, string> Environment(int port, int statePort, IReadOnlyList<int> silos) => new(StringComparer.Ordinal)
    {
        ["GRID_BIND"] = $"127.0.0.1:{port}",
        ["GRID_STATS_BIND"] = $"127.0.0.1:{statePort}",
        ["GRID_MAXCONN"] = "200",
        ["GRID_SILO_1"] = $"127.0.0.1:{silos[0]}",
        ["GRID_SILO_2"] = $"127.0.0.1:{silos[1]}",
        ["GRID_SILO_3"] = $"127.0.0.1:{silos[2]}",
    };

    /// <summary>Starts it and waits until it hands requests on.</summary>
    public static async Task<HaproxyProcess> RunAsync(IReadOnlyList<int> silos)
    {
        var (port, statePort) = (FreePort.Next(), FreePort.Next());
        var info = new ProcessStartInfo(Program, ["-db", "-f", Repository.PathOf("deploy/haproxy.cfg")]) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var (name, value) in Environment(port, statePort, silos)) info.Environment[name] = value;
        var haproxy = new HaproxyProcess(await ProcessStarter.StartAsync(info), port, statePort);
        using var deadline = TestDeadline.In(30);
        await deadline.UntilAsync(
            async () =>
            {
                if (haproxy._process.HasExited) throw new TestFailedException(await haproxy._errors);
                try
                {
                    return await haproxy.StateAsync(1) == "UP" && await haproxy.StateAsync(2) == "UP" && await haproxy.StateAsync(3) == "UP";
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            },
            () => "HAProxy is up");
        return haproxy;
    }

    /// <summary>What it says of a silo: UP, DOWN and so on.</summary>
    public async Task<string> StateAsync(int silo)
    {
        var table = await Http.GetStringAsync(new Uri($"http://127.0.0.1:{_statePort}/;csv"));
        var row = table.Split('\n').First(line => line.StartsWith(string.Create(CultureInfo.InvariantCulture, $"silos,silo-{silo},"), StringComparison.Ordinal));
        return row.Split(',')[17];
    }

    /// <summary>Waits until it says so.</summary>
    public async Task UntilAsync(int silo, string state)
    {
        using var deadline = TestDeadline.In(30);
        await deadline.UntilAsync(async () => await StateAsync(silo) == state, () => $"silo {silo} is {state} for HAProxy");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}

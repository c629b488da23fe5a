using System.Collections.Concurrent;
using System.Globalization;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.ClusterTests.Cluster;

/// <summary>One silo of a test's cluster: a real host process, started again whenever it ends by itself, as a supervisor would.</summary>
internal sealed class TestSilo : IAsyncDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly ConcurrentQueue<int> _exits = new();
    private volatile bool _wanted;

    public TestSilo(int number, HostPlace place, IReadOnlyDictionary<string, string?> settings, string home)
    {
        Number = number;
        Place = place;
        SiloPort = FreePort.Next();
        GatewayPort = FreePort.Next();
        var own = new Dictionary<string, string?>(settings, StringComparer.Ordinal)
        {
            ["Grid__SiloPort"] = SiloPort.ToString(CultureInfo.InvariantCulture),
            ["Grid__GatewayPort"] = GatewayPort.ToString(CultureInfo.InvariantCulture),
            ["Grid__AdvertisedAddress"] = place.Address.ToString(),

            // As on a machine of its own: what a process keeps in its user's folder is nobody else's.
            ["HOME"] = home,
        };
        Host = new HostProcess(own, place: place);
    }

    public int Number { get; }

    public HostPlace Place { get; }

    public HostProcess Host { get; }

    public int SiloPort { get; }

    public int GatewayPort { get; }

    public Uri Address => Host.Address;

    /// <summary>Whether it is to run: neither killed nor taken away.</summary>
    public bool Wanted => _wanted;

    /// <summary>What <c>/readyz</c> said when the balancer last asked.</summary>
    public bool Ready { get; set; }

    /// <summary>With which codes it ended by itself, each followed by a new start.</summary>
    public IReadOnlyCollection<int> Exits => _exits;

    /// <summary>Starts the process and waits until it may take traffic.</summary>
    public async Task StartAsync()
    {
        await LaunchAsync();
        await Host.WaitUntilReadyAsync();
        Ready = true;
    }

    /// <summary>Starts the process.</summary>
    public async Task LaunchAsync()
    {
        await _turn.WaitAsync();
        try
        {
            await Host.LaunchAsync();
            _wanted = true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Kills the process (SIGKILL); it stays away until it is started.</summary>
    public Task KillAsync() => AwayAsync(Host.KillAsync);

    /// <summary>Asks the process to leave (SIGTERM) and waits until it has; its exit code.</summary>
    public async Task<int> DrainAsync()
    {
        var code = -1;
        await AwayAsync(async () =>
        {
            Host.Terminate();
            code = await Host.ExitAsync(TimeSpan.FromSeconds(90));
        });
        return code;
    }

    /// <summary>Makes the process stand still (SIGSTOP).</summary>
    public void Pause() => Host.Pause();

    /// <summary>Lets it go on (SIGCONT).</summary>
    public void Continue() => Host.Continue();

    /// <summary>Starts the process again if it ended by itself.</summary>
    public async Task SuperviseAsync()
    {
        if (!_wanted || !await _turn.WaitAsync(0)) return;
        try
        {
            if (!_wanted || Host.ExitCode is not { } code) return;
            _exits.Enqueue(code);
            Ready = false;
            Host.Output.Add($"--- it ended by itself with {code} and is started again");
            await Host.LaunchAsync();
        }
        finally
        {
            _turn.Release();
        }
    }

    public GridHttp Http() => Host.Http();

    /// <summary>A socket to this silo, with the API key unless a token is given.</summary>
    public Task<RawClient> OpenAsync(string name, RawResume? resume = null, string? token = null) =>
        RawClient.OpenAsync(Address, new RawClientOptions { Token = token ?? Host.ApiKey, Name = name }, resume);

    public override string ToString() => $"silo {Number}";

    public async ValueTask DisposeAsync()
    {
        _wanted = false;
        await _turn.WaitAsync();
        await Host.DisposeAsync();
    }

    private async Task AwayAsync(Func<Task> end)
    {
        // Before the wait: a supervisor that is at it must not start what is to be away.
        _wanted = false;
        await _turn.WaitAsync();
        try
        {
            await end();
            Ready = false;
        }
        finally
        {
            _turn.Release();
        }
    }
}

using System.Net;
using Grid.Benchmarks.Net;
using Grid.Testing;
using Grid.Testing.Servers;

namespace Grid.Benchmarks.Servers;

/// <summary>ASP.NET Core SignalR (<c>tests/Grid.Benchmarks.SignalR</c>) in one process, alone or with the Redis backplane.</summary>
internal sealed class SignalRServer : IDotNetServer
{
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(60);

    private readonly ChildProcess _process;
    private readonly RedisServer? _redis;
    private readonly IPEndPoint _address;

    private SignalRServer(ChildProcess process, IPEndPoint address, RedisServer? redis)
    {
        (_process, _address, _redis) = (process, address, redis);
        Name = redis is null ? "signalr" : "signalr-redis";
    }

    public string Name { get; }

    public string? Ending => _process.Ending;

    public IReadOnlyList<int> DotNetProcesses => [_process.Id];

    /// <summary>Starts one, and a Redis for it if it is to have the backplane.</summary>
    public static SignalRServer Start(bool backplane)
    {
        var program = BuiltProgram.Find("tests/Grid.Benchmarks.SignalR");
        var redis = backplane ? RedisServer.RunAsync().GetAwaiter().GetResult() : null;
        SignalRServer? server = null;
        try
        {
            var address = new IPEndPoint(IPAddress.Loopback, FreePort.Next());
            string[] arguments = [program, "--urls", $"http://{address}", .. redis is null ? [] : (string[])["--redis", redis.ConnectionString]];
            var environment = new Dictionary<string, string>(DotNetSettings.Environment) { ["ASPNETCORE_ENVIRONMENT"] = "Production" };
            var process = ChildProcess.Start("dotnet", arguments, environment, Path.GetTempPath());
            server = new SignalRServer(process, address, redis);
            process.WaitUntilListening(address, StartPatience, "The SignalR server");
            Console.WriteLine($"{server.Name}: JSON hub protocol, WebSocket only, client time-out 1 h{(redis is null ? "" : "; Redis keeps nothing on disk")}");
            return server;
        }
        catch
        {
            if (server is not null) server.Dispose();
            else redis?.DisposeAsync().AsTask().GetAwaiter().GetResult();
            throw;
        }
    }

    public IPEndPoint AddressOf(int index) => _address;

    public ServerUsage Usage()
    {
        var own = ProcessUsage.Of(_process.Id);
        var part = new PartUsage("signalr", own.CpuSeconds, own.Rss);
        if (_redis is null) return new ServerUsage(part);
        var redis = ProcessUsage.Of(_redis.ProcessId);
        return new ServerUsage(part, new PartUsage("redis", redis.CpuSeconds, redis.Rss));
    }

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new SignalRConnection(load, index) { Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged };

    public void Dispose()
    {
        _process.Dispose();
        _redis?.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }
}

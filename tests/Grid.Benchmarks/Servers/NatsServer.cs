using System.Diagnostics;
using System.Net;
using Grid.Benchmarks.Net;
using Grid.Testing;

namespace Grid.Benchmarks.Servers;

/// <summary>nats-server (Debian package <c>nats-server</c>) with WebSocket, and JetStream on files for acknowledged publishes.</summary>
internal sealed class NatsServer : IServer
{
    private const string Program = "/usr/sbin/nats-server";
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(10);

    private readonly string _folder;
    private readonly ChildProcess _process;

    private NatsServer(string folder, ChildProcess process, IPEndPoint address, bool jetStream)
    {
        _folder = folder;
        _process = process;
        Address = address;
        Name = jetStream ? "jetstream" : "nats";
    }

    public string Name { get; }

    /// <summary>Where sockets connect.</summary>
    public IPEndPoint Address { get; }

    public string? Ending => _process.Ending;

    /// <summary>Starts one; prints its settings, since a comparison without them says nothing.</summary>
    public static NatsServer Start(bool jetStream)
    {
        if (!File.Exists(Program)) throw new BenchmarkException($"{Program} is missing: install the package nats-server.");
        var folder = Directory.CreateTempSubdirectory("nats-bench-").FullName;
        var (port, webSocket) = (FreePort.Next(), FreePort.Next());
        var config = $$"""
            host: 127.0.0.1, port: {{port}}
            max_connections: 20000
            websocket { host: 127.0.0.1, port: {{webSocket}}, no_tls: true, compression: false }
            """ + (jetStream ? $$"""

            jetstream { store_dir: "{{folder}}/js", max_file_store: 8GB, max_memory_store: 256MB }
            """ : "");
        var path = Path.Combine(folder, "nats.conf");
        File.WriteAllText(path, config);
        Console.WriteLine($"nats-server: {config.ReplaceLineEndings("; ").Replace(folder, "<temp>", StringComparison.Ordinal)}");
        var process = ChildProcess.Start(Program, ["-c", path], new Dictionary<string, string>(), folder);
        var server = new NatsServer(folder, process, new IPEndPoint(IPAddress.Loopback, webSocket), jetStream);
        var waited = Stopwatch.StartNew();
        while (!ChildProcess.Listens(server.Address))
        {
            if (process.HasExited || waited.Elapsed > StartPatience)
            {
                server.Dispose();
                throw new BenchmarkException("nats-server did not come up:\n" + process.Output);
            }

            Thread.Sleep(20);
        }

        return server;
    }

    /// <summary>Makes the stream that acknowledged publishes go to, and prints its settings.</summary>
    public static void CreateStream(NatsConnection connection, string subjects)
    {
        var settings = $$"""{"name":"BENCH","subjects":["{{subjects}}"],"storage":"file","retention":"limits","discard":"old","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"duplicate_window":120000000000}""";
        Console.WriteLine($"jetstream: {settings} (default sync_interval: 2 minutes; an acknowledgement does not wait for a sync)");
        connection.Say($"PUB $JS.API.STREAM.CREATE.BENCH _INBOX.b{connection.Index}.1000000000 {settings.Length}\r\n{settings}\r\n");
    }

    public IPEndPoint AddressOf(int index) => Address;

    public ServerUsage Usage() => ServerUsage.Of("nats", _process.Id);

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new NatsConnection(load, index) { Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged };

    public void Dispose()
    {
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

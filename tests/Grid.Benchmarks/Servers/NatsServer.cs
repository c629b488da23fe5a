using System.Net;
using System.Net.Sockets;
using System.Text;
using Grid.Benchmarks.Net;
using Grid.Testing;

namespace Grid.Benchmarks.Servers;

/// <summary>nats-server (Debian package <c>nats-server</c>) with WebSocket; with JetStream on files where messages are to be kept.</summary>
internal sealed class NatsServer : IServer
{
    /// <summary>The program, of Debian's package.</summary>
    public const string Program = "/usr/sbin/nats-server";

    /// <summary>The stream that keeps what all loads publish, where there is JetStream.</summary>
    public const string StreamName = "BENCH";

    private const string Subjects = "\"fan.>\",\"room.>\",\"pub.>\",\"idle.>\",\"warm.>\",\"hist.>\"";
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(10);

    private readonly string _folder;
    private readonly ChildProcess _process;
    private readonly bool _jetStream;

    private NatsServer(string folder, ChildProcess process, IPEndPoint address, bool jetStream)
    {
        _folder = folder;
        _process = process;
        _jetStream = jetStream;
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
        try
        {
            process.WaitUntilListening(server.Address, StartPatience, "nats-server");
            if (jetStream) CreateStream(port);
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public IPEndPoint AddressOf(int index) => Address;

    public ServerUsage Usage() => ServerUsage.Of("nats", _process.Id);

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new NatsConnection(load, index)
        {
            Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged, Stream = _jetStream ? StreamName : null,
        };

    /// <summary>A connection with a push consumer that delivers a channel from its first message on.</summary>
    public NatsConnection ReaderFromStart(Load load, int index, string channel) =>
        new(load, index) { Channel = channel, Subscribes = true, Stream = StreamName, FromStart = true };

    /// <summary>Makes the stream and prints its settings.</summary>
    private static void CreateStream(int port)
    {
        var settings = $$"""{"name":"{{StreamName}}","subjects":[{{Subjects}}],"storage":"file","retention":"limits","discard":"old","num_replicas":1,"max_msgs":-1,"max_bytes":-1,"duplicate_window":120000000000}""";
        Console.WriteLine($"jetstream: {settings} (default sync_interval: 2 minutes; an acknowledgement does not wait for a sync)");
        using var client = new TcpClient("127.0.0.1", port) { ReceiveTimeout = (int)StartPatience.TotalMilliseconds };
        using var stream = client.GetStream();
        using var reader = new StreamReader(stream);
        stream.Write(Encoding.UTF8.GetBytes(
            $"CONNECT {{\"verbose\":false}}\r\nSUB _INBOX.rig 1\r\nPUB $JS.API.STREAM.CREATE.{StreamName} _INBOX.rig {settings.Length}\r\n{settings}\r\n"));
        while (reader.ReadLine() is { } line)
        {
            if (line.Contains("\"error\"", StringComparison.Ordinal)) throw new BenchmarkException("JetStream made no stream: " + line);
            if (line.Contains("stream_create_response", StringComparison.Ordinal)) return;
        }

        throw new BenchmarkException("nats-server closed the connection that was to make a stream.");
    }

    public void Dispose()
    {
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

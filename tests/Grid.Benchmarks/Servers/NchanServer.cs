using System.Net;
using Grid.Benchmarks.Net;
using Grid.Testing;

namespace Grid.Benchmarks.Servers;

/// <summary>nginx with nchan (Debian packages <c>nginx</c> and <c>libnginx-mod-nchan</c>): pub/sub in the web server's memory.</summary>
internal sealed class NchanServer : IServer
{
    /// <summary>The program, of Debian's package.</summary>
    public const string Program = "/usr/sbin/nginx";

    /// <summary>The module, of Debian's package.</summary>
    public const string Module = "/usr/lib/nginx/modules/ngx_nchan_module.so";

    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(10);

    private readonly string _folder;
    private readonly ChildProcess _process;
    private readonly IPEndPoint _address;

    private NchanServer(string folder, ChildProcess process, IPEndPoint address) =>
        (_folder, _process, _address) = (folder, process, address);

    public string Name => "nchan";

    public string? Ending => _process.Ending;

    /// <summary>Starts one; prints its settings, since a comparison without them says nothing.</summary>
    public static NchanServer Start()
    {
        var folder = Directory.CreateTempSubdirectory("nchan-bench-").FullName;
        var address = new IPEndPoint(IPAddress.Loopback, FreePort.Next());

        // A buffer longer than any window: a subscriber that is behind would otherwise miss messages.
        var buffer = "nchan_message_buffer_length 5000; nchan_message_timeout 1m;";
        var config = $$"""
            load_module {{Module}};
            daemon off; pid {{folder}}/pid; error_log stderr warn; worker_processes auto; worker_rlimit_nofile 20000;
            events { worker_connections 19900; }
            http {
            access_log off; nchan_shared_memory_size 512M; client_body_temp_path {{folder}}/b; proxy_temp_path {{folder}}/p;
            fastcgi_temp_path {{folder}}/f; uwsgi_temp_path {{folder}}/u; scgi_temp_path {{folder}}/s;
            server { listen {{address}} backlog=4096;
            location ~ ^/pub/(.+)$ { nchan_publisher websocket; nchan_channel_id $1; {{buffer}} }
            location ~ ^/ws/(.+)$ { nchan_pubsub websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; {{buffer}} }
            } }
            """;
        var path = Path.Combine(folder, "nginx.conf");
        File.WriteAllText(path, config);
        Console.WriteLine($"nchan: {config.ReplaceLineEndings(" ").Replace(folder, "<temp>", StringComparison.Ordinal)}");
        var process = ChildProcess.Start(
            Program, ["-p", folder, "-c", path], new Dictionary<string, string>(), folder, endsOthers: true);
        var server = new NchanServer(folder, process, address);
        try
        {
            process.WaitUntilListening(address, StartPatience, "nginx");
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public IPEndPoint AddressOf(int index) => _address;

    public ServerUsage Usage()
    {
        var usage = ProcessUsage.OfFamily(_process.Id);
        return new ServerUsage(new PartUsage("nginx", usage.CpuSeconds, usage.Rss));
    }

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        new NchanConnection(load, index) { Channel = channel, Subscribes = subscribes, Size = size };

    public void Dispose()
    {
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

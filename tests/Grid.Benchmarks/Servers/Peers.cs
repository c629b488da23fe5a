using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>The servers that Grid is compared with: by name, and what each needs on this machine.</summary>
internal static class Peers
{
    /// <summary>nats-server without JetStream: it keeps nothing.</summary>
    public const string Nats = "nats";

    /// <summary>nats-server with JetStream on files: subscriptions are push consumers, publishes are acknowledged when written.</summary>
    public const string JetStream = "jetstream";

    /// <summary>ASP.NET Core SignalR in one process.</summary>
    public const string SignalR = "signalr";

    /// <summary>The same with the Redis backplane.</summary>
    public const string SignalRWithRedis = "signalr-redis";

    /// <summary>nginx with nchan.</summary>
    public const string Nchan = "nchan";

    /// <summary>Peers for messages that nobody has to keep, in the order of their rows.</summary>
    public static IReadOnlyList<string> Known { get; } = [Nats, JetStream, SignalR, SignalRWithRedis, Nchan];

    /// <summary>Reads a list of names, parted by commas.</summary>
    /// <param name="list">The list; null for none.</param>
    /// <param name="known">Which names the load has a use for.</param>
    /// <exception cref="BenchmarkException">A name is not known, or what it stands for is not installed.</exception>
    public static string[] Parse(string? list, params IReadOnlyList<string> known)
    {
        // Where messages are to be kept, nats-server means its JetStream.
        var keeps = !known.Contains(Nats) && known.Contains(JetStream);
        string[] names = [.. (list?.Split(',') ?? []).Select(name => name == Nats && keeps ? JetStream : name)];
        foreach (var name in names)
        {
            if (!known.Contains(name)) throw new BenchmarkException($"--peer {name}: this load knows {string.Join(", ", known)}.");
            if (Missing(name) is { } missing) throw new BenchmarkException($"--peer {name}: {missing}");
        }

        return names;
    }

    /// <summary>What has to be installed before a peer can be started; null when it can.</summary>
    public static string? Missing(string name) => name switch
    {
        Nats or JetStream => Need(NatsServer.Program, "nats-server"),
        SignalRWithRedis => Need("/usr/bin/redis-server", "redis-server"),
        Nchan => Need(NchanServer.Program, "nginx") ?? Need(NchanServer.Module, "libnginx-mod-nchan"),
        _ => null,
    };

    /// <summary>Starts a peer.</summary>
    public static IServer Start(string name) => name switch
    {
        Nats => NatsServer.Start(jetStream: false),
        JetStream => NatsServer.Start(jetStream: true),
        SignalR => SignalRServer.Start(backplane: false),
        SignalRWithRedis => SignalRServer.Start(backplane: true),
        Nchan => NchanServer.Start(),
        _ => throw new BenchmarkException($"'{name}' is no peer."),
    };

    private static string? Need(string file, string package) =>
        File.Exists(file) ? null : $"{file} is missing: install Debian's package {package} (apt-get install {package}).";
}

using System.Net;
using System.Net.Sockets;

namespace Grid.Testing;

/// <summary>
/// Ports that nobody listens on. They are taken from below the range from which the system picks the ports of outgoing connections:
/// a server that is killed and started again on its port must not find that a client's socket has taken it meanwhile.
/// </summary>
public static class FreePort
{
    private const int First = 20_000;
    private const int Count = 12_000;
    private static readonly Lock Gate = new();
    private static int _next = Random.Shared.Next(Count);

    /// <summary>A port that is free now and was not handed out before in this process.</summary>
    public static int Next()
    {
        lock (Gate)
        {
            for (var tries = 0; tries < Count; tries++)
            {
                var port = First + (_next++ % Count);
                if (IsFree(port)) return port;
            }
        }

        throw new TestFailedException("No free port was found.");
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}

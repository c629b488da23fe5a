using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Grid.Testing;

/// <summary>
/// Ports that nobody listens on. They are taken from below the range from which the system picks the ports of outgoing connections:
/// a server that is killed and started again on its port must not find that a client's socket has taken it meanwhile. Nor that another
/// process of tests has: each takes its ports from blocks that are its own while it lives, by a locked file for each.
/// </summary>
public static class FreePort
{
    private const int First = 20_000;
    private const int Count = 12_000;
    private const int PerBlock = 250;
    private static readonly Lock Gate = new();
    private static readonly List<FileStream> Held = [];
    private static int _next;
    private static int _end;

    /// <summary>A port that is free now and was not handed out before in this process, nor will be in another of the same user while this one lives.</summary>
    public static int Next()
    {
        lock (Gate)
        {
            while (true)
            {
                if (_next == _end) TakeBlock();
                var port = _next++;
                if (IsFree(port)) return port;
            }
        }
    }

    private static void TakeBlock()
    {
        const int Blocks = Count / PerBlock;
        var begin = Random.Shared.Next(Blocks);
        for (var i = 0; i < Blocks; i++)
        {
            var first = First + ((begin + i) % Blocks * PerBlock);
            if (TryHold(first) is not { } held) continue;
            Held.Add(held);
            (_next, _end) = (first, first + PerBlock);
            return;
        }

        throw new TestFailedException("No free port was found.");
    }

    /// <summary>Holds a block. Its file stays: whoever removed it might take it from somebody who has just opened it.</summary>
    private static FileStream? TryHold(int first)
    {
        var path = Path.Combine(Path.GetTempPath(), string.Create(CultureInfo.InvariantCulture, $"grid-ports-{Environment.UserName}-{first}.lock"));
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another process's. Of other users' processes only the look at the port tells.
            return null;
        }
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

using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>Fills channels with messages by HTTP batches: a connection for each of some channels at a time, a batch under way on each.</summary>
internal sealed class Filler : Load
{
    private const int MaxBatch = 500;
    private const int AtOnce = 50;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(20);

    private readonly Dictionary<LoadConnection, int> _left = [];
    private readonly Queue<LoadConnection> _waiting = new();
    private readonly EventLoop _loop;
    private int _open;

    private Filler(EventLoop loop) => _loop = loop;

    /// <summary>Adds to each channel until it has so many messages more; or a few more, since all batches are of one length.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="server">The server.</param>
    /// <param name="channels">The channels' names.</param>
    /// <param name="perChannel">Messages to add to each.</param>
    /// <param name="size">Bytes of each payload.</param>
    /// <returns>Messages that each channel got.</returns>
    public static int Fill(EventLoop loop, IGridServer server, IReadOnlyList<string> channels, int perChannel, int size)
    {
        var filler = new Filler(loop);

        // A request has at most 8 MiB; batches of one length for all come closest to what is wanted.
        var most = Math.Min(MaxBatch, 4_000_000 / (size + 16));
        var requests = (perChannel + most - 1) / most;
        var batch = (perChannel + requests - 1) / requests;
        for (var i = 0; i < channels.Count; i++)
        {
            var connection = new HttpConnection(filler, i, server.ApiKey) { Channel = channels[i], Size = size, Batch = batch };
            filler._left[connection] = requests;
            filler._waiting.Enqueue(connection);
        }

        var started = Stopwatch.GetTimestamp();
        var done = loop.RunUntil(
            () =>
            {
                filler.ThrowOnFault();
                if (server.Ending is { } ending) throw new BenchmarkException($"{server.Name} {ending}");
                while (filler._open < AtOnce && filler._waiting.TryDequeue(out var next))
                {
                    filler._open++;
                    loop.Open(next, server.AddressOf(next.Index));
                }

                return filler._open == 0 && filler._waiting.Count == 0;
            },
            Patience);
        if (!done) throw new BenchmarkException($"Filling took more than {Patience.TotalMinutes:0} minutes.");
        var (took, messages) = (Stopwatch.GetElapsedTime(started).TotalSeconds, (long)requests * batch * channels.Count);
        Console.WriteLine(FormattableString.Invariant(
            $"filled {channels.Count} channels of {server.Name} with {messages:#,##0} messages in {took:0.0} s ({messages / took:#,##0}/s)"));
        return requests * batch;
    }

    public override void OnOpen(LoadConnection connection)
    {
        base.OnOpen(connection);
        connection.Publish(Stopwatch.GetTimestamp());
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        if (--_left[connection] > 0)
        {
            connection.Publish(Stopwatch.GetTimestamp());
            return;
        }

        _loop.Close(connection);
        _open--;
    }
}

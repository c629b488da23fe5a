using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Readers that connect and get channels from the first message to the last: Grid's subscriptions from the start, JetStream's push
/// consumers that deliver all. What is counted begins with the first connection and ends with the last message.
/// </summary>
internal sealed class WholeHistory : Load
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private long Read { get; set; }

    /// <summary>All sides in turns; a first round, in which servers compile and caches fill, is not counted.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="servers">The sides, filled.</param>
    /// <param name="channels">The channels.</param>
    /// <param name="perChannel">Messages in each.</param>
    /// <param name="readers">Readers; they go round the channels.</param>
    /// <param name="pairs">Rounds that count.</param>
    /// <param name="row">The row's name.</param>
    /// <param name="summary">Where the figures go.</param>
    public static void Run(
        EventLoop loop, IReadOnlyList<IServer> servers, IReadOnlyList<string> channels, int perChannel, int readers, int pairs, string row, Summary summary)
    {
        for (var pair = 0; pair <= pairs; pair++)
        {
            foreach (var server in servers)
            {
                var figure = new WholeHistory().Measure(loop, server, channels, perChannel, readers, row);
                if (pair > 0) summary.Add(figure);
            }
        }
    }

    /// <summary>Publishes to JetStream, acknowledged, until every channel has so many messages.</summary>
    public static void Fill(EventLoop loop, NatsServer server, IReadOnlyList<string> channels, int perChannel, int size)
    {
        var load = new StreamFill(channels.Count, perChannel);
        var publishers = channels.Select((channel, i) => server.Connection(load, i, channel, false, size, acknowledged: true)).ToArray();
        Rig.Open(loop, server, load, publishers);
        foreach (var publisher in publishers) load.Begin(publisher);
        var done = loop.RunUntil(() => load.Faults > 0 || load.Stored == (long)perChannel * channels.Count, TimeSpan.FromMinutes(10));
        load.ThrowOnFault();
        if (!done) throw new BenchmarkException("JetStream was not filled in ten minutes.");
        foreach (var publisher in publishers) loop.Close(publisher);
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message) => Read++;

    private Figure Measure(EventLoop loop, IServer server, IReadOnlyList<string> channels, int perChannel, int readers, string row)
    {
        LoadConnection Reader(int i) => server switch
        {
            IGridServer grid => grid.Reader(this, i, channels[i % channels.Count], "\"start\"", subscribes: true),
            NatsServer nats => nats.ReaderFromStart(this, i, channels[i % channels.Count]),
            _ => throw new BenchmarkException($"{server.Name} keeps nothing to read."),
        };

        var wanted = (long)perChannel * readers;
        var connections = Enumerable.Range(0, readers).Select(Reader).ToArray();
        var (usage, own, start) = (server.Usage(), ProcessUsage.Own.CpuSeconds, Stopwatch.GetTimestamp());
        Rig.Open(loop, server, this, connections);
        var done = loop.RunUntil(() => Faults > 0 || Read >= wanted, Patience);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        ThrowOnFault();
        if (!done) throw new BenchmarkException($"{server.Name}: only {Read} of {wanted} messages came in {Patience.TotalSeconds:0} s.");
        var figure = new Figure
        {
            Row = row,
            Side = server.Name,
            Value = Read / seconds,
            Unit = "msg/s",
            Seconds = seconds,
            Work = Read,
            PerRead = Read / (double)Math.Max(1, Reads),
            Used = server.Usage().Since(usage),
            GeneratorCpu = ProcessUsage.Own.CpuSeconds - own,
        };
        foreach (var connection in connections) loop.Close(connection);
        return figure;
    }

    /// <summary>Acknowledged publishes, some on their way on each connection, until each has made its number of them.</summary>
    private sealed class StreamFill(int publishers, int each) : Load
    {
        private const int Pipeline = 64;
        private readonly int[] _sent = new int[publishers];

        /// <summary>Acknowledged.</summary>
        public long Stored { get; private set; }

        /// <summary>The first of a connection.</summary>
        public void Begin(LoadConnection publisher)
        {
            for (var i = 0; i < Pipeline; i++) Send(publisher);
        }

        public override void OnPublished(LoadConnection connection, int count, long id)
        {
            Stored += count;
            Send(connection);
        }

        private void Send(LoadConnection publisher)
        {
            if (_sent[publisher.Index]++ < each) publisher.Publish(Stopwatch.GetTimestamp());
        }
    }
}

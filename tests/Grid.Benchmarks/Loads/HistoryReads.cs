using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Reads of the past, from channels that were filled before. By HTTP: pages from all over the channels, one request under way on each
/// connection. By WebSocket: a page is a subscription to the last messages that ends when they are there; see <see cref="WholeHistory"/>
/// for one from the start.
/// </summary>
internal sealed class HistoryReads : Load
{
    private readonly string[] _channels;
    private readonly int _perChannel;
    private readonly int _page;
    private readonly long[] _askedAt;
    private LoadConnection[] _readers = [];
    private uint _random = 1;
    private bool _running;
    private int _busy;

    private HistoryReads(string[] channels, int perChannel, int page, int readers) =>
        (_channels, _perChannel, _page, _askedAt) = (channels, perChannel, page, new long[readers]);

    private long Read { get; set; }

    /// <summary>The verb <c>history</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (count, messages, size) = (options.Int("channels", 50), options.Int("messages", 10_000), options.Int("size", 128));
        var (page, readers) = (options.Int("page", 100), options.Int("readers", 50));
        var pairs = options.Int("pairs", 2);
        var (time, warmUp) = (options.Seconds("seconds", 5), options.Seconds("warmup", 2));
        if (page > 1000) throw new BenchmarkException("--page: at most 1,000.");
        if (messages < page) throw new BenchmarkException("--messages: at least a page.");
        var servers = Rig.Servers(options, [Peers.JetStream]);
        using var loop = new EventLoop();
        try
        {
            var channels = Names(count);
            var stored = 0;
            foreach (var server in servers.OfType<IGridServer>()) stored = Filler.Fill(loop, server, channels, messages, size);
            foreach (var server in servers.OfType<NatsServer>()) WholeHistory.Fill(loop, server, channels, stored, size);
            var of = $"{count} channels of {stored}";
            var grids = servers.Where(s => s is IGridServer).ToArray();
            var byHttp = Sides(loop, grids, readers, s => OverHttp(loop, (IGridServer)s, channels, stored, page, readers));
            byHttp.TakeTurns(pairs, (s, load) => summary.Add(load.Measure(loop, s, warmUp, time, $"history by HTTP, pages of {page}, {of}")));
            var last = $$"""{"last":{{page}}}""";
            var byLast = Sides(loop, grids, readers, s => OverSocket(loop, s, channels, page, readers, last));
            byLast.TakeTurns(pairs, (s, load) => summary.Add(load.Measure(loop, s, warmUp, time, $"history by WebSocket, the last {page}, {of}")));
            WholeHistory.Run(loop, servers, channels, stored, readers, pairs, $"history by WebSocket, all of it, {of}", summary);
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    /// <summary>Names of channels to be filled.</summary>
    public static string[] Names(int count) =>
        [.. Enumerable.Range(0, count).Select(i => "hist:" + i.ToString("D7", CultureInfo.InvariantCulture))];

    /// <summary>Opens connections that read pages over HTTP.</summary>
    public static HistoryReads OverHttp(EventLoop loop, IGridServer server, string[] channels, int perChannel, int page, int readers)
    {
        var load = new HistoryReads(channels, perChannel, page, readers);
        load._readers = [.. Enumerable.Range(0, readers).Select(
            i => new HttpPages(load, i, server.ApiKey) { Channel = channels[i % channels.Length], Limit = page })];
        Rig.Open(loop, server, load, load._readers);
        return load;
    }

    /// <summary>Measures reads of pages; latency is that of a page.</summary>
    public Figure Measure(EventLoop loop, IServer server, TimeSpan warmUp, TimeSpan time, string row)
    {
        _running = true;
        foreach (var reader in _readers) Next(reader);
        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Read, row, "msg/s");
        _running = false;
        Rig.Drain(loop, this, server, () => _busy == 0);
        return figure;
    }

    /// <summary>Closes all connections.</summary>
    public void Close(EventLoop loop)
    {
        foreach (var reader in _readers) loop.Close(reader);
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        Read += count;
        Done(connection);
        if (_running) Next(connection);
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message)
    {
        Read++;
        if (++connection.Received % _page == 0 && connection is GridConnection grid) grid.Unsubscribe();
    }

    public override void OnUnsubscribed(LoadConnection connection)
    {
        Done(connection);
        if (_running) Next(connection);
    }

    private static Sides<HistoryReads> Sides(EventLoop loop, IServer[] servers, int readers, Func<IServer, HistoryReads> open) =>
        new(servers, readers, open, load => load.Close(loop));

    /// <summary>Opens sockets that read by subscribing; they do not subscribe yet.</summary>
    private static HistoryReads OverSocket(EventLoop loop, IServer server, string[] channels, int page, int readers, string from)
    {
        var (grid, load) = ((IGridServer)server, new HistoryReads(channels, page, page, readers));
        load._readers = [.. Enumerable.Range(0, readers).Select(i => grid.Reader(load, i, channels[i % channels.Length], from, subscribes: false))];
        Rig.Open(loop, server, load, load._readers);
        return load;
    }

    private void Next(LoadConnection reader)
    {
        _busy++;
        _askedAt[reader.Index] = Stopwatch.GetTimestamp();
        if (reader is HttpPages pages)
        {
            // Xorshift: pages from all over, the same in every run.
            _random ^= _random << 13;
            _random ^= _random >> 17;
            _random ^= _random << 5;
            pages.Ask(_channels[(int)(_random % (uint)_channels.Length)], _random / 64 % (uint)(_perChannel - _page + 1));
            return;
        }

        ((GridConnection)reader).Subscribe();
    }

    private void Done(LoadConnection reader)
    {
        _busy--;
        Latency.Record(_askedAt[reader.Index], Stopwatch.GetTimestamp());
    }
}

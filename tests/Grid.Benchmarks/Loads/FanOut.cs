using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// One publisher, many subscribers. The window counts messages that were published but not yet received by every subscriber; the
/// publisher sends the next one when a message has reached the last of them.
/// </summary>
internal sealed class FanOut : Load
{
    private const int MaxWindow = 4096;

    private readonly int[] _reached = new int[MaxWindow];
    private readonly LoadConnection[] _subscribers;
    private readonly LoadConnection _publisher;
    private int _window;

    private FanOut(IServer server, int subscribers, int size, string channel)
    {
        _subscribers = [.. Enumerable.Range(0, subscribers).Select(i => server.Connection(this, i, channel, true, size, false))];
        _publisher = server.Connection(this, subscribers, channel, false, size, false);
    }

    /// <summary>Messages received by all subscribers together.</summary>
    public long Delivered { get; private set; }

    /// <summary>The offset of the last message on the channel, which is this load's alone.</summary>
    public long LastOffset => Published;

    private long Published { get; set; }

    private long Completed { get; set; }

    /// <summary>The verb <c>fanout</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var subscribers = options.Int("subscribers", 1000);
        var size = options.Int("size", 128);
        var windows = options.Ints("window", 1, 8, 64);
        var pairs = options.Int("pairs", 2);
        var (time, warmUp) = (options.Seconds("seconds", 5), options.Seconds("warmup", 2));
        var servers = Rig.Servers(options, Peers.Known, Room(size));
        using var loop = new EventLoop();
        try
        {
            var sides = new Sides<FanOut>(servers, subscribers + 1, server => Prepare(loop, server, subscribers, size, "fan:1"), load => load.Close(loop));
            foreach (var window in windows)
            {
                var row = $"fan-out 1→{subscribers}, {size} B, window {window}";
                sides.TakeTurns(pairs, (server, load) => summary.Add(load.Measure(loop, server, window, warmUp, time, row)));
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    /// <summary>Settings of Grid that let payloads of a size through the channels of this load.</summary>
    public static (string Name, string Value)[] Room(int size)
    {
        var frame = (size + 1024).ToString(CultureInfo.InvariantCulture);
        return size <= 16 * 1024 ? [] : [("Grid__MaxFrameBytes", size < 64_000 ? "65536" : frame), ("Grid__Namespaces__fan__MaxMessageBytes", frame)];
    }

    /// <summary>Opens publisher and subscribers.</summary>
    public static FanOut Prepare(EventLoop loop, IServer server, int subscribers, int size, string channel)
    {
        var load = new FanOut(server, subscribers, size, channel);
        Rig.Open(loop, server, load, [.. load._subscribers, load._publisher]);
        return load;
    }

    /// <summary>Runs and measures with a window.</summary>
    public Figure Measure(EventLoop loop, IServer server, int window, TimeSpan warmUp, TimeSpan time, string row)
    {
        if (window > MaxWindow) throw new BenchmarkException($"--window: at most {MaxWindow}.");
        _window = window;
        Fill();
        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Delivered, row, "msg/s");
        _window = 0;
        Rig.Drain(loop, this, server, () => Completed == Published);
        return figure;
    }

    /// <summary>Closes all connections.</summary>
    public void Close(EventLoop loop)
    {
        foreach (var subscriber in _subscribers) loop.Close(subscriber);
        loop.Close(_publisher);
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message)
    {
        // Channels are ordered, so the n-th message that a subscriber gets is the n-th published.
        var number = connection.Received++;
        Delivered++;

        // One in eight, a different one for each subscriber, is enough to know the latency and keeps the clock out of the count.
        if (((number + connection.Index) & 7) == 0) Latency.Record(Stamp.Ticks(message), Stopwatch.GetTimestamp());
        ref var reached = ref _reached[number & (MaxWindow - 1)];
        if (++reached < _subscribers.Length) return;
        reached = 0;
        Completed++;
        Fill();
    }

    private void Fill()
    {
        for (; Published - Completed < _window; Published++) _publisher.Publish(Stopwatch.GetTimestamp());
    }
}

using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Many rooms in which everyone hears everyone, themselves too. Closed loop: a member publishes again when it has heard its own last
/// message. Open loop: messages are published at a fixed rate whatever comes back, and latency counts from when each was due.
/// </summary>
internal sealed class Rooms : Load
{
    private readonly LoadConnection[] _members;
    private readonly int _rooms;
    private readonly int _perRoom;
    private bool _closedLoop;
    private long _due;
    private long _sent;
    private long _inFlight;

    private Rooms(IServer server, int rooms, int perRoom, int size)
    {
        (_rooms, _perRoom) = (rooms, perRoom);
        _members = [.. Enumerable.Range(0, rooms * perRoom).Select(
            i => server.Connection(this, i, $"room:{i / perRoom}", true, size, false))];
    }

    private long Delivered { get; set; }

    /// <summary>The verb <c>rooms</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (rooms, members, size) = (options.Int("rooms", 500), options.Int("members", 10), options.Int("size", 128));
        var pairs = options.Int("pairs", 2);
        var (time, warmUp) = (options.Seconds("seconds", 5), options.Seconds("warmup", 2));
        var rates = options.Ints("rate", 3000);
        var (closed, open) = (!options.Has("only-rate"), !options.Has("only-closed"));
        if (size < Stamp.MinSizeWithSender) throw new BenchmarkException($"--size: rooms need at least {Stamp.MinSizeWithSender}.");
        var servers = Rig.Servers(options, Peers.Known);
        using var loop = new EventLoop();
        try
        {
            var sides = new Sides<Rooms>(servers, rooms * members, server => Prepare(loop, server, rooms, members, size), load => load.Close(loop));
            if (closed)
            {
                var row = $"{rooms} rooms × {members}, {size} B, closed loop";
                sides.TakeTurns(pairs, (server, load) => summary.Add(load.MeasureClosed(loop, server, warmUp, time, row)));
            }

            foreach (var rate in open ? rates : [])
            {
                var row = $"{rooms} rooms × {members}, {rate} publishes/s: p99";
                sides.TakeTurns(pairs, (server, load) => summary.Add(load.MeasureOpen(loop, server, rate, warmUp, time, row)));
            }
        }
        finally
        {
            Rig.DisposeAll(servers);
        }
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message)
    {
        var number = connection.Received++;
        Delivered++;
        if (!_closedLoop || ((number + connection.Index) & 3) == 0) Latency.Record(Stamp.Ticks(message), Stopwatch.GetTimestamp());
        if (Stamp.Sender(message) != connection.Index) return;
        _inFlight--;
        if (_closedLoop) Publish(connection, Stopwatch.GetTimestamp());
    }

    private void Close(EventLoop loop)
    {
        foreach (var member in _members) loop.Close(member);
    }

    private static Rooms Prepare(EventLoop loop, IServer server, int rooms, int members, int size)
    {
        var load = new Rooms(server, rooms, members, size);
        Rig.Open(loop, server, load, load._members);
        return load;
    }

    private Figure MeasureClosed(EventLoop loop, IServer server, TimeSpan warmUp, TimeSpan time, string row)
    {
        _closedLoop = true;
        foreach (var member in _members) Publish(member, Stopwatch.GetTimestamp());
        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Delivered, row, "msg/s");
        _closedLoop = false;
        Rig.Drain(loop, this, server, () => _inFlight == 0);
        return figure;
    }

    private Figure MeasureOpen(EventLoop loop, IServer server, int rate, TimeSpan warmUp, TimeSpan time, string row)
    {
        var interval = Stopwatch.Frequency / rate;
        _due = Stopwatch.GetTimestamp() + interval;
        loop.NextTimer = _due;
        loop.OnTimer = () =>
        {
            for (var now = Stopwatch.GetTimestamp(); _due <= now; _due += interval)
            {
                // Room after room, and in each another member every time.
                var room = (int)(_sent % _rooms);
                var member = (int)(_sent / _rooms % _perRoom);
                Publish(_members[(room * _perRoom) + member], _due);
                _sent++;
            }

            loop.NextTimer = _due;
        };
        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Delivered, row, "msg/s");
        loop.NextTimer = long.MaxValue;
        Rig.Drain(loop, this, server, () => _inFlight == 0);
        return figure with
        {
            Value = figure.Latency!.Percentile(99) ?? 0,
            Unit = "ms",
            MoreIsBetter = false,
            Note = FormattableString.Invariant($"{figure.Value:#,##0} msg/s delivered"),
        };
    }

    private void Publish(LoadConnection member, long ticks)
    {
        _inFlight++;
        member.Publish(ticks);
    }
}

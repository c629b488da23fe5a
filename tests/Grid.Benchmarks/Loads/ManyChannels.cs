using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Acknowledged publishes that go round so many channels, from the same number of connections with the same number unanswered: what
/// changes is only how many channels there are.
/// </summary>
internal sealed class ManyChannels : Load
{
    // Answers of different channels come in any order; so many publishes later, the oldest of a connection has long been answered.
    private const int Slots = 4096;
    private static readonly TimeSpan FirstRound = TimeSpan.FromSeconds(120);

    private readonly GridConnection[] _publishers;
    private readonly long[][] _sentAt;
    private readonly int _channels;
    private readonly int _pipeline;
    private long _next;
    private long _inFlight;
    private bool _running;

    private ManyChannels(IGridServer server, int connections, int channels, int pipeline, int size, string name)
    {
        (_channels, _pipeline) = (channels, pipeline);
        _publishers = [.. Enumerable.Range(0, connections).Select(
            i => new GridConnection(this, i, server.Token) { Channel = name + ":", Numbered = true, Acknowledged = true, Size = size })];
        _sentAt = [.. _publishers.Select(_ => new long[Slots])];
    }

    private long Acknowledged { get; set; }

    /// <summary>Opens connections.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="server">The server.</param>
    /// <param name="connections">How many.</param>
    /// <param name="channels">How many channels they publish to.</param>
    /// <param name="pipeline">Unanswered publishes of each.</param>
    /// <param name="size">Bytes of a payload.</param>
    /// <param name="name">The channels' namespace.</param>
    public static ManyChannels Open(EventLoop loop, IGridServer server, int connections, int channels, int pipeline, int size, string name)
    {
        var load = new ManyChannels(server, connections, channels, pipeline, size, name);
        Rig.Open(loop, server, load, load._publishers);
        return load;
    }

    /// <summary>Publishes once to every channel, so that all are awake; then measures.</summary>
    public Figure Measure(EventLoop loop, IServer server, TimeSpan warmUp, TimeSpan time, string row)
    {
        _running = true;
        foreach (var publisher in _publishers)
        {
            for (var i = 0; i < _pipeline; i++) Publish(publisher);
        }

        var awake = Acknowledged + _channels;
        if (!loop.RunUntil(() => Faults > 0 || Acknowledged >= awake, FirstRound)) throw new BenchmarkException($"{_channels} channels were not awake in {FirstRound.TotalSeconds:0} s.");
        var figure = Rig.Measure(loop, server, this, warmUp, time, () => Acknowledged, row, "acks/s");
        _running = false;
        Rig.Drain(loop, this, server, () => _inFlight == 0);
        return figure;
    }

    /// <summary>Closes all connections.</summary>
    public void Close(EventLoop loop)
    {
        foreach (var publisher in _publishers) loop.Close(publisher);
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        Acknowledged++;
        _inFlight--;
        if ((Acknowledged & 3) == 0) Latency.Record(_sentAt[connection.Index][id % Slots], Stopwatch.GetTimestamp());
        if (_running) Publish((GridConnection)connection);
    }

    private void Publish(GridConnection publisher)
    {
        _inFlight++;
        var now = Stopwatch.GetTimestamp();
        var id = publisher.PublishTo((int)(_next++ % _channels), now);
        _sentAt[publisher.Index][id % Slots] = now;
    }
}

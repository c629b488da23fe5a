using System.Diagnostics;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Publishes with keys at a fixed rate over many channels, whatever comes back, and what was refused again under its key. Latency counts
/// from when a publish was due.
/// </summary>
internal sealed class FailoverLoad : Load
{
    private const int Size = 128;
    private const int MaxOutstanding = 1024;
    private const double SlowSeconds = 0.25;
    private static readonly long RetryTicks = Stopwatch.Frequency / 10;

    private readonly GridCluster _cluster;
    private readonly GridConnection[] _publishers;
    private readonly GridConnection[] _subscribers;
    private readonly (long Due, long Key)[][] _asked;
    private readonly int[] _outstanding;
    private readonly long[] _stored;
    private readonly long[] _firstAnswer;
    private readonly Queue<(int Channel, long Due, long Key, long At)> _again = new();
    private readonly long _interval;
    private GridProcess? _lost;
    private long _sent;
    private long _due;
    private long _mark = long.MaxValue;
    private long _lastSlow;
    private bool _running;

    public FailoverLoad(GridCluster cluster, int channels, int rate, string name)
    {
        _cluster = cluster;
        _interval = Stopwatch.Frequency / rate;
        var silos = cluster.Processes.Count;
        _publishers = [.. Enumerable.Range(0, channels).Select(c => Connect(c, $"{name}:{c}", subscribes: false))];
        _subscribers = [.. Enumerable.Range(0, channels * silos).Select(i => Connect(channels + i, $"{name}:{i / silos}", subscribes: true))];
        _asked = [.. Enumerable.Range(0, channels).Select(_ => new (long, long)[MaxOutstanding])];
        (_outstanding, _stored, _firstAnswer) = (new int[channels], new long[channels], new long[channels]);
    }

    /// <summary>All connections, subscribers first: nobody publishes before they listen.</summary>
    public IReadOnlyList<GridConnection> Connections => [.. _subscribers, .. _publishers];

    /// <summary>From a publish's due time to its arrival at subscribers that are left, since the mark.</summary>
    public Latencies Delivery { get; private set; } = new();

    /// <summary>Publishes refused, and sent again, since the start.</summary>
    public int Refused { get; private set; }

    /// <summary>Channels without an answer to a publish that was due after the mark.</summary>
    public int Silent => _firstAnswer.Count(a => a == 0);

    /// <summary>When the last channel gave its first answer to a publish due after the mark; null while one has not.</summary>
    public long? AllAnswered => _mark < long.MaxValue && Silent == 0 ? _firstAnswer.Max() : null;

    /// <summary>Where a connection goes: publishers to all silos but the last, which is the one that is lost; subscribers to all in turn.</summary>
    public GridProcess HomeOf(LoadConnection connection)
    {
        var silos = _cluster.Processes;
        var index = connection.Index;
        return index < _publishers.Length ? silos[index % (silos.Count - 1)] : silos[(index - _publishers.Length) % silos.Count];
    }

    /// <summary>Seconds from a moment to the last answer that took long; 0 for none.</summary>
    public double LastSlow(long since) => _lastSlow == 0 ? 0 : Stopwatch.GetElapsedTime(since, _lastSlow).TotalSeconds;

    /// <summary>Starts publishing.</summary>
    public void Start(EventLoop loop)
    {
        _running = true;
        _due = Stopwatch.GetTimestamp() + _interval;
        loop.NextTimer = _due;
        loop.OnTimer = () =>
        {
            var now = Stopwatch.GetTimestamp();
            for (; _running && _due <= now; _due += _interval) Publish((int)(_sent++ % _publishers.Length), _due, null);
            while (_again.TryPeek(out var late) && late.At <= now)
            {
                _again.Dequeue();
                Publish(late.Channel, late.Due, late.Key);
            }

            loop.NextTimer = now + Math.Max(1, Math.Min(_interval, RetryTicks));
        };
    }

    /// <summary>Stops publishing; what was refused is still sent again.</summary>
    public void Stop() => _running = false;

    /// <summary>This silo goes: faults of its connections are none.</summary>
    public void Lose(GridProcess silo) => _lost = silo;

    /// <summary>From now on answers are those of the window.</summary>
    public void Mark(long at)
    {
        ResetLatency();
        Delivery = new Latencies();
        _mark = at;
    }

    /// <summary>Waits until everything was answered, and every subscriber that is left got exactly what was stored.</summary>
    public void AwaitWhole(EventLoop loop, TimeSpan patience)
    {
        var silos = _cluster.Processes.Count;
        var left = _subscribers.Where(s => HomeOf(s) != _lost).ToArray();
        var whole = loop.RunUntil(
            () => Faults > 0 || (Array.TrueForAll(_outstanding, o => o == 0) && _again.Count == 0
                && Array.TrueForAll(left, s => s.Cursor == _stored[(s.Index - _publishers.Length) / silos])),
            patience);
        loop.NextTimer = long.MaxValue;
        ThrowOnFault();
        if (whole) return;
        var behind = left.Where(s => s.Cursor != _stored[(s.Index - _publishers.Length) / silos]).ToArray();
        throw new BenchmarkException(
            $"Not whole: {_outstanding.Sum()} publishes are not answered; {behind.Length} subscribers differ from what was stored, "
            + $"the first, of {behind.FirstOrDefault()?.Channel}, by {behind.Select(s => _stored[(s.Index - _publishers.Length) / silos] - s.Cursor).FirstOrDefault()}.");
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        var now = Stopwatch.GetTimestamp();
        var channel = connection.Index;
        var (due, _) = _asked[channel][id % MaxOutstanding];
        _outstanding[channel]--;
        _stored[channel]++;
        Latency.Record(due, now);
        if (_mark == long.MaxValue) return;
        if (due > _mark && _firstAnswer[channel] == 0) _firstAnswer[channel] = now;
        if (Stopwatch.GetElapsedTime(due, now).TotalSeconds > SlowSeconds) _lastSlow = now;
    }

    public override void OnRefused(LoadConnection connection, long id, string error)
    {
        if (id < 0 || connection.Index >= _publishers.Length)
        {
            base.OnRefused(connection, id, error);
            return;
        }

        Refused++;
        _outstanding[connection.Index]--;
        var (due, key) = _asked[connection.Index][id % MaxOutstanding];
        _again.Enqueue((connection.Index, due, key, Stopwatch.GetTimestamp() + RetryTicks));
    }

    public override void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message)
    {
        base.OnMessage(connection, message);
        if (_mark < long.MaxValue && HomeOf(connection) != _lost) Delivery.Record(Stamp.Ticks(message), Stopwatch.GetTimestamp());
    }

    public override void OnFault(LoadConnection connection, string reason)
    {
        if (HomeOf(connection) != _lost) base.OnFault(connection, $"{reason} ({HomeOf(connection).Ending ?? "its silo runs"})");
    }

    private void Publish(int channel, long due, long? key)
    {
        var publisher = _publishers[channel];
        if (publisher.Fd < 0) return;
        if (_outstanding[channel] >= MaxOutstanding) throw new BenchmarkException($"{publisher.Channel}: more than {MaxOutstanding} publishes without an answer.");
        _outstanding[channel]++;
        var id = key is { } known ? publisher.PublishAs(due, known) : publisher.PublishAs(due, publisher.NextKey);
        _asked[channel][id % MaxOutstanding] = (due, key ?? id);
    }

    private GridConnection Connect(int index, string channel, bool subscribes) =>
        _cluster.Connection(this, index, channel, subscribes, Size, acknowledged: !subscribes, keyed: !subscribes);
}

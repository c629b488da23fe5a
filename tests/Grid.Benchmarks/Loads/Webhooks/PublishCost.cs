using System.Diagnostics;
using System.Globalization;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What a publish costs whose tenant has many subscriptions: acknowledged publishes to a channel that none, one, or all of them match, and of a
/// tenant that has none. The subscriptions are paused, so that nothing else is done; then the first publish to a channel marks all that
/// match, and it alone does.
/// </summary>
internal sealed class PublishCost : Load
{
    private const int Pipeline = 16;

    private long _acknowledged;
    private bool _running;
    private int _inFlight;

    /// <summary>The verb <c>webhooks-publish</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (count, pairs) = (options.Int("subscriptions", 10_000), options.Int("pairs", 3));
        var (time, warmUp) = (options.Seconds("seconds", 3), options.Seconds("warmup", 1));
        options.RefuseOthers("env", "perf");
        using var loop = new EventLoop();
        using var receiver = HookReceiver.Start();
        (string, string)[] settings =
            [("Grid__Webhooks__AllowPrivateNetworks", "true"), ("Grid__Webhooks__MaxPerTenant", count.ToString(CultureInfo.InvariantCulture))];
        using var without = GridServer.Start(options, settings);
        using var with = GridServer.Start(options, settings);
        using var api = new HookApi(with);
        var watch = Stopwatch.StartNew();
        var ids = api.Create([.. Enumerable.Range(0, count).Select(
            i => new { url = receiver.Url(0, 0, HookPath.Other), channels = (string[])(i == 0 ? ["all:*", "one:*"] : ["all:*"]) })]);
        var made = watch.Elapsed.TotalSeconds;
        api.Each(ids, "pause");
        Console.WriteLine(FormattableString.Invariant($"{count} subscriptions made in {made:0.0} s, and paused in {watch.Elapsed.TotalSeconds - made:0.0} s"));
        (GridServer Server, string Channel, string Side)[] sides =
        [
            (without, "free:1", "tenant without webhooks"), (with, "free:1", $"none of {count} matches"),
            (with, "one:1", $"one of {count} matches"), (with, "all:1", $"all {count} match"),
        ];
        for (var pair = 0; pair < pairs; pair++)
        {
            foreach (var (server, channel, side) in sides)
            {
                var load = new PublishCost();
                var publisher = new GridConnection(load, 0, ((IGridServer)server).Token) { Channel = channel, Acknowledged = true };
                Rig.Open(loop, server, load, [publisher]);
                var start = Stopwatch.GetTimestamp();
                load.Publish(publisher);
                loop.RunUntil(() => load._acknowledged > 0 || load.Faults > 0, TimeSpan.FromSeconds(30));
                var first = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                load._running = true;
                for (var i = 0; i < Pipeline; i++) load.Publish(publisher);
                var figure = Rig.Measure(loop, server, load, warmUp, time, () => load._acknowledged, $"acknowledged publishes to one channel, pipeline {Pipeline}", "acks/s");
                load._running = false;
                Rig.Drain(loop, load, server, () => load._inFlight == 0);
                loop.Close(publisher);
                summary.Add(figure with { Side = side, Note = FormattableString.Invariant($"the first took {first:0.0} ms") });
            }
        }
    }

    public override void OnPublished(LoadConnection connection, int count, long id)
    {
        _acknowledged += count;
        _inFlight -= count;
        if (_running) Publish(connection);
    }

    private void Publish(LoadConnection connection)
    {
        _inFlight++;
        connection.Publish(Stopwatch.GetTimestamp());
    }
}

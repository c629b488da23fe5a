using System.Globalization;
using System.Text;
using Grid.ClusterTests.Cluster;
using Grid.Testing.History;

namespace Grid.ClusterTests.Chaos;

/// <summary>A run in figures.</summary>
internal static class ChaosReport
{
    public static string Of(TestCluster cluster, ChaosLoad load, Faults faults, HistoryReport? history, TimeSpan span)
    {
        var text = new StringBuilder();
        Line(text, "time", $"{span.TotalSeconds:0} s");
        Line(text, "faults", $"{faults.Done.Values.Sum()}: {Counts(faults.Done)}");
        Line(text, "silos that ended by themselves", Counts(cluster.Silos.SelectMany(s => s.Exits).GroupBy(c => c).Select(g => new KeyValuePair<string, int>($"with {g.Key}", g.Count()))));
        Line(text, "publishes", $"{load.Acknowledged} acknowledged, {load.Publishers.Sum(p => p.Unavailable)} times 'unavailable', "
            + $"{load.Publishers.Sum(p => p.GivenUp) + load.Peers.Sum(p => p.Unavailable)} given up");
        Line(text, "sent once, answered 'duplicate'", $"{load.History.Publishes.Count(p => p.Attempts == 1 && p.Acknowledgements.Any(a => a.Duplicate))} (a silo's own second try)");
        Line(text, "deliveries", $"{load.Delivered}");
        Line(text, "webhooks", $"{load.Webhooks.Delivered} requests, {load.Webhooks.Repeats} of them repeats");
        Line(text, "welcomes", Counts(load.Consumers.SelectMany(c => c.Welcomes).GroupBy(w => w.Key).Select(g => new KeyValuePair<string, int>(g.Key, g.Sum(x => x.Value)))));
        Line(text, "sessions lost with Redis", $"{load.Consumers.Sum(c => c.StateLosses)}, before their first checkpoint {load.Consumers.Sum(c => c.EarlyLosses)}");
        Line(text, "event streams opened", $"{load.Streams.Sum(s => s.Streams)}");
        Line(text, "closes", Counts(load.Consumers.SelectMany(c => c.Closes).Concat(load.Publishers.SelectMany(p => p.Closes))
            .GroupBy(c => c.Key).OrderBy(g => g.Key).Select(g => new KeyValuePair<int, int>(g.Key, g.Sum(x => x.Value)))));
        Line(text, "repeats (cursors of the server)", $"{load.History.Consumers.Sum(Repeats)}");
        Line(text, "gaps", $"{load.History.Consumers.Sum(c => c.Events.Count(e => e.Kind == ConsumerEventKind.Gap))}");
        Line(text, "longest answer to a publish", Longest(load.Publishers.Select(p => p.LongestAnswer)) + " on one socket");
        Line(text, "longest publish", Longest(load.Publishers.Select(p => p.LongestPublish)) + " from first sending to acknowledgement, over all attempts");
        Line(text, "longest without a socket", Longest(load.Consumers.Select(c => c.LongestAway)) + " for a session, "
            + Longest(load.Streams.Select(s => s.LongestAway)) + " for an event stream");
        Line(text, "lines of errors in logs", Counts(cluster.Silos.SelectMany(s => LoggedErrors.Of(s.Host.Output)).GroupBy(e => e.Category)
            .OrderBy(g => g.Key, StringComparer.Ordinal).Select(g => new KeyValuePair<string, int>(g.Key, g.Count()))));
        Line(text, "verdict", history is null ? "none: the run did not come to its end" : history.IsClean ? $"clean: {history.Summary}" : $"{history.Violations.Count} violations");
        return text.ToString();
    }

    /// <summary>Messages that came to a consumer again.</summary>
    private static int Repeats(ConsumerRecord consumer)
    {
        var (highest, repeats) = (0L, 0);
        foreach (var e in consumer.Events)
        {
            if (e.Kind != ConsumerEventKind.Message) continue;
            if (e.Offset <= highest) repeats++;
            highest = Math.Max(highest, e.Offset);
        }

        return repeats;
    }

    private static string Counts<T>(IEnumerable<KeyValuePair<T, int>> counts)
    {
        var all = string.Join(", ", counts.Select(c => string.Create(CultureInfo.InvariantCulture, $"{c.Key} {c.Value}")));
        return all.Length > 0 ? all : "none";
    }

    private static string Longest(IEnumerable<TimeSpan> spans) =>
        string.Create(CultureInfo.InvariantCulture, $"{spans.DefaultIfEmpty().Max().TotalSeconds:0.00} s");

    private static void Line(StringBuilder text, string what, string value) => text.Append(CultureInfo.InvariantCulture, $"  {what,-32} {value}\n");
}

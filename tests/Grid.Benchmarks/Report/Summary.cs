using System.Globalization;
using System.Text;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Report;

/// <summary>Collects figures, prints each as it comes, and makes the tables.</summary>
internal sealed class Summary
{
    private readonly List<Figure> _figures = [];

    /// <summary>The figures so far.</summary>
    public IReadOnlyList<Figure> Figures => _figures;

    /// <summary>Takes a figure and prints it.</summary>
    public void Add(Figure figure)
    {
        _figures.Add(figure);
        Console.WriteLine(Line(figure));
    }

    /// <summary>One line for a person who watches.</summary>
    public static string Line(Figure f)
    {
        var line = new StringBuilder();
        line.Append(Invariant($"{f.Row,-44} {f.Side,-9} {Number(f.Value),12} {f.Unit}"));
        if (f.Latency is { Count: > 0 } l)
            line.Append(Invariant($" | ms p50 {l.Percentile(50):0.00} p90 {l.Percentile(90):0.00} p99 {l.Percentile(99):0.00} p99.9 {l.Percentile(99.9):0.00} max {l.Max:0.0}"));
        if (f.Seconds > 0)
            line.Append(Invariant($" | cpu server {f.ServerCpu / f.Seconds:0.00} generator {f.GeneratorCpu / f.Seconds:0.00} cores"));
        if (f.ServerMicrosPerUnit is { } micros) line.Append(Invariant($", {micros:0.00} µs each"));
        if (f.PerRead > 0) line.Append(Invariant($", {f.PerRead:0.0} per read"));
        if (f.ServerRss > 0) line.Append(Invariant($" | {f.ServerRss / 1048576.0:0} MiB"));
        if (f.Used.Parts.Count > 1) line.Append(" | ").AppendJoin(", ", f.Used.Parts.Select(p => Part(f, p)));
        line.Append(Invariant($" | load {f.LoadAverage:0.0}"));
        if (f.Seconds > 0 && f.GeneratorCpu > f.ServerCpu) line.Append(" | the generator cost more than the server");
        if (f.Note.Length > 0) line.Append(" | ").Append(f.Note);
        return line.ToString();
    }

    /// <summary>Prints the ratio of each pair of runs, and the median, for every row that has a peer.</summary>
    public void PrintRatios()
    {
        foreach (var row in Rows())
        {
            foreach (var peer in Peers(row))
            {
                var ratios = Ratios(row, peer);
                Console.WriteLine(Invariant(
                    $"{row}: grid / {peer} = {Median(ratios):0.00} (pairs: {List(ratios)})"));
                var costs = Pairs(row, peer).Select(p => p.Grid.ServerMicrosPerUnit / p.Peer.ServerMicrosPerUnit).OfType<double>().ToArray();
                if (costs.Length > 0) Console.WriteLine(Invariant($"    server CPU for the same work: {Median(costs):0.00} of {peer}'s (pairs: {List(costs)})"));
            }
        }
    }

    /// <summary>All figures as a table in markdown: the median of the runs, and their range.</summary>
    public string Markdown()
    {
        var table = new StringBuilder();
        table.AppendLine("| work | side | median (min–max) | ratio to peer | CPU to peer | p50 / p99 ms | server CPU, cores | µs each | per read | generator CPU | server RSS | load |");
        table.AppendLine("|---|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (var row in Rows())
        {
            foreach (var side in _figures.Where(f => f.Row == row).Select(f => f.Side).Distinct())
            {
                var runs = _figures.Where(f => f.Row == row && f.Side == side).ToArray();
                var middle = Middle(runs);
                var ratio = side == Grid && Peers(row).FirstOrDefault() is { } peer ? Invariant($"{Median(Ratios(row, peer)):0.00}") : "";
                var cost = ratio.Length > 0
                    ? Pairs(row, Peers(row).First()).Select(p => p.Grid.ServerMicrosPerUnit / p.Peer.ServerMicrosPerUnit).OfType<double>().ToArray() : [];
                var latency = middle.Latency is { Count: > 0 } l ? Invariant($"{l.Percentile(50):0.00} / {l.Percentile(99):0.00}") : "";
                table.AppendLine(Invariant(
                    $"| {row} | {side} | {Number(middle.Value)} {middle.Unit} ({Number(runs.Min(r => r.Value))}–{Number(runs.Max(r => r.Value))}) | {ratio} | {(cost.Length > 0 ? Invariant($"{Median(cost):0.00}") : "")} | {latency} | {Cores(middle, middle.ServerCpu)} | {middle.ServerMicrosPerUnit:0.00}{Kinds(middle)} | {(middle.PerRead > 0 ? Invariant($"{middle.PerRead:0.0}") : "")} | {Cores(middle, middle.GeneratorCpu)} | {(middle.ServerRss > 0 ? Invariant($"{middle.ServerRss / 1048576.0:0} MiB") : "")} | {middle.LoadAverage:0.0} |"));
            }
        }

        return table.ToString();
    }

    private const string Grid = "grid";

    /// <summary>What one kind of process cost: per unit of work, or in cores.</summary>
    private static string Part(Figure f, PartUsage part) => f.Work > 0
        ? Invariant($"{part.Kind} {part.CpuSeconds * 1e6 / f.Work:0.00} µs each {part.Rss / 1048576.0:0} MiB")
        : Invariant($"{part.Kind} {part.CpuSeconds:0.0} s of CPU {part.Rss / 1048576.0:0} MiB");

    private static string Kinds(Figure f) => f.Used.Parts.Count < 2 || f.Work == 0 ? ""
        : $" ({string.Join(", ", f.Used.Parts.Select(p => Invariant($"{p.Kind} {p.CpuSeconds * 1e6 / f.Work:0.00}")))})";

    private IEnumerable<string> Rows() => _figures.Select(f => f.Row).Distinct();

    private IEnumerable<string> Peers(string row) =>
        _figures.Where(f => f.Row == row && f.Side != Grid && _figures.Any(g => g.Row == row && g.Side == Grid)).Select(f => f.Side).Distinct();

    private double[] Ratios(string row, string peer) =>
        [.. Pairs(row, peer).Select(p => p.Grid.MoreIsBetter ? p.Grid.Value / p.Peer.Value : p.Peer.Value / p.Grid.Value)];

    private IEnumerable<(Figure Grid, Figure Peer)> Pairs(string row, string peer) =>
        _figures.Where(f => f.Row == row && f.Side == Grid).Zip(_figures.Where(f => f.Row == row && f.Side == peer));

    private static string List(double[] values) => string.Join(", ", values.Select(v => v.ToString("0.00", CultureInfo.InvariantCulture)));

    private static Figure Middle(Figure[] runs) => runs.OrderBy(r => r.Value).ElementAt(runs.Length / 2);

    private static double Median(double[] values)
    {
        var sorted = values.Order().ToArray();
        if (sorted.Length == 0) return double.NaN;
        var half = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    private static string Cores(Figure figure, double cpu) => figure.Seconds > 0 ? Invariant($"{cpu / figure.Seconds:0.00}") : "";

    private static string Number(double value) => value switch
    {
        >= 100 => value.ToString("#,##0", CultureInfo.InvariantCulture),
        >= 10 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0.00", CultureInfo.InvariantCulture),
    };

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}

using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Report;

/// <summary>Collects figures, prints each as it comes, and makes the tables.</summary>
internal sealed class Summary
{
    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private readonly List<Figure> _figures = [];
    private readonly List<string> _missing = [];

    /// <summary>The figures so far.</summary>
    public IReadOnlyList<Figure> Figures => _figures;

    /// <summary>Whether something could not be measured.</summary>
    public bool Failed { get; private set; }

    /// <summary>Notes what is missing from the tables, and why.</summary>
    public void Miss(string reason, bool isFailure)
    {
        Failed |= isFailure;
        _missing.Add(reason);
        Console.WriteLine(reason);
    }

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

    /// <summary>The side whose ratios to the others are shown; where it has no figure in a row, the row's first side.</summary>
    public string Subject { get; set; } = "grid";

    /// <summary>The side that <see cref="IsDearerThan"/> compares the subject with; null for every other.</summary>
    public string? Against { get; set; }

    /// <summary>Curves that were measured.</summary>
    public List<Curve> Curves { get; } = [];

    /// <summary>Prints the ratio of each pair of runs, and the median, for every row that has another side.</summary>
    public void PrintRatios()
    {
        foreach (var (row, subject, peer) in Comparisons())
        {
            var ratios = Ratios(row, subject, peer);
            Console.WriteLine(Invariant($"{row}: {subject} / {peer} = {Median(ratios):0.00} (pairs: {List(ratios)})"));
            var costs = Costs(row, subject, peer);
            if (costs.Length > 0)
                Console.WriteLine(Invariant($"    server CPU for the same work: {Median(costs):0.00} of {peer}'s (pairs: {List(costs)})"));
        }
    }

    /// <summary>
    /// Whether the subject used more server CPU for the same work than another side, by more than a factor, in the median of the pairs
    /// of any row; says where.
    /// </summary>
    public bool IsDearerThan(double factor)
    {
        var dearer = false;
        foreach (var (row, subject, peer) in Comparisons())
        {
            var cost = Median(Costs(row, subject, peer));
            if ((Against ?? peer) != peer || !(cost > factor)) continue;
            dearer = true;
            Console.WriteLine(Invariant($"DEARER: {row}: {subject} used {cost:0.00} of {peer}'s server CPU for the same work; allowed are {factor:0.00}"));
        }

        return dearer;
    }

    /// <summary>All figures as a table in markdown: the median of the runs, and their range; then the curves.</summary>
    public string Markdown()
    {
        var table = new StringBuilder();
        if (_figures.Count > 0)
        {
            table.AppendLine(Invariant($"| work | side | median (min–max) | {Subject} / side | {Subject}'s CPU / side's | p50 / p99 ms | server CPU, cores | µs each | per read | generator CPU | server RSS | load |"));
            table.AppendLine("|---|---|---|---|---|---|---|---|---|---|---|---|");
        }

        foreach (var row in Rows())
        {
            foreach (var side in SidesOf(row))
            {
                var middle = Middle(row, side);
                var (ratio, cost) = side == SubjectOf(row) ? (double.NaN, double.NaN)
                    : (Median(Ratios(row, SubjectOf(row), side)), Median(Costs(row, SubjectOf(row), side)));
                var latency = middle.Latency is { Count: > 0 } l ? Invariant($"{l.Percentile(50):0.00} / {l.Percentile(99):0.00}") : "";
                table.AppendLine(Invariant(
                    $"| {row} | {side} | {Range(row, side)} | {Known(ratio)} | {Known(cost)} | {latency} | {Cores(middle, middle.ServerCpu)} | {middle.ServerMicrosPerUnit:0.00}{Kinds(middle)} | {(middle.PerRead > 0 ? Invariant($"{middle.PerRead:0.0}") : "")} | {Cores(middle, middle.GeneratorCpu)} | {(middle.ServerRss > 0 ? Invariant($"{middle.ServerRss / 1048576.0:0} MiB") : "")} | {middle.LoadAverage:0.0} |"));
            }
        }

        foreach (var reason in _missing) table.AppendLine().AppendLine("Missing: " + reason);
        foreach (var curve in Curves) table.AppendLine().Append(curve.Markdown());
        return table.ToString();
    }

    /// <summary>All figures for programs.</summary>
    public string Json() => JsonSerializer.Serialize(
        _figures.Concat(Curves.SelectMany(c => c.Figures)).Select(f => new
        {
            f.Row, f.Side, f.Value, f.Unit, f.MoreIsBetter, f.Seconds, f.Work, f.ServerCpu, f.ServerMicrosPerUnit, f.ServerRss, f.GeneratorCpu,
            P50 = f.Latency?.Percentile(50), P99 = f.Latency?.Percentile(99), f.LoadAverage, f.Note,
        }),
        JsonOptions);

    /// <summary>All figures as a picture in SVG: bars for the rows, lines for the curves.</summary>
    public string Chart()
    {
        var bars = Rows().SelectMany(row => SidesOf(row).Select(side =>
        {
            var middle = Middle(row, side);
            return new Bar(row, side, middle.Value, $"{Number(middle.Value)} {middle.Unit}", middle.MoreIsBetter, side == SubjectOf(row));
        }));
        return Svg.Draw([.. bars], Curves);
    }

    /// <summary>What one kind of process cost: per unit of work, or in cores.</summary>
    private static string Part(Figure f, PartUsage part) => f.Work > 0
        ? Invariant($"{part.Kind} {part.CpuSeconds * 1e6 / f.Work:0.00} µs each {part.Rss / 1048576.0:0} MiB")
        : Invariant($"{part.Kind} {part.CpuSeconds:0.0} s of CPU {part.Rss / 1048576.0:0} MiB");

    private static string Kinds(Figure f) => f.Used.Parts.Count < 2 || f.Work == 0 ? ""
        : $" ({string.Join(", ", f.Used.Parts.Select(p => Invariant($"{p.Kind} {p.CpuSeconds * 1e6 / f.Work:0.00}")))})";

    private IEnumerable<string> Rows() => _figures.Select(f => f.Row).Distinct();

    private IEnumerable<string> SidesOf(string row) => _figures.Where(f => f.Row == row).Select(f => f.Side).Distinct();

    private string SubjectOf(string row) => SidesOf(row).Contains(Subject) ? Subject : SidesOf(row).First();

    private IEnumerable<(string Row, string Subject, string Peer)> Comparisons() =>
        from row in Rows()
        let subject = SubjectOf(row)
        from peer in SidesOf(row)
        where peer != subject
        select (row, subject, peer);

    private double[] Ratios(string row, string subject, string peer) =>
        [.. Pairs(row, subject, peer).Select(p => p.Subject.MoreIsBetter ? p.Subject.Value / p.Peer.Value : p.Peer.Value / p.Subject.Value)];

    private double[] Costs(string row, string subject, string peer) =>
        [.. Pairs(row, subject, peer).Select(p => p.Subject.ServerMicrosPerUnit / p.Peer.ServerMicrosPerUnit).OfType<double>()];

    private IEnumerable<(Figure Subject, Figure Peer)> Pairs(string row, string subject, string peer) =>
        _figures.Where(f => f.Row == row && f.Side == subject).Zip(_figures.Where(f => f.Row == row && f.Side == peer));

    private Figure Middle(string row, string side) => Middle([.. _figures.Where(f => f.Row == row && f.Side == side)]);

    private string Range(string row, string side)
    {
        var runs = _figures.Where(f => f.Row == row && f.Side == side).ToArray();
        var middle = Middle(runs);
        return $"{Number(middle.Value)} {middle.Unit} ({Number(runs.Min(r => r.Value))}–{Number(runs.Max(r => r.Value))})";
    }

    private static string Known(double value) => double.IsNaN(value) ? "" : Invariant($"{value:0.00}");

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

    /// <summary>A number with as many digits as it is worth.</summary>
    public static string Number(double value) => value switch
    {
        >= 100 => value.ToString("#,##0", CultureInfo.InvariantCulture),
        >= 10 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0.00", CultureInfo.InvariantCulture),
    };

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}

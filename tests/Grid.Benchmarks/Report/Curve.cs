using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Report;

/// <summary>A figure at a place of a curve.</summary>
/// <param name="Series">Which line it belongs to: the work and the side.</param>
/// <param name="X">The place.</param>
/// <param name="Figure">The figure.</param>
internal sealed record CurvePoint(string Series, double X, Figure Figure);

/// <summary>How throughput, latency, memory and cost grow with one thing, and where the cost grows too fast.</summary>
/// <param name="title">What is shown.</param>
/// <param name="axis">What grows.</param>
/// <param name="cost">What the server's CPU is counted for.</param>
/// <param name="allowed">
/// With which power of what grows that cost may grow before all of it grows worse than linearly: 0 where the work itself grows along
/// (a delivery to one more subscriber, a publish on one more channel), 1 where one piece of work becomes larger (a message's bytes).
/// </param>
internal sealed class Curve(string title, string axis, string cost, double allowed)
{
    /// <summary>How far over what is allowed an exponent may be before it is flagged: two measurements differ by that much anyway.</summary>
    public const double Tolerance = 0.15;

    private readonly List<CurvePoint> _points = [];

    /// <summary>What is drawn of each point.</summary>
    public static IReadOnlyList<(string Name, Func<Figure, double?> Value)> Measures { get; } =
    [
        ("throughput, per second", f => f.Seconds > 0 ? f.Work / f.Seconds : null),
        ("p99, ms", f => f.Latency?.Percentile(99)),
        ("server CPU, µs each", f => f.ServerMicrosPerUnit),
        ("server memory, MiB", f => f.ServerRss > 0 ? f.ServerRss / 1048576.0 : null),
    ];

    /// <summary>What is shown.</summary>
    public string Title { get; } = title;

    /// <summary>What grows.</summary>
    public string Axis { get; } = axis;

    /// <summary>The lines' names.</summary>
    public IEnumerable<string> Series => _points.Select(p => p.Series).Distinct();

    /// <summary>All figures.</summary>
    public IEnumerable<Figure> Figures => _points.Select(p => p.Figure);

    /// <summary>Takes a figure and prints it.</summary>
    public void Add(string work, double x, Figure figure)
    {
        _points.Add(new CurvePoint($"{figure.Side}: {work}", x, figure));
        Console.WriteLine(Summary.Line(figure));
    }

    /// <summary>A line's points in order; of several figures at one place the one of median cost.</summary>
    public IReadOnlyList<CurvePoint> PointsOf(string series) =>
    [
        .. _points.Where(p => p.Series == series).GroupBy(p => p.X).OrderBy(g => g.Key)
            .Select(g => g.OrderBy(p => p.Figure.ServerMicrosPerUnit ?? p.Figure.Value).ElementAt(g.Count() / 2)),
    ];

    /// <summary>
    /// The table: one line for each point, the exponent with which cost grew since the point before, and a flag where that is worse than
    /// linear.
    /// </summary>
    public string Markdown()
    {
        var table = new StringBuilder();
        table.AppendLine(Invariant($"{Title}: server CPU is counted for each {cost}; growth is the exponent since the line above, and up to {allowed:0} ± {Tolerance:0.00} is linear."));
        table.AppendLine();
        table.AppendLine(Invariant($"| side: work | {Axis} | per second | p50 / p99 ms | server CPU, µs each | growth | server RSS | cores: server / generator | |"));
        table.AppendLine("|---|---|---|---|---|---|---|---|---|");
        foreach (var series in Series)
        {
            CurvePoint? before = null;
            foreach (var point in PointsOf(series))
            {
                var f = point.Figure;
                var growth = Growth(before, point);
                var flag = growth > allowed + Tolerance ? "**worse than linear**" : "";
                if (f.GeneratorCpu > f.ServerCpu) flag += flag.Length > 0 ? ", generator-bound" : "generator-bound";
                var latency = f.Latency is { Count: > 0 } l ? Invariant($"{l.Percentile(50):0.00} / {l.Percentile(99):0.00}") : "";
                table.AppendLine(Invariant(
                    $"| {series} | {point.X:#,##0} | {Summary.Number(f.Work / f.Seconds)} | {latency} | {f.ServerMicrosPerUnit:0.00} | {growth:+0.00;-0.00;0.00} | {f.ServerRss / 1048576.0:0} MiB | {f.ServerCpu / f.Seconds:0.00} / {f.GeneratorCpu / f.Seconds:0.00} | {flag} |"));
                before = point;
            }
        }

        return table.ToString();
    }

    private static double? Growth(CurvePoint? before, CurvePoint point) =>
        before?.Figure.ServerMicrosPerUnit is { } earlier && point.Figure.ServerMicrosPerUnit is { } now && before.X < point.X
            ? Math.Log(now / earlier) / Math.Log(point.X / before.X) : null;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

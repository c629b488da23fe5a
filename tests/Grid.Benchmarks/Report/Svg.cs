using System.Globalization;
using System.Text;

namespace Grid.Benchmarks.Report;

/// <summary>A bar of a chart.</summary>
/// <param name="Row">What was done; bars of one row stand together and have a scale of their own.</param>
/// <param name="Side">Who did it.</param>
/// <param name="Value">Its length.</param>
/// <param name="Label">What is written beside it.</param>
/// <param name="MoreIsBetter">Whether a longer bar is better; where not, the row says so.</param>
/// <param name="Subject">Whether it is the side that the others are compared with.</param>
internal sealed record Bar(string Row, string Side, double Value, string Label, bool MoreIsBetter, bool Subject);

/// <summary>Draws figures as SVG, without any library: bars for rows, lines on logarithmic axes for curves.</summary>
internal sealed class Svg
{
    private const int Width = 960;
    private const int BarLeft = 150;
    private const int BarSpace = 560;
    private const int BarHeight = 16;
    private const int PanelWidth = 460;
    private const int Columns = 2;
    private const int PanelHeight = 210;
    private static readonly string[] Colors = ["#1668c7", "#d9730d", "#2b8a3e", "#ae3ec9", "#c92a2a", "#5c677d", "#0b7285"];

    private readonly StringBuilder _body = new();
    private int _y = 16;

    /// <summary>The whole picture.</summary>
    public static string Draw(IReadOnlyList<Bar> bars, IReadOnlyList<Curve> curves)
    {
        var svg = new Svg();
        foreach (var row in bars.GroupBy(b => b.Row)) svg.DrawBars(row.Key, [.. row]);
        foreach (var curve in curves) svg.DrawCurve(curve);
        return Invariant($"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {svg._y}" width="{Width}" height="{svg._y}" font-family="sans-serif" font-size="12" fill="#222">
            <rect width="{Width}" height="{svg._y}" fill="#fff"/>
            {svg._body}</svg>

            """);
    }

    private void DrawBars(string row, Bar[] bars)
    {
        Text(10, _y + 12, row + (bars[0].MoreIsBetter ? "" : " (less is better)"), bold: true);
        _y += 20;
        var longest = bars.Where(b => double.IsFinite(b.Value)).Select(b => b.Value).DefaultIfEmpty(0).Max();
        foreach (var bar in bars)
        {
            var length = longest > 0 && double.IsFinite(bar.Value) ? Math.Max(1, bar.Value / longest * BarSpace) : 1;
            Text(BarLeft - 8, _y + 12, bar.Side, anchor: "end");
            _body.AppendLine(Invariant($"""<rect x="{BarLeft}" y="{_y}" width="{length:0.#}" height="{BarHeight - 3}" fill="{(bar.Subject ? Colors[0] : "#adb5bd")}"/>"""));
            Text(BarLeft + (int)length + 6, _y + 11, bar.Label);
            _y += BarHeight;
        }

        _y += 12;
    }

    private void DrawCurve(Curve curve)
    {
        Text(10, _y + 12, curve.Title, bold: true);
        _y += 26;
        var series = curve.Series.ToArray();
        for (var i = 0; i < series.Length; i++) Text(10 + (i * 230), _y + 8, "● " + series[i], color: Colors[i % Colors.Length]);
        _y += 20;
        var top = _y;
        var at = 0;
        foreach (var (name, value) in Curve.Measures)
        {
            var lines = series.Select(s => curve.PointsOf(s).Select(p => (p.X, Y: value(p.Figure) ?? double.NaN)).Where(p => p.Y > 0).ToArray()).ToArray();
            if (!Array.Exists(lines, l => l.Length > 0)) continue;
            DrawPanel(10 + (at % Columns * (PanelWidth + 15)), top + (at / Columns * (PanelHeight + 30)), name, curve.Axis, lines);
            at++;
        }

        _y = top + ((at + Columns - 1) / Columns * (PanelHeight + 30));
    }

    private void DrawPanel(int left, int top, string name, string axis, (double X, double Y)[][] lines)
    {
        const int Edge = 46;
        var all = lines.SelectMany(l => l).ToArray();
        var (x0, x1) = Decades(all.Select(p => p.X));
        var (y0, y1) = Decades(all.Select(p => p.Y));
        double X(double x) => left + Edge + ((Math.Log10(x) - x0) / (x1 - x0) * (PanelWidth - Edge - 10));
        double Y(double y) => top + PanelHeight - 30 - ((Math.Log10(y) - y0) / (y1 - y0) * (PanelHeight - 50));
        Text(left + Edge, top + 10, name);
        for (var i = (int)Math.Ceiling(x0); i <= x1; i++)
        {
            var x = X(Math.Pow(10, i));
            Line(x, Y(Math.Pow(10, y0)), x, Y(Math.Pow(10, y1)));
            Text((int)x, top + PanelHeight - 16, Power(i), anchor: "middle");
        }

        for (var i = (int)Math.Ceiling(y0); i <= y1; i++)
        {
            var y = Y(Math.Pow(10, i));
            Line(X(Math.Pow(10, x0)), y, X(Math.Pow(10, x1)), y);
            Text(left + Edge - 4, (int)y + 4, Power(i), anchor: "end");
        }

        Text(left + (PanelWidth / 2), top + PanelHeight - 2, axis, anchor: "middle");
        for (var i = 0; i < lines.Length; i++)
        {
            var color = Colors[i % Colors.Length];
            var points = string.Join(' ', lines[i].Select(p => Invariant($"{X(p.X):0.#},{Y(p.Y):0.#}")));
            _body.AppendLine(Invariant($"""<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>"""));
            foreach (var (x, y) in lines[i])
                _body.AppendLine(Invariant($"""<circle cx="{X(x):0.#}" cy="{Y(y):0.#}" r="3" fill="{color}"/>"""));
        }
    }

    private static (double From, double To) Decades(IEnumerable<double> values)
    {
        var logs = values.Select(Math.Log10).ToArray();
        var (from, to) = (Math.Floor(logs.Min()), Math.Ceiling(logs.Max()));
        return to > from ? (from, to) : (from, from + 1);
    }

    private static string Power(int exponent) => exponent switch
    {
        >= 6 => Invariant($"{Math.Pow(10, exponent - 6):0}M"),
        >= 3 => Invariant($"{Math.Pow(10, exponent - 3):0}k"),
        _ => Math.Pow(10, exponent).ToString("0.######", CultureInfo.InvariantCulture),
    };

    private void Line(double x1, double y1, double x2, double y2) =>
        _body.AppendLine(Invariant($"""<line x1="{x1:0.#}" y1="{y1:0.#}" x2="{x2:0.#}" y2="{y2:0.#}" stroke="#e3e6ea"/>"""));

    private void Text(int x, int y, string text, string anchor = "start", bool bold = false, string color = "#222") =>
        _body.AppendLine(Invariant(
            $"""<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{color}"{(bold ? " font-weight=\"bold\"" : "")}>{Escape(text)}</text>"""));

    private static string Escape(string text) => text
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal);

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}

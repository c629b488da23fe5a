using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using Grid.Testing;
using Grid.Testing.Hosting;

namespace Grid.IntegrationTests.Telemetry;

/// <summary>What <c>/metrics</c> said once, by name and labels: <c>grid_gaps_total{reason="epoch"}</c>.</summary>
internal sealed partial class Scrape
{
    private readonly Dictionary<string, double> _values = new(StringComparer.Ordinal);

    private Scrape(string text)
    {
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.StartsWith('#')) continue;
            var match = Line().Match(line);
            if (!match.Success) throw new TestFailedException($"This is no line of the text format: {line}");
            var labels = Label().Matches(match.Groups["labels"].Value).Select(l => l.Value)
                .Where(l => !l.StartsWith("otel_scope_", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToArray();
            var name = match.Groups["name"].Value + (labels.Length == 0 ? "" : $"{{{string.Join(',', labels)}}}");
            _values.Add(name, double.Parse(match.Groups["value"].Value, CultureInfo.InvariantCulture));
        }
    }

    /// <summary>All names with their labels.</summary>
    public IReadOnlyCollection<string> Names => _values.Keys;

    /// <summary>A value; null if there is none of that name.</summary>
    public double? this[string name] => _values.TryGetValue(name, out var value) ? value : null;

    /// <summary>Reads the page.</summary>
    public static async Task<Scrape> OfAsync(GridHttp http)
    {
        var answer = await http.GetAsync("/metrics");
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal("text/plain", answer.ContentType);
        return new Scrape(answer.Text);
    }

    /// <summary>Reads the page until it says what is expected: counting comes after what a client sees, and the page is remembered for 0.3 s.</summary>
    public static async Task<Scrape> UntilAsync(GridHttp http, params IEnumerable<(string Name, double Value)> expected)
    {
        using var deadline = TestDeadline.In(30);
        var last = await OfAsync(http);
        await deadline.UntilAsync(
            async () =>
            {
                last = await OfAsync(http);
                return expected.All(e => last[e.Name] == e.Value);
            },
            () => string.Join('\n', expected.Where(e => last[e.Name] != e.Value).Select(e => $"{e.Name} is {last[e.Name]}, not {e.Value}")));
        return last;
    }

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>.*)\})? (?<value>\S+)( \d+)?$""", RegexOptions.ExplicitCapture)]
    private static partial Regex Line();

    [GeneratedRegex("""[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*"(?=,|$)""", RegexOptions.ExplicitCapture)]
    private static partial Regex Label();
}

using System.Globalization;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks;

/// <summary>The arguments after the verb: <c>--name value</c>, or <c>--name</c> alone for a switch.</summary>
internal sealed class Options
{
    private readonly Dictionary<string, string?> _values = new(StringComparer.Ordinal);

    // What the program itself asks for, whatever the verb.
    private readonly HashSet<string> _known = new(["chart", "json", "threshold"], StringComparer.Ordinal);

    public Options(ReadOnlySpan<string> args)
    {
        for (var i = 0; i < args.Length; i++)
        {
            if (!args[i].StartsWith("--", StringComparison.Ordinal)) throw new BenchmarkException($"'{args[i]}' is no option.");
            var hasValue = i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal);
            _values[args[i][2..]] = hasValue ? args[i + 1] : null;
            if (hasValue) i++;
        }
    }

    /// <summary>A whole number above zero; <paramref name="otherwise"/> when it was not given.</summary>
    public int Int(string name, int otherwise) => Text(name) is { } text ? Parse(name, text) : otherwise;

    /// <summary>A list of whole numbers, parted by commas.</summary>
    public int[] Ints(string name, params int[] otherwise) =>
        Text(name) is { } text ? [.. text.Split(',').Select(part => Parse(name, part))] : otherwise;

    /// <summary>Seconds, at most ten minutes.</summary>
    public TimeSpan Seconds(string name, double otherwise)
    {
        var seconds = Text(name) is not { } text ? otherwise
            : double.TryParse(text, CultureInfo.InvariantCulture, out var given) && given > 0 ? given
            : throw new BenchmarkException($"--{name}: '{text}' is no number of seconds.");
        return TimeSpan.FromSeconds(Math.Min(seconds, 600));
    }

    /// <summary>A number above zero; <paramref name="otherwise"/> when it was not given.</summary>
    public double Number(string name, double otherwise) => Text(name) is not { } text ? otherwise
        : double.TryParse(text, CultureInfo.InvariantCulture, out var value) && value > 0 ? value
        : throw new BenchmarkException($"--{name}: '{text}' is no number above zero.");

    /// <summary>A text; null when it was not given.</summary>
    public string? Text(string name)
    {
        _known.Add(name);
        return _values.GetValueOrDefault(name);
    }

    /// <summary>Whether a switch was given.</summary>
    public bool Has(string name)
    {
        _known.Add(name);
        return _values.ContainsKey(name);
    }

    /// <summary>Refuses what nobody asked for: a misspelt option would measure something else than was meant.</summary>
    /// <param name="further">Options that are read later.</param>
    public void RefuseOthers(params ReadOnlySpan<string> further)
    {
        foreach (var name in further) _known.Add(name);
        if (_values.Keys.FirstOrDefault(name => !_known.Contains(name)) is { } other)
            throw new BenchmarkException($"Unknown option --{other}. See --help.");
    }

    private static int Parse(string name, string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value > 0
            ? value : throw new BenchmarkException($"--{name}: '{text}' is no whole number above zero.");
}

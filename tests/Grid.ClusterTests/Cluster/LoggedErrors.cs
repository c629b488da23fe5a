using System.Text.RegularExpressions;
using Grid.Testing.Hosting;

namespace Grid.ClusterTests.Cluster;

/// <summary>An error in a silo's log.</summary>
/// <param name="Category">Who logged it.</param>
/// <param name="Text">What it says, up to its stack trace.</param>
internal sealed record LoggedError(string Category, string Text);

/// <summary>The errors in a silo's log: those that an outage around it explains, and those that nothing explains.</summary>
internal static partial class LoggedErrors
{
    /// <summary>What may be logged as an error while silos die, are cut off, or lose their stores: by category, and by what it says.</summary>
    private static readonly (string Category, string Says)[] Foreseen =
    [
        // Orleans says every failed attempt at membership, probing, connections and calls as an error.
        ("Orleans.", ""),
        ("Microsoft.Orleans.", ""),
        ("Polly", "Source: 'Orleans."),

        // So it does with a session that cannot be written while Redis is away, or after Redis has forgotten what it had.
        ("Grid.Server.Sessions.PatientGrainStorage", ""),

        // The end of a silo that was declared dead is meant to be loud.
        ("Grid.Server.Hosting.SiloEnd", ""),
    ];

    /// <summary>
    /// Exceptions that no outage explains, whoever logs them: Orleans does it for what Grid's own grains throw, and for what cannot be
    /// sent to another silo.
    /// </summary>
    private static readonly string[] Faults =
    [
        "System.NullReferenceException", "System.InvalidCastException", "System.IndexOutOfRangeException", "System.ArgumentException",
        "System.ArgumentNullException", "System.ArgumentOutOfRangeException", "System.Collections.Generic.KeyNotFoundException",
        "System.NotImplementedException", "System.NotSupportedException", "CodecNotFoundException",
    ];

    /// <summary>Every error that a silo logged.</summary>
    public static IReadOnlyList<LoggedError> Of(HostOutput output)
    {
        var errors = new List<LoggedError>();
        var lines = output.Lines;
        for (var i = 0; i < lines.Count; i++)
        {
            if (lines[i].Contains("Unhandled exception", StringComparison.Ordinal)) errors.Add(new LoggedError("(process)", string.Join('\n', lines.Skip(i).Take(8))));
            if (Head().Match(lines[i]) is not { Success: true } head) continue;
            var text = lines.Skip(i + 1).TakeWhile(l => l.StartsWith("      ", StringComparison.Ordinal) && !l.StartsWith("         at ", StringComparison.Ordinal));
            errors.Add(new LoggedError(head.Groups[1].Value, string.Join('\n', text.Select(l => l.Trim()).Take(4))));
        }

        return errors;
    }

    /// <summary>Those that nothing explains.</summary>
    public static IReadOnlyList<LoggedError> UnforeseenOf(HostOutput output) =>
        [.. Of(output).Where(e => Array.Exists(Faults, f => e.Text.Contains(f, StringComparison.Ordinal)) || !Array.Exists(Foreseen, f =>
            e.Category.StartsWith(f.Category, StringComparison.Ordinal) && e.Text.Contains(f.Says, StringComparison.Ordinal)))];

    [GeneratedRegex(@"^(?:stderr: )?(?:[\d:.]+ )?(?:fail|crit): ([^\[]+)\[")]
    private static partial Regex Head();
}

using System.Diagnostics;
using Grid.Testing;
using Grid.Testing.Hosting;

namespace Grid.ClusterTests.Deploy;

/// <summary>What a command did.</summary>
internal sealed record CommandResult(string Command, int ExitCode, string Output, string Errors)
{
    /// <summary>This, if it went well.</summary>
    public CommandResult Ok() => ExitCode == 0 ? this : throw new TestFailedException($"'{Command}' ended with {ExitCode}.\n{Output}\n{Errors}");
}

/// <summary>Runs commands to their end.</summary>
internal static class Commands
{
    /// <summary>Runs a program, and kills it when it takes longer than <paramref name="seconds"/>.</summary>
    public static async Task<CommandResult> RunAsync(
        string program, string[] arguments, IReadOnlyDictionary<string, string>? environment = null, string? folder = null, int seconds = 60)
    {
        var info = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder ?? Path.GetTempPath(),
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>()) info.Environment[name] = value;
        var said = string.Join(' ', [program, .. arguments]);
        using var process = await ProcessStarter.StartAsync(info);
        process.StandardInput.Close();
        using var deadline = TestDeadline.In(seconds);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            var errors = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);
            return new CommandResult(said, process.ExitCode, await output, await errors);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TestFailedException($"'{said}' did not end within {seconds} s.");
        }
    }
}

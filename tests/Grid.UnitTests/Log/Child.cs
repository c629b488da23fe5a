using System.Diagnostics;
using Grid.LogCrash;
namespace Grid.UnitTests.Log;

/// <summary>A process that uses a store; killed, at the latest, when the test ends.</summary>
internal sealed class Child : IDisposable
{
    private readonly Process _process;

    private Child(Process process) => _process = process;

    public StreamReader Output => _process.StandardOutput;

    public int ExitCode => _process.ExitCode;

    public static Child Start(params string[] arguments) => Start("dotnet", [Assembly, .. arguments]);

    /// <summary>Starts it under a limit on the size of its files, which it can lift itself.</summary>
    /// <remarks>.NET keeps its code in a file in memory, which the limit would hit, unless it is told not to.</remarks>
    public static Child StartWithFileLimit(int kibibytes, params string[] arguments) => Start(
        "bash",
        [
            "-c", $"export DOTNET_EnableWriteXorExecute=0; trap '' XFSZ; ulimit -S -f {kibibytes}; exec dotnet \"$@\"",
            "limited", Assembly, .. arguments,
        ]);

    public void Kill() => _process.Kill();

    public async Task<int> WaitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(5));
        return _process.ExitCode;
    }

    public async Task EndInputAsync()
    {
        await _process.StandardInput.WriteLineAsync();
        _process.StandardInput.Close();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private static string Assembly => typeof(Victim).Assembly.Location;

    private static Child Start(string file, string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardOutput = true, RedirectStandardInput = true, UseShellExecute = false,
        };
        return new Child(Process.Start(start)!);
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Grid.Benchmarks.Servers;

/// <summary>
/// A server under test. It dies with this object, with a signal to this process, and, through <c>setpriv --pdeathsig</c> where that
/// exists, with this process itself however it ends.
/// </summary>
internal sealed class ChildProcess : IDisposable
{
    private const string Setpriv = "/usr/bin/setpriv";
    private const int OutputKept = 16 * 1024;

    private const int SigTerm = 15;

    /// <summary>The signal that stops a process without ending it.</summary>
    public const int SigStop = 19;

    /// <summary>The signal that lets a stopped process go on.</summary>
    public const int SigCont = 18;

    private static readonly ConcurrentDictionary<int, ChildProcess> Running = new();

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly bool _waitAtEnd;
    private readonly bool _endsOthers;

    private ChildProcess(Process process, bool waitAtEnd, bool endsOthers) =>
        (_process, _waitAtEnd, _endsOthers) = (process, waitAtEnd, endsOthers);

    /// <summary>Its process id.</summary>
    public int Id => _process.Id;

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>Its exit code and what it printed; null while it runs.</summary>
    public string? Ending => HasExited ? $"ended with {_process.ExitCode}:\n{Output}" : null;

    /// <summary>Its exit code; null while it runs.</summary>
    public int? ExitCode => HasExited ? _process.ExitCode : null;

    /// <summary>What it printed last.</summary>
    public string Output
    {
        get { lock (_output) return _output.ToString(); }
    }

    /// <summary>Starts a program.</summary>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="environment">What is added to its environment.</param>
    /// <param name="folder">Where it runs.</param>
    /// <param name="waitAtEnd">Whether it ends by itself, and is to be given some seconds for that.</param>
    /// <param name="endsOthers">Whether it has processes of its own, which only it can end: then it is asked to end instead of killed.</param>
    public static ChildProcess Start(
        string program,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string> environment,
        string folder,
        bool waitAtEnd = false,
        bool endsOthers = false)
    {
        var info = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder };
        if (File.Exists(Setpriv))
        {
            // The signal comes when the thread that forked ends: benchmarks start servers on the main thread, which lives longest.
            info.FileName = Setpriv;
            foreach (var argument in (string[])["--pdeathsig", endsOthers ? "TERM" : "KILL", program]) info.ArgumentList.Add(argument);
        }

        foreach (var argument in arguments) info.ArgumentList.Add(argument);
        foreach (var (name, value) in environment) info.Environment[name] = value;
        var process = Process.Start(info) ?? throw new Net.BenchmarkException($"{program} did not start.");
        var child = new ChildProcess(process, waitAtEnd, endsOthers);
        Running[process.Id] = child;
        process.OutputDataReceived += (_, line) => child.Keep(line.Data);
        process.ErrorDataReceived += (_, line) => child.Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return child;
    }

    /// <summary>Ends it at once, as a crash would.</summary>
    public void Kill()
    {
        Running.TryRemove(_process.Id, out _);
        End();
        _process.WaitForExit(10_000);
    }

    /// <summary>Sends a signal.</summary>
    public void Signal(int signal) => Net.Libc.Check(Net.Libc.kill(_process.Id, signal));

    public void Dispose()
    {
        if (_waitAtEnd) _process.WaitForExit(10_000);
        Kill();
        _process.Dispose();
    }

    /// <summary>Ends all that still run: for signals to this process.</summary>
    public static void KillAll()
    {
        foreach (var process in Running.Values) process.End();
    }

    /// <summary>Waits until it accepts connections.</summary>
    /// <param name="address">Where.</param>
    /// <param name="patience">For how long.</param>
    /// <param name="name">What it is called when it does not.</param>
    /// <exception cref="Net.BenchmarkException">It ended, or took too long.</exception>
    public void WaitUntilListening(IPEndPoint address, TimeSpan patience, string name)
    {
        var waited = Stopwatch.StartNew();
        while (!Listens(address))
        {
            if (HasExited || waited.Elapsed > patience) throw new Net.BenchmarkException($"{name} did not come up:\n{Output}");
            Thread.Sleep(20);
        }
    }

    /// <summary>Whether somebody accepts connections there.</summary>
    public static bool Listens(IPEndPoint address)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(address);
            socket.LingerState = new LingerOption(true, 0);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private void End()
    {
        try
        {
            if (_process.HasExited) return;
            if (!_endsOthers)
            {
                _process.Kill();
                return;
            }

            _ = Net.Libc.kill(_process.Id, SigTerm);
            if (!_process.WaitForExit(5_000)) _process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    private void Keep(string? line)
    {
        if (line is null) return;
        lock (_output)
        {
            _output.AppendLine(line);
            if (_output.Length > OutputKept) _output.Remove(0, _output.Length - OutputKept);
        }
    }
}

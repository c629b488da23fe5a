using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Grid.Testing.Hosting;

namespace Grid.Testing.Servers;

/// <summary>
/// A real <c>redis-server</c>, on a free port of the loopback interface, with its data in a temporary folder. It can be
/// killed, stopped, paused and started again on the same port and data; it does not outlive this process.
/// </summary>
public sealed class RedisServer : IAsyncDisposable
{
    private const int SigCont = 18;
    private const int SigStop = 19;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly TestFolder _folder = new("redis");
    private readonly bool _appendOnly;
    private readonly string? _password;
    private readonly HostOutput _output = new();
    private Process? _process;
    private Task _pump = Task.CompletedTask;

    private RedisServer(bool appendOnly, string? password, int? port)
    {
        _appendOnly = appendOnly;
        _password = password;
        Port = port ?? FreePort.Next();
    }

    /// <summary>The port it listens on.</summary>
    public int Port { get; }

    /// <summary>Where it listens.</summary>
    public string EndPoint => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{Port}");

    /// <summary>The connection string, in the form of StackExchange.Redis.</summary>
    public string ConnectionString => _password is null ? EndPoint : $"{EndPoint},password={_password}";

    /// <summary>Whether the process is running (also while it is paused).</summary>
    public bool IsRunning => _process is { HasExited: false };

    /// <summary>The process; null while none runs.</summary>
    public int? ProcessId => _process is { HasExited: false } running ? running.Id : null;

    /// <summary>Starts a server and waits until it answers.</summary>
    /// <param name="appendOnly">
    /// Whether it keeps an append-only file synced every second, so that a start after a kill finds what was written. Without it
    /// nothing is kept: a start after a kill is empty.
    /// </param>
    /// <param name="password">The password that clients need; null for none.</param>
    /// <param name="port">The port; null for a free one.</param>
    public static async Task<RedisServer> RunAsync(bool appendOnly = false, string? password = null, int? port = null)
    {
        var server = new RedisServer(appendOnly, password, port);
        try
        {
            await server.StartAsync().ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Starts the process, again if it ended, and waits until it answers.</summary>
    public async Task StartAsync()
    {
        if (IsRunning) throw new InvalidOperationException("The Redis server is running.");
        await _pump.ConfigureAwait(false);
        _process?.Dispose();
        var info = new ProcessStartInfo(ServerPrograms.Find("redis-server", "redis-server"))
        {
            WorkingDirectory = _folder.Path,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string[] arguments =
        [
            "--port", Port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", _folder.Path, "--save", "",
            "--appendonly", _appendOnly ? "yes" : "no", "--appendfsync", "everysec", "--daemonize", "no",
        ];
        foreach (var argument in arguments) info.ArgumentList.Add(argument);
        if (_password is not null)
        {
            info.ArgumentList.Add("--requirepass");
            info.ArgumentList.Add(_password);
        }

        _process = await ProcessStarter.StartAsync(info).ConfigureAwait(false);
        _output.Add($"--- redis-server {_process.Id} started on port {Port}");
        _pump = Task.WhenAll(PumpAsync(_process.StandardOutput), PumpAsync(_process.StandardError));
        using var deadline = new TestDeadline(Patience);
        await deadline.UntilAsync(
            async () =>
            {
                if (!IsRunning) throw new TestFailedException($"redis-server ended with {_process.ExitCode}.\n{_output.Tail()}");
                try
                {
                    return await CommandAsync("PING").ConfigureAwait(false) == "+PONG";
                }
                catch (Exception e) when (e is IOException or SocketException or RedisAnswerException)
                {
                    // Not listening yet, or still loading its file.
                    return false;
                }
            },
            () => $"the Redis server answers\n{_output.Tail()}").ConfigureAwait(false);
    }

    /// <summary>Forgets every key (FLUSHALL).</summary>
    public Task FlushAsync() => CommandAsync("FLUSHALL");

    /// <summary>Kills the process at once (SIGKILL), and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        if (_process is null) return;
        if (!_process.HasExited) _process.Kill();
        await EndedAsync().ConfigureAwait(false);
    }

    /// <summary>Asks the process to end (SIGTERM), as a service manager does, and waits until it has.</summary>
    public async Task StopAsync()
    {
        if (_process is null) return;
        ProcessStarter.Terminate(_process);
        await EndedAsync().ConfigureAwait(false);
    }

    /// <summary>Stops the process without ending it (SIGSTOP): its port accepts connections, and nothing is answered.</summary>
    public void Pause() => Signal(SigStop);

    /// <summary>Lets a paused process go on.</summary>
    public void Continue() => Signal(SigCont);

    /// <summary>Sends one command without any client library; the first line of the answer, or the bulk string that it announces.</summary>
    /// <exception cref="RedisAnswerException">The server answered with an error.</exception>
    public async Task<string> CommandAsync(params string[] command)
    {
        ArgumentNullException.ThrowIfNull(command);
        using var client = new TcpClient();
        using var deadline = new TestDeadline(Patience);
        await client.ConnectAsync("127.0.0.1", Port, deadline.Token).ConfigureAwait(false);
        var stream = client.GetStream();
        using var reader = new StreamReader(stream, Encoding.UTF8);
        if (_password is not null) await ExchangeAsync(stream, reader, ["AUTH", _password], deadline.Token).ConfigureAwait(false);
        return await ExchangeAsync(stream, reader, command, deadline.Token).ConfigureAwait(false);
    }

    /// <summary>How many keys there are.</summary>
    public async Task<int> CountKeysAsync() =>
        int.Parse((await CommandAsync("DBSIZE").ConfigureAwait(false)).TrimStart(':'), CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync().ConfigureAwait(false);
        _process?.Dispose();
        _folder.Dispose();
    }

    private static async Task<string> ExchangeAsync(NetworkStream stream, StreamReader reader, string[] command, CancellationToken cancellation)
    {
        var request = new StringBuilder().Append(CultureInfo.InvariantCulture, $"*{command.Length}\r\n");
        foreach (var part in command)
            request.Append(CultureInfo.InvariantCulture, $"${Encoding.UTF8.GetByteCount(part)}\r\n{part}\r\n");
        await stream.WriteAsync(Encoding.UTF8.GetBytes(request.ToString()), cancellation).ConfigureAwait(false);
        var line = await reader.ReadLineAsync(cancellation).ConfigureAwait(false) ?? throw new IOException("The server closed the connection.");
        if (line.StartsWith('-')) throw new RedisAnswerException(line[1..]);
        if (!line.StartsWith('$') || line == "$-1") return line;
        var text = new char[int.Parse(line[1..], CultureInfo.InvariantCulture)];
        await reader.ReadBlockAsync(text, cancellation).ConfigureAwait(false);
        return new string(text);
    }

    private async Task EndedAsync()
    {
        using var deadline = new TestDeadline(Patience);
        await _process!.WaitForExitAsync(deadline.Token).ConfigureAwait(false);
        await _pump.ConfigureAwait(false);
        _output.Add($"--- redis-server {_process.Id} ended");
    }

    private void Signal(int signal)
    {
        if (!IsRunning) throw new InvalidOperationException("The Redis server is not running.");
        if (NativeKill(_process!.Id, signal) != 0) throw new TestFailedException($"Signal {signal} was not sent: {Marshal.GetLastPInvokeError()}");
    }

    private async Task PumpAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line) _output.Add(line);
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int NativeKill(int pid, int signal);
}

/// <summary>Redis answered a command with an error.</summary>
public sealed class RedisAnswerException : Exception
{
    /// <summary>Makes one.</summary>
    public RedisAnswerException()
    {
    }

    /// <summary>Makes one with the error.</summary>
    public RedisAnswerException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one with the error and a cause.</summary>
    public RedisAnswerException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

using System.Diagnostics;
using System.Globalization;
using Grid.Testing.Hosting;
using Npgsql;

namespace Grid.Testing.Servers;

/// <summary>
/// A real PostgreSQL server of its own, on a free port, in a temporary folder, that does not outlive the test process. Its programs
/// (<c>initdb</c>, <c>postgres</c>) are found by <see cref="ServerPrograms"/>. It refuses to run as root, so a test run as root starts it as the user
/// <c>postgres</c>, or <c>nobody</c> where there is none.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    private const int SigInt = 2;
    private const int SigQuit = 3;
    private const int SigKill = 9;
    private const int SigCont = 18;
    private const int SigStop = 19;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly string? RunAs = FindUser();

    private readonly TestFolder _folder = new("postgres");
    private readonly string[] _settings;
    private Process? _process;
    private int _databases;

    private PostgresServer(string[] settings) => _settings = settings;

    /// <summary>The superuser, who needs no password.</summary>
    public static string User => "grid";

    /// <summary>The address; it listens there only.</summary>
    public static string Host => "127.0.0.1";

    /// <summary>The port, the same through every restart.</summary>
    public int Port { get; } = FreePort.Next();

    /// <summary>What the server wrote to its log.</summary>
    public HostOutput Output { get; } = new();

    /// <summary>The server's process, as long as it runs.</summary>
    public int? ProcessId => _process is { HasExited: false } running ? running.Id : null;

    /// <summary>Makes a server and starts it.</summary>
    /// <param name="fsync">Whether it syncs to the device as in production. Without it tests are quicker, and a crash of the machine is not survived.</param>
    /// <param name="settings">Further settings, each as <c>name=value</c>.</param>
    public static async Task<PostgresServer> StartNewAsync(bool fsync = true, params string[] settings)
    {
        var server = new PostgresServer([$"fsync={(fsync ? "on" : "off")}", "max_connections=200", .. settings]);
        try
        {
            await server.InitializeAsync().ConfigureAwait(false);
            await server.StartAsync().ConfigureAwait(false);
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>How to connect to one of its databases.</summary>
    public string ConnectionString(string database = "postgres") =>
        string.Create(CultureInfo.InvariantCulture, $"Host={Host};Port={Port};Username={User};Database={database}");

    /// <summary>Makes an empty database and tells how to connect to it.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"test{Interlocked.Increment(ref _databases)}");
        await ExecuteAsync($"create database {name}").ConfigureAwait(false);
        return ConnectionString(name);
    }

    /// <summary>Runs a statement, on a connection of its own.</summary>
    public async Task<object?> ExecuteAsync(string sql, string database = "postgres")
    {
        using var connection = new NpgsqlConnection(ConnectionString(database) + ";Pooling=false");
        await connection.OpenAsync().ConfigureAwait(false);
        using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync().ConfigureAwait(false);
    }

    /// <summary>Starts it, when it was stopped or killed, and returns once it takes connections.</summary>
    public async Task StartAsync()
    {
        if (ProcessId is not null) return;
        using var deadline = new TestDeadline(Patience);

        // After a kill its children hold the shared memory for a moment still, and it does not start beside them.
        await deadline.UntilAsync(() => TryStartAsync(deadline), () => $"PostgreSQL starts\n{Output.Tail()}").ConfigureAwait(false);
    }

    /// <summary>Stops it in order: transactions are rolled back, connections closed, all that is stored written to its files.</summary>
    public Task StopAsync() => EndAsync(SigInt);

    /// <summary>Stops it without any order, like a crash of the server's own making: at the next start it recovers from its log.</summary>
    public Task StopImmediatelyAsync() => EndAsync(SigQuit);

    /// <summary>Kills it (SIGKILL).</summary>
    public Task KillAsync() => EndAsync(SigKill);

    /// <summary>Stops it, in order or immediately, and starts it again.</summary>
    public async Task RestartAsync(bool immediately = false)
    {
        await EndAsync(immediately ? SigQuit : SigInt).ConfigureAwait(false);
        await StartAsync().ConfigureAwait(false);
    }

    /// <summary>Makes it stand still with all its connections open, like a machine that hangs. It must be thawed before it is stopped.</summary>
    public void Freeze() => SignalAll(SigStop);

    /// <summary>Ends <see cref="Freeze"/>.</summary>
    public void Thaw() => SignalAll(SigCont);

    /// <summary>Stops it and removes its folder.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            Thaw();
            await EndAsync(SigQuit).ConfigureAwait(false);
            await RemoveSharedMemoryAsync().ConfigureAwait(false);
        }

        _folder.Dispose();
    }

    private static string? FindUser()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root") return null;
        var users = File.ReadLines("/etc/passwd").Select(line => line.Split(':')[0]).ToHashSet(StringComparer.Ordinal);
        return ((string[])["postgres", "nobody"]).FirstOrDefault(users.Contains)
            ?? throw new TestFailedException("PostgreSQL does not run as root, and there is neither a user postgres nor nobody.");
    }

    private async Task InitializeAsync()
    {
        if (RunAs is not null) await RunToolAsync("chown", asRoot: true, RunAs, _folder.Path).ConfigureAwait(false);
        await RunToolAsync(
            ServerPrograms.Find("initdb", "postgresql"), asRoot: false, "-D", _folder["data"], "-U", User, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
            .ConfigureAwait(false);
    }

    private async Task<bool> TryStartAsync(TestDeadline deadline)
    {
        var info = Info(
            ServerPrograms.Find("postgres", "postgresql"),
            ["-D", _folder["data"], "-h", Host, "-p", Port.ToString(CultureInfo.InvariantCulture), "-k", "", .. _settings.SelectMany(s => (string[])["-c", s])]);
        _process?.Dispose();
        _process = await StartToolAsync(info, RunAs).ConfigureAwait(false);
        var ready = false;
        await deadline.UntilAsync(
            async () => (ready = await TakesConnectionsAsync().ConfigureAwait(false)) || _process.HasExited,
            () => $"PostgreSQL takes connections\n{Output.Tail()}").ConfigureAwait(false);
        return ready;
    }

    private async Task<bool> TakesConnectionsAsync()
    {
        try
        {
            await ExecuteAsync("select 1").ConfigureAwait(false);
            return true;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    private async Task EndAsync(int signal)
    {
        if (ProcessId is not { } id) return;
        var all = Family(id);
        ProcessStarter.Signal(id, signal);
        using var limit = new TestDeadline(Patience);
        await _process!.WaitForExitAsync(limit.Token).ConfigureAwait(false);

        // Its children notice a moment later; a restart on the same files, or their removal, has to wait for them.
        await limit.UntilAsync(() => all.TrueForAll(HasEnded), () => "the end of PostgreSQL's processes").ConfigureAwait(false);
    }

    private void SignalAll(int signal)
    {
        if (ProcessId is not { } id) return;
        foreach (var process in Family(id)) ProcessStarter.Signal(process, signal);
    }

    /// <summary>The postmaster and its children, which are all there are.</summary>
    private static List<int> Family(int id)
    {
        List<int> all = [id];
        try
        {
            var children = File.ReadAllText($"/proc/{id}/task/{id}/children");
            all.AddRange(children.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(c => int.Parse(c, CultureInfo.InvariantCulture)));
        }
        catch (IOException)
        {
            // It ends at this moment.
        }

        return all;
    }

    /// <summary>Whether a process is gone, or is but waiting for somebody to ask how it ended.</summary>
    private static bool HasEnded(int id)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{id}/stat");
            return stat[stat.LastIndexOf(')') + 2] == 'Z';
        }
        catch (IOException)
        {
            return true;
        }
    }

    /// <summary>A killed server leaves a small segment of shared memory behind, of which a machine has only so many.</summary>
    private async Task RemoveSharedMemoryAsync()
    {
        if (!File.Exists(_folder["data/postmaster.pid"])) return;
        var lines = await File.ReadAllLinesAsync(_folder["data/postmaster.pid"]).ConfigureAwait(false);
        if (lines.Length < 7 || lines[6].Split(' ', StringSplitOptions.RemoveEmptyEntries) is not [_, var segment]) return;
        try
        {
            await RunToolAsync("ipcrm", asRoot: false, "-m", segment).ConfigureAwait(false);
        }
        catch (TestFailedException)
        {
            // It is gone already, which is as good.
        }
    }

    private async Task RunToolAsync(string program, bool asRoot, params string[] arguments)
    {
        using var process = await StartToolAsync(Info(program, arguments), asRoot ? null : RunAs).ConfigureAwait(false);
        using var limit = new TestDeadline(Patience);
        await process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
        if (process.ExitCode != 0) throw new TestFailedException($"'{program}' ended with {process.ExitCode}.\n{Output.Tail()}");
    }

    private ProcessStartInfo Info(string program, IEnumerable<string> arguments) => new(program, arguments)
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        WorkingDirectory = _folder.Path,
    };

    private async Task<Process> StartToolAsync(ProcessStartInfo info, string? user)
    {
        var process = await ProcessStarter.StartAsync(info, user).ConfigureAwait(false);
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private void Keep(string? line)
    {
        if (line is not null) Output.Add(line);
    }
}

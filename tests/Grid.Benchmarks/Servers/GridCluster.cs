using System.Globalization;
using System.Net;
using Grid.Benchmarks.Net;
using Grid.Testing;
using Grid.Testing.Servers;

namespace Grid.Benchmarks.Servers;

/// <summary>
/// Some silos on this machine, with a PostgreSQL and a Redis of their own that keep what they are told as in production: PostgreSQL
/// syncs every commit, Redis its append-only file every second.
/// </summary>
internal sealed class GridCluster : IGridServer
{
    /// <summary>Counts the silos that the membership table calls dead (6 in Orleans' numbers).</summary>
    public const string DeadSilos = "select count(*) from grid.orleansmembershiptable where status = 6";

    private readonly TestFolder _folder = new("bench");
    private readonly List<GridProcess> _silos = [];
    private PostgresServer? _postgres;
    private RedisServer? _redis;
    private string _database = "";
    private string? _token;

    private GridCluster(string name) => Name = name;

    public string Name { get; }

    public string ApiKey { get; } = "bench-" + Guid.NewGuid().ToString("N");

    public string Token => _token ??= _silos[0].Mint(ApiKey);

    public string? Profile { get; private init; }

    public IReadOnlyList<int> Silos => [.. _silos.Where(s => !s.Killed).Select(s => s.ProcessId!.Value)];

    /// <summary>The silos, killed ones too, in the order in which connections take turns.</summary>
    public IReadOnlyList<GridProcess> Processes => _silos;

    public string? Ending => _silos.Select((s, i) => s.Ending is { } ending ? $"silo {i} {ending}" : null).FirstOrDefault(e => e is not null);

    /// <summary>Which silos ended, how, and what each logged as errors.</summary>
    public string Faults => string.Join('\n', _silos.Select((s, i) => s.Killed ? $"silo {i}: killed"
        : $"silo {i}: {(s.ExitCode is { } code ? $"ended with {code.ToString(CultureInfo.InvariantCulture)}" : "runs")}\n{s.Faults}"));

    /// <summary>Starts the stores and the silos, and waits until all may take traffic.</summary>
    public static GridCluster Start(Options options, int silos, params (string Name, string Value)[] settings) =>
        Start(options, silos, GridBuild.Own, settings);

    /// <summary>The same with silos of a build.</summary>
    public static GridCluster Start(Options options, int silos, GridBuild build, params (string Name, string Value)[] settings)
    {
        var name = silos == 1 ? "1 silo" : $"{silos} silos";
        var cluster = new GridCluster(build.Name ?? name) { Profile = options.Text("perf") };
        try
        {
            cluster.StartStores();
            for (var i = 0; i < silos; i++) cluster._silos.Add(cluster.Silo(options, build, settings));

            // The first alone: it makes the schema and the first key, and nobody waits for a lock.
            cluster._silos[0].Launch();
            cluster._silos[0].WaitUntilReady();
            foreach (var silo in cluster._silos.Skip(1)) silo.Launch();
            foreach (var silo in cluster._silos.Skip(1)) silo.WaitUntilReady();
            return cluster;
        }
        catch
        {
            cluster.Dispose();
            throw;
        }
    }

    public IPEndPoint AddressOf(int index) => _silos[index % _silos.Count].Address;

    public ServerUsage Usage()
    {
        var silos = _silos.Where(s => !s.Killed).Select(s => ProcessUsage.Of(s.ProcessId)).ToArray();
        var (postgres, redis) = (ProcessUsage.OfFamily(_postgres?.ProcessId), ProcessUsage.Of(_redis?.ProcessId));
        return new ServerUsage(
            new PartUsage("silos", silos.Sum(s => s.CpuSeconds), silos.Sum(s => s.Rss)),
            new PartUsage("postgres", postgres.CpuSeconds, postgres.Rss),
            new PartUsage("redis", redis.CpuSeconds, redis.Rss));
    }

    public LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged) =>
        Connection(load, index, channel, subscribes, size, acknowledged, keyed: false);

    /// <inheritdoc cref="IServer.Connection"/>
    /// <param name="load">Who is told what arrives.</param>
    /// <param name="index">Its number.</param>
    /// <param name="channel">Its channel.</param>
    /// <param name="subscribes">Whether it subscribes.</param>
    /// <param name="size">Bytes of what it publishes.</param>
    /// <param name="acknowledged">Whether its publishes are acknowledged, when stored.</param>
    /// <param name="keyed">Whether its publishes carry a key.</param>
    public GridConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged, bool keyed) =>
        new(load, index, Token)
        {
            Channel = channel, Subscribes = subscribes, Size = size, Acknowledged = acknowledged, Keyed = keyed,
        };

    /// <summary>How many silos the membership table calls dead.</summary>
    public async Task<long> CountDeadAsync() => await QueryAsync(DeadSilos);

    /// <summary>Starts to look for the next silo that is declared dead.</summary>
    public DeathWatch WatchDeaths() => new(_database);

    /// <summary>How many connections the silos have to PostgreSQL.</summary>
    public async Task<long> CountConnectionsAsync() =>
        await QueryAsync("select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()");

    /// <summary>Transactions committed until now.</summary>
    public async Task<long> CountCommitsAsync() =>
        await QueryAsync("select xact_commit from pg_stat_database where datname = current_database()");

    /// <summary>Commands that Redis carried out until now.</summary>
    public async Task<long> CountRedisCommandsAsync() => long.Parse(await InfoAsync("stats", "total_commands_processed"), CultureInfo.InvariantCulture);

    public void Dispose()
    {
        foreach (var silo in _silos) silo.Dispose();
        _redis?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _postgres?.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _folder.Dispose();
    }

    private void StartStores()
    {
        _postgres = PostgresServer.StartNewAsync(fsync: true).GetAwaiter().GetResult();
        _redis = RedisServer.RunAsync(appendOnly: true).GetAwaiter().GetResult();
        _database = _postgres.CreateDatabaseAsync().GetAwaiter().GetResult();
    }

    private GridProcess Silo(Options options, GridBuild build, (string Name, string Value)[] settings)
    {
        (string Name, string Value)[] own =
        [
            ("ConnectionStrings__Postgres", _database),
            ("ConnectionStrings__Redis", _redis!.ConnectionString),
            ("Grid__SiloPort", FreePort.Next().ToString(CultureInfo.InvariantCulture)),
        ];
        return new GridProcess(
            new IPEndPoint(IPAddress.Loopback, FreePort.Next()),
            GridProcess.Environment(options, ApiKey, [.. own, .. settings]),
            _folder.Path,
            build.Host);
    }

    private async Task<long> QueryAsync(string sql) =>
        Convert.ToInt64(await _postgres!.ExecuteAsync(sql, DatabaseName), CultureInfo.InvariantCulture);

    private string DatabaseName => new Npgsql.NpgsqlConnectionStringBuilder(_database).Database!;

    private async Task<string> InfoAsync(string section, string field)
    {
        var info = await _redis!.CommandAsync("INFO", section);
        return info.Split("\r\n").First(l => l.StartsWith(field + ":", StringComparison.Ordinal))[(field.Length + 1)..];
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Net;
using Grid.Testing.Servers;
using Npgsql;

namespace Grid.ClusterTests.Cluster;

/// <summary>
/// A real cluster: PostgreSQL, Redis, and silos that are processes of their own; with <see cref="Network"/>, each in a network of its
/// own. It also stands for what is around a cluster: a balancer that asks <c>/readyz</c> and sends clients to a silo that is ready
/// (<see cref="Pick"/>), and a supervisor that starts again what ended by itself.
/// </summary>
internal sealed class TestCluster : IAsyncDisposable
{
    /// <summary>Orleans' status of a silo that is part of the cluster, in the membership table.</summary>
    private const int Active = 3;

    private static readonly TimeSpan JoinTimeout = TimeSpan.FromSeconds(60);
    private readonly List<TestSilo> _silos = [];
    private readonly Dictionary<string, string?> _settings;
    private readonly HttpClient _probe = new() { Timeout = TimeSpan.FromSeconds(1) };
    private readonly CancellationTokenSource _stop = new();
    private readonly TestFolder _folder = new("cluster");
    private Task _watching = Task.CompletedTask;
    private string? _membershipTable;
    private string _database = "";
    private long _redisLostAt = long.MinValue;

    private TestCluster(IEnumerable<KeyValuePair<string, string?>> settings) => _settings = new(settings, StringComparer.Ordinal);

    public PostgresServer Postgres { get; private set; } = null!;

    /// <summary>The connection string of the cluster's database, from here.</summary>
    public string ConnectionString => _database;

    /// <summary>The name of the cluster's database.</summary>
    public string Database => new NpgsqlConnectionStringBuilder(_database).Database!;

    public RedisServer Redis { get; private set; } = null!;

    /// <summary>The network that the silos are in; null for loopback.</summary>
    public TestNetwork? Network { get; private set; }

    public string ClusterId { get; } = "test";

    /// <summary>Every silo that was ever made, in the order of its making.</summary>
    public IReadOnlyList<TestSilo> Silos
    {
        get
        {
            lock (_silos) return [.. _silos];
        }
    }

    /// <summary>Those that are to run.</summary>
    public IReadOnlyList<TestSilo> Running => [.. Silos.Where(s => s.Wanted)];

    /// <summary>Starts everything and waits until all silos form one cluster.</summary>
    /// <param name="silos">How many silos.</param>
    /// <param name="settings">Further settings of every silo, as environment variables.</param>
    /// <param name="cuttable">Whether the network between silos can be cut; takes root.</param>
    public static async Task<TestCluster> StartAsync(int silos = 3, IEnumerable<KeyValuePair<string, string?>>? settings = null, bool cuttable = false)
    {
        var cluster = new TestCluster(settings ?? []);
        try
        {
            await cluster.StartServersAsync(cuttable);
            for (var i = 0; i < silos; i++) await cluster.MakeAsync();
            await Task.WhenAll(cluster.Silos.Select(s => s.StartAsync()));
            await cluster.TogetherAsync();
            cluster._watching = cluster.WatchAsync();
            return cluster;
        }
        catch (Exception e)
        {
            var tails = cluster.Tails();
            await cluster.DisposeAsync();
            throw new TestFailedException($"The cluster did not start: {e.Message}\n{tails}", e);
        }
    }

    /// <summary>Where a client connects next: a silo that the balancer holds for ready, by chance; if none is, any that runs.</summary>
    public Uri Pick()
    {
        var all = Silos;
        var choice = all.Where(s => s.Ready).ToList();
        if (choice.Count == 0) choice = [.. all.Where(s => s.Wanted)];
        if (choice.Count == 0) choice = [.. all];
        return choice[Random.Shared.Next(choice.Count)].Address;
    }

    /// <summary>Adds a silo, and waits until it is part of the cluster.</summary>
    public async Task<TestSilo> AddAsync()
    {
        var silo = await MakeAsync();
        await silo.StartAsync();
        return silo;
    }

    /// <summary>Makes what two silos send each other vanish, in both directions or only from the first to the second.</summary>
    public static async Task CutAsync(TestSilo from, TestSilo to, bool bothWays = true)
    {
        await TestNetwork.CutAsync(from.Place, to.Place);
        if (bothWays) await TestNetwork.CutAsync(to.Place, from.Place);
    }

    /// <summary>Ends <see cref="CutAsync"/>.</summary>
    public static async Task HealAsync(TestSilo from, TestSilo to, bool bothWays = true)
    {
        await TestNetwork.HealAsync(from.Place, to.Place);
        if (bothWays) await TestNetwork.HealAsync(to.Place, from.Place);
    }

    /// <summary>Redis forgets everything.</summary>
    public async Task FlushRedisAsync()
    {
        Volatile.Write(ref _redisLostAt, long.MaxValue);
        await Redis.FlushAsync();
        Volatile.Write(ref _redisLostAt, Stopwatch.GetTimestamp());
    }

    /// <summary>Redis is killed; started again it has what it had, unless it is to have lost everything.</summary>
    public async Task RestartRedisAsync(bool empty, TimeSpan away)
    {
        if (empty) Volatile.Write(ref _redisLostAt, long.MaxValue);
        if (empty) await Redis.FlushAsync();
        await Redis.KillAsync();
        await Task.Delay(away);
        await Redis.StartAsync();
        await OpenRedisAsync();
        if (empty) Volatile.Write(ref _redisLostAt, Stopwatch.GetTimestamp());
    }

    /// <summary>
    /// Whether what Redis knew of a session that was last taken up at a moment may be lost: it may take the session a minute to be
    /// written again.
    /// </summary>
    public bool MayHaveLostStateSince(long moment) => Volatile.Read(ref _redisLostAt) > moment - (60 * Stopwatch.Frequency);

    /// <summary>Waits until every silo that is to run is ready, and these and no others are the cluster's.</summary>
    public async Task TogetherAsync(TimeSpan? timeout = null)
    {
        using var deadline = new TestDeadline(timeout ?? JoinTimeout);
        var seen = "";
        await deadline.UntilAsync(
            async () =>
            {
                var wanted = Running;
                var ready = await Task.WhenAll(wanted.Select(IsReadyAsync));
                var members = await MembersAsync();
                seen = members is null ? "PostgreSQL is away" : $"ready: {string.Join(", ", wanted.Where((_, i) => ready[i]))}; members: {string.Join(", ", members)}";
                return members is not null && ready.All(r => r) && members.Order().SequenceEqual(wanted.Select(Endpoint).Order());
            },
            () => $"all silos are ready and form one cluster; {seen}");
    }

    /// <summary>Whether the membership table has a silo as a part of the cluster; null when it cannot be read.</summary>
    public async Task<bool?> IsMemberAsync(TestSilo silo) => (await MembersAsync())?.Contains(Endpoint(silo));

    /// <summary>The last lines of every silo, and of the servers, for failure messages.</summary>
    public string Tails(int count = 60)
    {
        var text = new StringBuilder();
        foreach (var silo in Silos)
            text.Append(CultureInfo.InvariantCulture, $"{silo} at {silo.Address} ({silo.Host.Output.Errors.Count} lines of errors): ").Append(silo.Host.Output.Tail(count));
        if (Postgres is not null) text.Append("PostgreSQL: ").Append(Postgres.Output.Tail(20));
        return text.ToString();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching;
        foreach (var silo in Silos) await silo.DisposeAsync();
        if (Redis is not null) await Redis.DisposeAsync();
        if (Postgres is not null) await Postgres.DisposeAsync();
        if (Network is not null) await Network.DisposeAsync();
        _folder.Dispose();
        _probe.Dispose();
        _stop.Dispose();
    }

    private static string Endpoint(TestSilo silo) => string.Create(CultureInfo.InvariantCulture, $"{silo.Place.Address}:{silo.SiloPort}");

    private async Task StartServersAsync(bool cuttable)
    {
        if (cuttable) Network = await TestNetwork.CreateAsync();
        var postgres = StartPostgresAsync();
        var redis = RedisServer.RunAsync(appendOnly: true);
        await Task.WhenAll(postgres, redis);
        (Postgres, Redis) = (await postgres, await redis);
        await OpenRedisAsync();
        _database = await Postgres.CreateDatabaseAsync();
        var server = Network is null ? "" : $";Host={Network.Bridge}";
        _settings["ConnectionStrings__Postgres"] = _database + server;
        _settings["ConnectionStrings__Redis"] = string.Create(CultureInfo.InvariantCulture, $"{Network?.Bridge.ToString() ?? "127.0.0.1"}:{Redis.Port}");
        _settings["Grid__ClusterId"] = ClusterId;
    }

    /// <summary>A network's hosts come from other addresses than this machine's own, so the server has to listen to them and trust them.</summary>
    private async Task<PostgresServer> StartPostgresAsync()
    {
        if (Network is null) return await PostgresServer.StartNewAsync(fsync: false);
        const UnixFileMode Everybody = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;
        if (OperatingSystem.IsLinux()) File.SetUnixFileMode(_folder.Path, Everybody);
        await File.WriteAllTextAsync(_folder["hba.conf"], $"host all all 127.0.0.1/32 trust\nhost all all {Network.Bridge}/24 trust\n");
        return await PostgresServer.StartNewAsync(
            fsync: false, $"listen_addresses={PostgresServer.Host},{Network.Bridge}", $"hba_file={_folder["hba.conf"]}");
    }

    /// <summary>Redis, too, has to listen to the network; it forgets that with each start.</summary>
    private async Task OpenRedisAsync()
    {
        if (Network is null) return;
        await Redis.CommandAsync("CONFIG", "SET", "protected-mode", "no");
        await Redis.CommandAsync("CONFIG", "SET", "bind", $"127.0.0.1 {Network.Bridge}");
    }

    private async Task<TestSilo> MakeAsync()
    {
        var place = Network is null ? HostPlace.Loopback : await Network.AddPlaceAsync();
        lock (_silos)
        {
            var home = Directory.CreateDirectory(_folder[$"home-{_silos.Count}"]);
            var silo = new TestSilo(_silos.Count, place, _settings, home.FullName);
            _silos.Add(silo);
            return silo;
        }
    }

    private async Task WatchAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await Task.WhenAll(Silos.Where(s => s.Wanted).Select(async silo =>
            {
                await silo.SuperviseAsync();
                silo.Ready = await IsReadyAsync(silo) && silo.Wanted;
            }));
            await Task.Delay(200);
        }
    }

    private async Task<bool> IsReadyAsync(TestSilo silo)
    {
        try
        {
            using var answer = await _probe.GetAsync(new Uri(silo.Address, "/readyz"));
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or System.Net.Sockets.SocketException or OperationCanceledException)
        {
            return false;
        }
    }

    private async Task<IReadOnlyList<string>?> MembersAsync()
    {
        try
        {
            var database = _database[(_database.LastIndexOf('=') + 1)..];
            _membershipTable ??= (string?)await Postgres.ExecuteAsync(
                "select table_schema || '.' || table_name from information_schema.tables where table_name = 'orleansmembershiptable'", database);
            if (_membershipTable is null) return [];
            var members = (string?)await Postgres.ExecuteAsync(
                $"select string_agg(address || ':' || port, ',') from {_membershipTable} where status = {Active} and deploymentid = '{ClusterId}'", database);
            return members?.Split(',') ?? [];
        }
        catch (Npgsql.NpgsqlException)
        {
            return null;
        }
    }
}

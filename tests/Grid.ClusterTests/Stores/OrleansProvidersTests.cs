using System.Net;
using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime.MembershipService;
using Orleans.Serialization;
using Orleans.Storage;

namespace Grid.ClusterTests.Stores;

/// <summary>Orleans' own providers on the tables and queries that Grid's schema gives them.</summary>
public sealed class OrleansProvidersTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    private static readonly DateTime Start = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    [Fact]
    public async Task Membership_changes_only_with_the_version_that_was_seen()
    {
        var table = await MembershipAsync("one");
        var empty = await table.ReadAllAsync(CancellationToken.None);
        Assert.Empty(empty.Members);
        var (first, second) = (Entry(1), Entry(2));
        Assert.True(await table.InsertRowAsync(first, empty.Version.Next()));
        Assert.False(await table.InsertRowAsync(second, empty.Version.Next()));

        var one = await table.ReadAllAsync(CancellationToken.None);
        Assert.Equal(empty.Version.Version + 1, one.Version.Version);
        var read = Assert.Single(one.Members).Item1;
        Assert.Equal(
            (first.SiloAddress, "silo-1", "host", SiloStatus.Joining, 30_000, Start, Start),
            (read.SiloAddress, read.SiloName, read.HostName, read.Status, read.ProxyPort, read.StartTime, read.IAmAliveTime));

        // The same silo twice is refused, and does not raise the version.
        Assert.False(await table.InsertRowAsync(first, one.Version.Next()));
        Assert.Equal(one.Version.Version, (await table.ReadAllAsync(CancellationToken.None)).Version.Version);
        Assert.True(await table.InsertRowAsync(second, one.Version.Next()));

        var two = await table.ReadAllAsync(CancellationToken.None);
        var etag = two.Members.Single(m => m.Item1.SiloAddress.Equals(second.SiloAddress)).Item2;
        second.Status = SiloStatus.Dead;
        second.SuspectTimes = [Tuple.Create(first.SiloAddress, Start.AddSeconds(3))];
        Assert.False(await table.UpdateRowAsync(second, one.Members[0].Item2, one.Version.Next()));
        Assert.True(await table.UpdateRowAsync(second, etag, two.Version.Next()));
        Assert.False(await table.UpdateRowAsync(second, etag, two.Version.Next()));

        // An update of a silo that is not there is refused, and does not raise the version either.
        var three = await table.ReadAllAsync(CancellationToken.None);
        Assert.False(await table.UpdateRowAsync(Entry(9), three.Members[0].Item2, three.Version.Next()));
        var row = await table.ReadRowAsync(second.SiloAddress, CancellationToken.None);
        Assert.Equal(three.Version.Version, row.Version.Version);
        Assert.Equal(SiloStatus.Dead, Assert.Single(row.Members).Item1.Status);
        Assert.Equal(first.SiloAddress, Assert.Single(row.Members[0].Item1.SuspectTimes!).Item1);
        Assert.Empty((await table.ReadRowAsync(Entry(9).SiloAddress, CancellationToken.None)).Members);

        // A sign of life changes no version.
        first.IAmAliveTime = Start.AddMinutes(1);
        await table.UpdateIAmAliveAsync(first, CancellationToken.None);
        var alive = await table.ReadRowAsync(first.SiloAddress, CancellationToken.None);
        Assert.Equal(Start.AddMinutes(1), alive.Members[0].Item1.IAmAliveTime);
        Assert.Equal(three.Version.Version, alive.Version.Version);
    }

    [Fact]
    public async Task Only_the_dead_are_cleaned_away_and_clusters_do_not_see_each_other()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var table = await MembershipAsync("one", connectionString);
        var other = await MembershipAsync("two", connectionString);
        for (var i = 1; i <= 3; i++)
        {
            var entry = Entry(i);
            Assert.True(await table.InsertRowAsync(entry, (await table.ReadAllAsync(CancellationToken.None)).Version.Next()));
            entry.Status = i == 1 ? SiloStatus.Active : SiloStatus.Dead;
            var all = await table.ReadAllAsync(CancellationToken.None);
            Assert.True(await table.UpdateRowAsync(entry, all.Members.Single(m => m.Item1.SiloAddress.Equals(entry.SiloAddress)).Item2, all.Version.Next()));
        }

        Assert.Empty((await other.ReadAllAsync(CancellationToken.None)).Members);
        await table.CleanupDefunctSiloEntriesAsync(Start.AddMinutes(-1), CancellationToken.None);
        Assert.Equal(3, (await table.ReadAllAsync(CancellationToken.None)).Members.Count);
        await table.CleanupDefunctSiloEntriesAsync(Start.AddMinutes(1), CancellationToken.None);
        Assert.Equal(SiloStatus.Active, Assert.Single((await table.ReadAllAsync(CancellationToken.None)).Members).Item1.Status);
        await table.DeleteMembershipTableEntriesAsync("one", CancellationToken.None);
        await table.InitializeMembershipTableAsync(true, CancellationToken.None);
        Assert.Empty((await table.ReadAllAsync(CancellationToken.None)).Members);
    }

    [Fact]
    public async Task Of_silos_that_join_at_once_all_get_in_one_after_the_other()
    {
        var connectionString = await fixture.Server.CreateDatabaseAsync();
        var tables = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => MembershipAsync("one", connectionString)));
        await Task.WhenAll(tables.Select((table, i) => Task.Run(async () =>
        {
            while (!await table.InsertRowAsync(Entry(i), (await table.ReadAllAsync(CancellationToken.None)).Version.Next())) await Task.Yield();
        })));
        var all = await tables[0].ReadAllAsync(CancellationToken.None);
        Assert.Equal((6, 6), (all.Members.Count, all.Version.Version));
    }

    [Fact]
    public async Task Grain_state_is_written_with_the_etag_that_was_read()
    {
        await using var provider = await StorageAsync();
        var storage = provider.GetRequiredKeyedService<IGrainStorage>(StorageNames.Config);
        await ((ILifecycleParticipant<ISiloLifecycle>)storage).InitializeAsync();
        foreach (var grain in new[] { GrainId.Create("tenant", "default"), GrainId.Create("key", "6ba7b8109dad11d180b400c04fd430c8") })
        {
            var (state, rival) = (New(), New());
            await storage.ReadStateAsync("state", grain, state);
            await storage.ReadStateAsync("state", grain, rival);
            Assert.False(state.RecordExists);
            state.State!["a"] = 1;
            await storage.WriteStateAsync("state", grain, state);
            rival.State!["a"] = 2;
            await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("state", grain, rival));

            await storage.ReadStateAsync("state", grain, rival);
            Assert.Equal(1, rival.State!["a"]);
            Assert.Equal(state.ETag, rival.ETag);
            rival.State!["a"] = 3;
            await storage.WriteStateAsync("state", grain, rival);
            await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("state", grain, state));
            await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("state", grain, state));

            // Another name and another grain are another state.
            var other = New();
            await storage.ReadStateAsync("other", grain, other);
            Assert.False(other.RecordExists);

            await storage.ClearStateAsync("state", grain, rival);
            await storage.ReadStateAsync("state", grain, state);
            Assert.Empty(state.State!);
            state.State!["a"] = 4;
            await storage.WriteStateAsync("state", grain, state);
            await storage.ReadStateAsync("state", grain, other);
            Assert.Equal(4, other.State!["a"]);
        }
    }

    [Fact]
    public async Task Of_first_writes_at_once_one_wins()
    {
        await using var provider = await StorageAsync();
        var storage = provider.GetRequiredKeyedService<IGrainStorage>(StorageNames.Config);
        await ((ILifecycleParticipant<ISiloLifecycle>)storage).InitializeAsync();
        for (var round = 0; round < 10; round++)
        {
            var grain = GrainId.Create("tenant", $"t{round}");
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Task.Run(async () =>
            {
                var state = New();
                state.State!["a"] = i;
                return await Record.ExceptionAsync(() => storage.WriteStateAsync("state", grain, state));
            })));
            Assert.Single(outcomes, o => o is null);
            Assert.All(outcomes.Where(o => o is not null), o => Assert.IsType<InconsistentStateException>(o));
        }
    }

    private static GrainState<Dictionary<string, int>> New() => new() { State = [] };

    private static MembershipEntry Entry(int number) => new()
    {
        SiloAddress = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11_000 + number), number),
        SiloName = $"silo-{number}",
        HostName = "host",
        Status = SiloStatus.Joining,
        ProxyPort = 30_000,
        StartTime = Start,
        IAmAliveTime = Start,
    };

    private async Task<AdoNetClusteringTable> MembershipAsync(string cluster, string? connectionString = null)
    {
        connectionString ??= await fixture.Server.CreateDatabaseAsync();
        await using var database = await Postgres.OpenAsync(connectionString);
        var table = new AdoNetClusteringTable(
            new ServiceCollection().BuildServiceProvider(),
            Options.Create(new ClusterOptions { ClusterId = cluster, ServiceId = "grid" }),
            Options.Create(new AdoNetClusteringSiloOptions
            {
                Invariant = GridClustering.Invariant,
                ConnectionString = PostgresConnectionString.ForMembership(connectionString),
            }),
            NullLogger<AdoNetClusteringTable>.Instance);
        await table.InitializeMembershipTableAsync(true, CancellationToken.None);
        return table;
    }

    private async Task<ServiceProvider> StorageAsync()
    {
        var cluster = new GridClusterOptions { Postgres = await fixture.Server.CreateDatabaseAsync() };
        var services = new ServiceCollection().AddLogging().AddSerializer().AddGridPostgresStore(cluster);
        services.AddOptions<ClusterOptions>().Configure(o => (o.ClusterId, o.ServiceId) = ("one", "grid"));
        services.AddSingleton(typeof(IOptionsSnapshot<>), typeof(OptionsManager<>));
        var provider = services.BuildServiceProvider();
        await provider.GetRequiredService<IGridStore>().OpenAsync(CancellationToken.None);
        return provider;
    }
}

/// <summary>Runs what a provider does when a silo starts, without a silo.</summary>
internal static class LifecycleExtensions
{
    public static async Task InitializeAsync(this ILifecycleParticipant<ISiloLifecycle> participant)
    {
        var lifecycle = new Starter();
        participant.Participate(lifecycle);
        foreach (var observer in lifecycle.Observers) await observer.OnStart(CancellationToken.None);
    }

    private sealed class Starter : ISiloLifecycle
    {
        public List<ILifecycleObserver> Observers { get; } = [];

        public int HighestCompletedStage => 0;

        public int LowestStoppedStage => 0;

        public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
        {
            Observers.Add(observer);
            return new MemoryStream();
        }
    }
}

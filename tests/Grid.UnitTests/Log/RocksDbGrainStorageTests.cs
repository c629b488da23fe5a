using Grid.Server.Log;
using Grid.Server.Sessions;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Storage;

namespace Grid.UnitTests.Log;

public sealed class RocksDbGrainStorageTests : IAsyncLifetime, IDisposable
{
    private static readonly GrainId Grain = GrainId.Create("session", "default/one");

    private readonly TempFolder _folder = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddSerializer().BuildServiceProvider();
    private readonly StoreFaults _faults = new();
    private RocksDbStore _store = null!;
    private RocksDbGrainStorage _storage = null!;

    public Task InitializeAsync()
    {
        Open();
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _store.DisposeAsync();

    public void Dispose()
    {
        _folder.Dispose();
        _services.Dispose();
    }

    [Fact]
    public async Task States_are_read_back_over_a_restart()
    {
        var state = New();
        await _storage.ReadStateAsync("state", Grain, state);
        Assert.False(state.RecordExists);
        Assert.Null(state.ETag);
        Assert.Empty(state.State!);

        state.State!["room:1"] = 42;
        await _storage.WriteStateAsync("state", Grain, state);
        Assert.True(state.RecordExists);
        var first = state.ETag;
        state.State!["room:2"] = 1;
        await _storage.WriteStateAsync("state", Grain, state);
        Assert.NotEqual(first, state.ETag);

        await _store.DisposeAsync();
        Open();
        var read = New();
        await _storage.ReadStateAsync("state", Grain, read);
        Assert.True(read.RecordExists);
        Assert.Equal(state.ETag, read.ETag);
        Assert.Equal(state.State, read.State);
    }

    [Fact]
    public async Task A_write_with_an_old_etag_is_refused()
    {
        var (one, two) = (New(), New());
        await _storage.ReadStateAsync("state", Grain, one);
        await _storage.ReadStateAsync("state", Grain, two);
        one.State!["a"] = 1;
        await _storage.WriteStateAsync("state", Grain, one);

        two.State!["b"] = 2;
        await Assert.ThrowsAsync<InconsistentStateException>(() => _storage.WriteStateAsync("state", Grain, two));
        await Assert.ThrowsAsync<InconsistentStateException>(() => _storage.ClearStateAsync("state", Grain, two));
        await _storage.ReadStateAsync("state", Grain, two);
        Assert.Equal(1, Assert.Single(two.State!).Value);

        await _storage.WriteStateAsync("state", Grain, two);
        await Assert.ThrowsAsync<InconsistentStateException>(() => _storage.WriteStateAsync("state", Grain, one));
    }

    [Fact]
    public async Task Of_writes_at_once_with_the_same_etag_one_is_made()
    {
        for (var round = 0; round < 20; round++)
        {
            var grain = GrainId.Create("session", $"{round}");
            var writes = Enumerable.Range(0, 8).Select(_ => WriteAsync(grain)).ToArray();
            Assert.Single(await Task.WhenAll(writes), written => written);
        }

        async Task<bool> WriteAsync(GrainId grain)
        {
            try
            {
                await _storage.WriteStateAsync("state", grain, New());
                return true;
            }
            catch (InconsistentStateException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task A_cleared_state_is_gone_and_its_etag_with_it()
    {
        var state = New();
        await _storage.WriteStateAsync("state", Grain, state);
        var old = state.ETag;
        await _storage.ClearStateAsync("state", Grain, state);
        Assert.False(state.RecordExists);
        Assert.Null(state.ETag);
        using (var lease = _store.Lease())
        using (var rows = lease.Database.Db.NewIterator(lease.Database.State.Handle))
            Assert.False(rows.SeekToFirst().Valid());

        // Clearing what is not there is nothing; writing anew begins anew.
        await _storage.ClearStateAsync("state", Grain, state);
        await _storage.WriteStateAsync("state", Grain, state);
        Assert.NotEqual(old, state.ETag);
        state.ETag = old;
        await Assert.ThrowsAsync<InconsistentStateException>(() => _storage.WriteStateAsync("state", Grain, state));
    }

    [Fact]
    public async Task Providers_states_and_grains_are_apart()
    {
        var other = new RocksDbGrainStorage(_store, Serializer(), "config", synced: true);
        var state = New();
        state.State!["x"] = 1;
        await _storage.WriteStateAsync("state", Grain, state);
        foreach (var (storage, name, grain) in new[]
        {
            (other, "state", Grain), (_storage, "state2", Grain), (_storage, "state", GrainId.Create("session", "default/two")),
            (_storage, "state", GrainId.Create("session", "default/on")),
        })
        {
            var read = New();
            await storage.ReadStateAsync(name, grain, read);
            Assert.False(read.RecordExists);
        }
    }

    [Fact]
    public async Task A_failed_write_leaves_the_etag_so_that_it_can_be_tried_again()
    {
        var state = New();
        await _storage.WriteStateAsync("state", Grain, state);
        var etag = state.ETag;
        _faults.BeforeWrite = () =>
        {
            _faults.BeforeWrite = null;
            throw new IOException("injected");
        };
        await Assert.ThrowsAsync<LogUnavailableException>(() => _storage.WriteStateAsync("state", Grain, state));
        Assert.Equal(etag, state.ETag);
    }

    [Fact]
    public async Task The_session_index_finds_by_user_and_by_due_time()
    {
        var index = new RocksDbSessionIndex(_store);
        var start = DateTimeOffset.UnixEpoch.AddYears(56);
        await index.SetAsync(new("t", "s1", "ana", start.AddMinutes(3)));
        await index.SetAsync(new("t", "s2", "ana", start.AddMinutes(1)));
        await index.SetAsync(new("t", "s3", "an", start.AddMinutes(2)));
        await index.SetAsync(new("t-2", "s1", "ana", start.AddMinutes(4)));

        Assert.Equal(["s1", "s2"], await SessionsAsync(index.ByUserAsync("t", "ana", 10)));
        Assert.Equal(["s1"], await SessionsAsync(index.ByUserAsync("t", "ana", 1)));
        Assert.Equal(["s3"], await SessionsAsync(index.ByUserAsync("t", "an", 10)));
        Assert.Empty(await index.ByUserAsync("t", "a", 10));
        Assert.Equal(["s2", "s3"], await SessionsAsync(index.DueAsync(start.AddMinutes(2), 10)));
        Assert.Equal(["s2"], await SessionsAsync(index.DueAsync(start.AddMinutes(9), 1)));
        Assert.Empty(await index.DueAsync(start, 10));
        Assert.Equal(new SessionIndexEntry("t", "s2", "ana", start.AddMinutes(1)), (await index.DueAsync(start.AddMinutes(1), 10))[0]);

        // Replaced, also when two changes share a write.
        await Task.WhenAll(
            index.SetAsync(new("t", "s2", "ana", start.AddMinutes(7))).AsTask(),
            index.SetAsync(new("t", "s2", "bob", start.AddMinutes(8))).AsTask());
        Assert.Equal(["s1"], await SessionsAsync(index.ByUserAsync("t", "ana", 10)));
        Assert.Equal(["s2"], await SessionsAsync(index.ByUserAsync("t", "bob", 10)));
        Assert.Equal(["s3", "s1", "s1", "s2"], await SessionsAsync(index.DueAsync(start.AddMinutes(8), 10)));

        await _store.DisposeAsync();
        Open();
        index = new RocksDbSessionIndex(_store);
        Assert.Equal(4, (await index.DueAsync(start.AddDays(1), 10)).Count);
        await index.RemoveAsync("t", "unknown");
        foreach (var (tenant, session) in new[] { ("t", "s1"), ("t", "s2"), ("t", "s3"), ("t-2", "s1") })
            await index.RemoveAsync(tenant, session);
        using var lease = _store.Lease();
        using var rows = lease.Database.Db.NewIterator(lease.Database.Sessions.Handle);
        Assert.False(rows.SeekToFirst().Valid());
    }

    private static async Task<IEnumerable<string>> SessionsAsync(ValueTask<IReadOnlyList<SessionIndexEntry>> entries) =>
        (await entries).Select(e => e.Session).ToArray();

    private static GrainState<Dictionary<string, long>> New() => new([]);

    private OrleansGrainStorageSerializer Serializer() => new(_services.GetRequiredService<Serializer>());

    private void Open()
    {
        _store = Logs.OpenStore(_folder.Path, faults: _faults);
        _storage = new RocksDbGrainStorage(_store, Serializer(), "sessions", synced: false);
    }
}

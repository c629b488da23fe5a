using System.Globalization;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Sessions;
using Orleans.Storage;

namespace Grid.UnitTests.Simulation;

/// <summary>The sessions' states and their index, shared by all silos; checks what may never happen to a session.</summary>
internal sealed class SessionStore(SimScheduler scheduler)
{
    private long _etags;

    public Dictionary<string, (SessionState State, string Etag)> Rows { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, SessionIndexEntry> Index { get; } = new(StringComparer.Ordinal);

    /// <summary>When a row was last lost: from then on, for a while, a resume without cursors may expire.</summary>
    public long? LostAt { get; private set; }

    /// <summary>The last write of each session, to show that cursors and generations do not fall.</summary>
    public long GenerationOf(string key) => Rows.TryGetValue(key, out var row) ? row.State.Generation : 0;

    public string Write(string key, SessionState state, string? etag)
    {
        var exists = Rows.TryGetValue(key, out var row);
        if (exists ? row.Etag != etag : etag is not null) throw new InconsistentStateException($"{key}: {etag} is not {row.Etag}");
        if (exists && state.Generation < row.State.Generation)
            scheduler.Fail($"The generation of {key} fell from {row.State.Generation} to {state.Generation}.");
        var next = (++_etags).ToString(CultureInfo.InvariantCulture);
        Rows[key] = (Copy(state), next);
        return next;
    }

    public void Clear(string key, string? etag)
    {
        if (!Rows.TryGetValue(key, out var row)) return;
        if (row.Etag != etag) throw new InconsistentStateException($"{key}: {etag} is not {row.Etag}");
        Rows.Remove(key);
    }

    /// <summary>The store forgets a session, as a cache that restarts does.</summary>
    public void Lose(string key)
    {
        LostAt = scheduler.Now;
        Rows.Remove(key);
        scheduler.Trace("store", $"lost {key}");
    }

    public static SessionState Copy(SessionState state) => new()
    {
        User = state.User,
        Generation = state.Generation,
        Cursors = new Dictionary<string, Position>(state.Cursors, StringComparer.Ordinal),
        Silo = state.Silo,
        DetachedAt = state.DetachedAt,
        Closed = state.Closed,
    };
}

/// <summary>One activation's view of its session's state.</summary>
internal sealed class SimState(string key, SimNode silo, SessionStore store, SimFaults faults) : IPersistentState<SessionState>
{
    public SessionState State { get; set; } = new();

    public string Etag { get; private set; } = null!;

    public bool RecordExists => Etag is not null;

    public Task ReadStateAsync() => DoAsync(() =>
    {
        var exists = store.Rows.TryGetValue(key, out var row);
        (State, Etag) = exists ? (SessionStore.Copy(row.State), row.Etag) : (new SessionState(), null!);
    });

    public Task WriteStateAsync()
    {
        string? written = null;
        return DoAsync(() => written = store.Write(key, State, Etag), () => Etag = written!);
    }

    public Task ClearStateAsync() => DoAsync(() => store.Clear(key, Etag), () => (State, Etag) = (new SessionState(), null!));

    private async Task DoAsync(Action act, Action? then = null)
    {
        var scheduler = silo.Scheduler;
        await silo.Delay(scheduler.Span(20, 3_000));
        var fails = scheduler.Happens(faults.StoreFails);
        if (!fails || scheduler.Happens(0.5)) act();
        if (fails) throw new OrleansException($"The store failed for {key}");
        await silo.Delay(scheduler.Span(20, 3_000));
        then?.Invoke();
    }
}

/// <summary>What the store says of its losses, as one silo reaches it; before its start everything was lost.</summary>
internal sealed class SimLoss(SimNode silo, SessionStore store, SimFaults faults) : ISessionLoss
{
    public async ValueTask<bool> MayHaveHappenedAsync(TimeSpan window)
    {
        await silo.Delay(silo.Scheduler.Span(20, 3_000));
        if (silo.Scheduler.Happens(faults.StoreFails)) throw new LogUnavailableException("The store failed to tell its losses");
        return silo.Scheduler.Now - (store.LostAt ?? 0) <= (long)window.TotalMicroseconds;
    }
}

/// <summary>The index as one silo reaches it.</summary>
internal sealed class SimIndex(SimNode silo, SessionStore store) : ISessionIndex
{
    public async ValueTask SetAsync(SessionIndexEntry entry, CancellationToken cancellationToken = default)
    {
        await silo.Delay(silo.Scheduler.Span(20, 2_000));
        store.Index[$"{entry.Tenant}/{entry.Session}"] = entry;
    }

    public async ValueTask RemoveAsync(string tenant, string session, CancellationToken cancellationToken = default)
    {
        await silo.Delay(silo.Scheduler.Span(20, 2_000));
        store.Index.Remove($"{tenant}/{session}");
    }

    public ValueTask<IReadOnlyList<SessionIndexEntry>> ByUserAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IReadOnlyList<SessionIndexEntry>>([.. store.Index.Values.Where(e => e.User == user).Take(limit)]);

    public ValueTask<IReadOnlyList<SessionIndexEntry>> DueAsync(
        DateTimeOffset now, int limit, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IReadOnlyList<SessionIndexEntry>>(
            [.. store.Index.Values.Where(e => e.DueAt <= now).OrderBy(e => e.DueAt).Take(limit)]);
}

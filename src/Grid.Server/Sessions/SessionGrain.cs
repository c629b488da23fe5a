using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Placement;

namespace Grid.Server.Sessions;

/// <summary>
/// One session: called for hello, resume, changes of subscriptions, checkpoints and close, never for a message.
/// </summary>
/// <remarks>
/// Writes: when subscriptions change (before they are confirmed), at checkpoints, and when the socket goes. A new session without
/// subscriptions is not written until then; if its state is lost before, the signed resume token and the client's cursors bring it
/// back. No timer and no reminder: the sweep finds sessions that are due in <see cref="ISessionIndex"/>.
/// </remarks>
[PreferLocalPlacement]
internal sealed partial class SessionGrain(
    [PersistentState(SessionGrain.StateName, StorageNames.Sessions)] IPersistentState<SessionState> storage,
    ISessionIndex index,
    ISiloRelays relays,
    ISessionLoss loss,
    SessionMetrics metrics,
    IOptions<GridOptions> options,
    TimeProvider time,
    ILogger<SessionGrain> logger) : Grain, ISessionGrain
{
    /// <summary>The name of the stored state.</summary>
    public const string StateName = "session";

    /// <summary>How long, at least, a closed session's record keeps it from being taken up again by a resume token.</summary>
    private static readonly TimeSpan ShortestTombstone = TimeSpan.FromHours(24);

    private SessionMachine _machine = null!;
    private string _tenant = null!;
    private string _session = null!;
    private bool _indexed;

    private long NowMs => time.GetUtcNow().ToUnixTimeMilliseconds();

    private bool IsUnread => storage.Etag == PatientGrainStorage.Unread;

    private TimeSpan TombstoneFor => options.Value.ResumeWindow > ShortestTombstone ? options.Value.ResumeWindow : ShortestTombstone;

    private long WindowMs => (long)options.Value.ResumeWindow.TotalMilliseconds;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        var key = ChannelId.Parse(this.GetPrimaryKeyString());
        (_tenant, _session) = (key.Tenant, key.Name);
        TakeState();
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        // A session without subscriptions is first written here: whoever lists or closes it must still find it.
        if (!_machine.Exists || storage.RecordExists || IsUnread) return;
        try
        {
            await WriteAsync();
        }
        catch (Exception e) when (Outage.Is(e))
        {
            // Nothing is lost that matters: it has no subscriptions, and its socket reports it when it goes.
            LogNotWritten(_tenant, _session, e);
        }
    }

    public async Task<SessionAttached> AttachAsync(SessionAttach request)
    {
        await EnsureReadAsync();
        var (olderSilo, olderGeneration) = (storage.State.Silo, storage.State.Generation);
        var silo = request.Silo.ToParsableString();

        // Asked only when it matters, and then afresh: Redis may have been flushed half a second ago.
        var mayRebuild = request.Resume && !_machine.Exists && await loss.MayHaveHappenedAsync(options.Value.ResumeWindow);
        var attached = _machine.Attach(request, silo, NowMs, WindowMs, mayRebuild, options.Value.MaxSubscriptionsPerSession);
        if (attached.State == WelcomeState.Expired) return attached;

        // The older socket ends soon, but nobody waits for it: its silo may be the one that died.
        if (olderSilo is not null && olderGeneration < attached.Generation)
            _ = FenceAsync(olderSilo, attached.Generation, CloseCode.Superseded);
        if (attached.State == WelcomeState.Resumed) await WriteAsync();
        return attached;
    }

    public async Task<SessionCallStatus> ChangeAsync(SessionChange change)
    {
        await EnsureReadAsync();
        var status = _machine.Change(change);
        if (status == SessionCallStatus.Ok) await WriteAsync();
        return status;
    }

    public async Task<SessionCallStatus> CheckpointAsync(SessionCheckpoint checkpoint)
    {
        await EnsureReadAsync();
        var status = _machine.Checkpoint(checkpoint, checkpoint.Silo.ToParsableString(), NowMs);
        if (status == SessionCallStatus.Ok) await WriteAsync(due: checkpoint.Detached);
        return status;
    }

    public async Task<bool> CloseAsync(CloseCode code)
    {
        await EnsureReadAsync();
        var silo = storage.State.Silo;
        var existed = _machine.Close();
        if (!existed)
        {
            DeactivateOnIdle();
            return false;
        }

        if (silo is not null) await FenceAsync(silo, storage.State.Generation, code);
        await WriteTombstoneAsync();
        return true;
    }

    public async Task CloseUnknownAsync()
    {
        await EnsureReadAsync();
        _machine.Close();
        await WriteTombstoneAsync();
    }

    private async Task WriteTombstoneAsync()
    {
        try
        {
            await index.SetAsync(new SessionIndexEntry(_tenant, _session, string.Empty, time.GetUtcNow() + TombstoneFor));
            await storage.WriteStateAsync();
        }
        finally
        {
            // Also when it could not be stored: who tries again must be answered by what the store says, not by this memory.
            DeactivateOnIdle();
        }
    }

    public async Task<SessionDescription?> DescribeAsync()
    {
        await EnsureReadAsync();
        var state = storage.State;
        return state is { User: { } user, Closed: false }
            ? new SessionDescription(
                user, state.Silo is not null, state.Silo is null ? null : SiloAddress.FromParsableString(state.Silo), [.. state.Cursors.Keys])
            : null;
    }

    public async Task ExpireIfDueAsync()
    {
        await EnsureReadAsync();
        switch (_machine.Judge(NowMs, WindowMs, await IsHeldAsync()))
        {
            case ExpiryVerdict.Forget:
                // The entry last: a state without one would never be looked at again.
                await storage.ClearStateAsync();
                _machine = new SessionMachine(storage.State);
                await index.RemoveAsync(_tenant, _session);
                _indexed = false;
                metrics.Forgot();
                LogForgotten(_tenant, _session);
                DeactivateOnIdle();
                break;
            case ExpiryVerdict.StartWindow:
                await WriteAsync(due: true);
                break;
            default:
                await SetDueAsync();
                break;
        }
    }

    /// <summary>Makes sure that the state was read. Every call begins with it.</summary>
    /// <exception cref="LogUnavailableException">It still cannot be.</exception>
    private async ValueTask EnsureReadAsync()
    {
        if (!IsUnread) return;
        await storage.ReadStateAsync();
        if (IsUnread) throw new LogUnavailableException("The session cannot be read right now.");
        TakeState();
    }

    private void TakeState()
    {
        _machine = new SessionMachine(storage.State);
        _indexed = storage.RecordExists;
    }

    private async Task WriteAsync(bool due = false)
    {
        // The entry first: the sweep forgets an entry without a state, but would never find a state without an entry.
        var started = time.GetTimestamp();
        var stored = false;
        try
        {
            if (due || !_indexed) await SetDueAsync();

            // If this fails, the store may have lost the entry too before the next try.
            _indexed = false;
            await storage.WriteStateAsync();
            _indexed = stored = true;
        }
        finally
        {
            metrics.Wrote(time.GetElapsedTime(started), stored);
        }
    }

    private async Task SetDueAsync()
    {
        // One second later than the window, so that the sweep does not come just too early.
        var since = storage.State.DetachedAt > 0
            ? DateTimeOffset.FromUnixTimeMilliseconds(storage.State.DetachedAt) : time.GetUtcNow();
        await index.SetAsync(new SessionIndexEntry(
            _tenant, _session, storage.State.User ?? string.Empty, since + options.Value.ResumeWindow + TimeSpan.FromSeconds(1)));
        _indexed = true;
    }

    private async Task<bool> IsHeldAsync()
    {
        if (storage.State.Silo is not { } text) return false;
        var silo = SiloAddress.FromParsableString(text);
        if (!relays.IsLive(silo)) return false;
        try
        {
            return await relays.On(silo).HoldsAsync(_tenant, _session, storage.State.Generation);
        }
        catch (Exception e) when (Outage.Is(e))
        {
            // No answer is no proof: look again later.
            return true;
        }
    }

    private async Task FenceAsync(string silo, long generation, CloseCode code)
    {
        var address = SiloAddress.FromParsableString(silo);
        if (!relays.IsLive(address)) return;
        try
        {
            await relays.On(address).FenceAsync(_tenant, _session, generation, code);
        }
        catch (Exception e) when (Outage.Is(e))
        {
            // The older socket learns it at its next checkpoint.
            LogFenceFailed(_tenant, _session, address, e);
        }
    }

    [LoggerMessage(LogLevel.Debug, "Session {Tenant}/{Session} could not be written before its activation went")]
    private partial void LogNotWritten(string tenant, string session, Exception exception);

    [LoggerMessage(LogLevel.Debug, "Session {Tenant}/{Session} outlived its window and is forgotten")]
    private partial void LogForgotten(string tenant, string session);

    [LoggerMessage(LogLevel.Debug, "The older socket of {Tenant}/{Session} on {Silo} could not be told; its next call will be refused")]
    private partial void LogFenceFailed(string tenant, string session, SiloAddress silo, Exception exception);
}

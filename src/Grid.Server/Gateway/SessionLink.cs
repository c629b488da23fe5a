using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Gateway;

/// <summary>A change of a connection's subscriptions on its way to the session's grain.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Cursor">Where the subscription stands; null removes it.</param>
/// <param name="Done">Called when the grain has stored it (true), or could not be reached (false).</param>
internal readonly record struct LinkChange(string Channel, Position? Cursor, Action<bool> Done);

/// <summary>
/// A connection's way to its session's grain: one call at a time, so that a checkpoint never undoes a newer change; what comes
/// meanwhile goes with the next call.
/// </summary>
internal sealed partial class SessionLink(
    ClientConnection connection, ISessionGrain grain, GatewayMetrics metrics, TimeProvider time, ILogger logger)
{
    /// <summary>Pauses grow by a tenth of a second: together they are longer than a crashed silo takes to be noticed.</summary>
    private const int Attempts = 10;

    /// <summary>The most changes that wait or are on their way; past it the client is not read from.</summary>
    private const int MaxPending = 256;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly List<LinkChange> _changes = [];
    private bool _checkpoint;
    private bool _detach;
    private TaskCompletionSource? _detached;
    private TaskCompletionSource? _room;
    private int _pending;
    private bool _busy;

    /// <summary>Sends a change of subscriptions.</summary>
    public void Change(LinkChange change)
    {
        lock (_gate)
        {
            _changes.Add(change);
            _pending++;
        }

        Run();
    }

    /// <summary>Waits while too many changes are unanswered: a client that sends more is not read from until its store keeps up.</summary>
    public async ValueTask WaitForRoomAsync()
    {
        Task room;
        lock (_gate)
        {
            if (_pending < MaxPending) return;
            _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            room = _room.Task;
        }

        await room;
    }

    /// <summary>Reports the cursors.</summary>
    public void Checkpoint()
    {
        lock (_gate) _checkpoint = true;
        Run();
    }

    /// <summary>Reports the cursors a last time: the socket is gone.</summary>
    public Task DetachAsync()
    {
        Task detached;
        lock (_gate)
        {
            _detach = true;
            _detached ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            detached = _detached.Task;
        }

        Run();
        return detached;
    }

    private void Run()
    {
        lock (_gate)
        {
            if (_busy) return;
            _busy = true;
        }

        _ = RunAsync();
    }

    private async Task RunAsync()
    {
        while (true)
        {
            LinkChange[] changes;
            bool detach;
            lock (_gate)
            {
                changes = [.. _changes];
                _changes.Clear();
                detach = _detach && changes.Length == 0;
                if (changes.Length == 0 && !detach && !_checkpoint)
                {
                    _busy = false;
                    return;
                }

                if (changes.Length == 0) _checkpoint = _detach = false;
            }

            var status = await CallAsync(changes, detach);
            if (changes.Length == 0) metrics.Checkpointed(detach, status);
            foreach (var change in changes) Tell(change, status == SessionCallStatus.Ok);
            MakeRoom(changes.Length);
            if (detach) _detached!.TrySetResult();
            else if (status == SessionCallStatus.Fenced) connection.Close(CloseCode.Superseded, "A newer connection took the session over.");
            else if (status is null) connection.MarkDirty();
        }
    }

    private void MakeRoom(int answered)
    {
        lock (_gate)
        {
            _pending -= answered;
            if (_pending > MaxPending / 2) return;
            _room?.TrySetResult();
            _room = null;
        }
    }

    /// <summary>One call, retried while the grain cannot be reached; null: it could not, and nothing is known of the outcome.</summary>
    private async Task<SessionCallStatus?> CallAsync(LinkChange[] changes, bool detach)
    {
        var started = time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                if (changes.Length == 0) return await grain.CheckpointAsync(connection.MakeCheckpoint(detach));
                var status = await grain.ChangeAsync(MakeChange(changes));
                if (status != SessionCallStatus.Unknown) return status;

                // The grain lost its state: tell it everything, this change included.
                return await grain.CheckpointAsync(connection.MakeCheckpoint(detached: false));
            }
            catch (Exception e)
            {
                // A silo that died, or an activation whose state another one changed, is replaced at once. A store that is away stays
                // away for longer than a client should wait; but the last report of a socket that has gone has no other occasion.
                var retry = Outage.Is(e) && (detach || !Outage.IsOfStore(e));
                if (!retry || attempt == Attempts || time.GetElapsedTime(started) > Patience.ForClient)
                {
                    var level = Outage.LevelOf(e);
                    LogUnreachable(level, connection.Session, e);
                    return null;
                }

                await Task.Delay(Pause * attempt, time, CancellationToken.None);
            }
        }
    }

    /// <summary>Whatever a callback does, the loop must go on: others wait behind it.</summary>
    private void Tell(LinkChange change, bool stored)
    {
        try
        {
            change.Done(stored);
        }
        catch (Exception e)
        {
            LogCallbackFailed(connection.Session, e);
        }
    }

    private SessionChange MakeChange(LinkChange[] changes)
    {
        var change = new SessionChange { Generation = connection.Generation, Set = [], Removed = [] };
        foreach (var one in changes)
        {
            if (one.Cursor is { } cursor)
            {
                change.Set[one.Channel] = cursor;
                change.Removed.Remove(one.Channel);
            }
            else
            {
                change.Set.Remove(one.Channel);
                change.Removed.Add(one.Channel);
            }
        }

        return change;
    }

    [LoggerMessage(LogLevel.Error, "A change of session {Session} could not be confirmed to its client")]
    private partial void LogCallbackFailed(string session, Exception exception);

    [LoggerMessage("The grain of session {Session} could not be reached")]
    private partial void LogUnreachable(LogLevel level, string session, Exception exception);
}

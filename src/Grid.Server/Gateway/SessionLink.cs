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
    ClientConnection connection, ISessionGrain grain, Patience patience, GatewayMetrics metrics, ILogger logger)
{
    /// <summary>The most changes that wait or are on their way; past it the client is not read from.</summary>
    private const int MaxPending = 256;

    /// <summary>The changes that wait, and what guards all of this.</summary>
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
        lock (_changes)
        {
            _changes.Add(change);
            _pending++;
        }

        Run();
    }

    /// <summary>Waits while too many changes are unanswered: a client that sends more is not read from until its store keeps up.</summary>
    public Task WaitForRoomAsync()
    {
        lock (_changes)
        {
            if (_pending < MaxPending) return Task.CompletedTask;
            return (_room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Reports the cursors.</summary>
    public void Checkpoint()
    {
        lock (_changes)
        {
            // After the last report another would make the session look as if it had its socket still.
            if (_detached is not null) return;
            _checkpoint = true;
        }

        Run();
    }

    /// <summary>Reports the cursors a last time: the socket is gone.</summary>
    public Task DetachAsync()
    {
        Task detached;
        lock (_changes)
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
        lock (_changes)
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
            lock (_changes)
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
        lock (_changes)
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
        try
        {
            // The last report of a socket that has gone waits for a store too: it has no other occasion.
            return await patience.CallAsync(() => CallOnceAsync(changes, detach), Patience.ForClient, storeToo: detach);
        }
        catch (Exception e)
        {
            var level = Outage.LevelOf(e);
            LogUnreachable(level, connection.Session, e);
            return null;
        }
    }

    private async Task<SessionCallStatus> CallOnceAsync(LinkChange[] changes, bool detach)
    {
        if (changes.Length == 0) return await grain.CheckpointAsync(connection.MakeCheckpoint(detach));
        var change = MakeChange(changes);
        var status = await grain.ChangeAsync(change);
        if (status != SessionCallStatus.Unknown) return status;

        // The grain lost its state: tell it everything, this change included.
        var checkpoint = connection.MakeCheckpoint(detached: false);
        foreach (var (channel, cursor) in change.Set) checkpoint.Cursors[channel] = cursor;
        foreach (var channel in change.Removed) checkpoint.Cursors.Remove(channel);
        return await grain.CheckpointAsync(checkpoint);
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

namespace Grid.Server.Webhooks.Delivery;

// Replays: one at a time, beside the subscription's own cursors.
internal sealed partial class WebhookMachine
{
    private ReplayJob? _replay;

    /// <summary>The replay under way; null for none.</summary>
    public (string Id, ReplayProgress Progress)? Replay => _replay is { } job ? (job.Id, job.Progress) : null;

    /// <summary>
    /// Starts a replay. Parallel: a message that fails is parked durably and tried again like any other. Keyed and ordered: one
    /// message at a time, and one that fails is waited for (by the replay alone). False: another one is under way.
    /// </summary>
    /// <param name="id">Names it.</param>
    /// <param name="ranges">From where to where.</param>
    /// <param name="perSecond">Its rate, in messages per second; more than 0.</param>
    /// <param name="nowMs">The time.</param>
    public bool StartReplay(string id, IReadOnlyCollection<ReplayRange> ranges, double perSecond, long nowMs)
    {
        if (_replay is not null) return false;
        _replay = new ReplayJob(id, ranges, perSecond, nowMs);
        _writes.Changed(nowMs);
        EndReplayIfDone(nowMs);
        return true;
    }

    /// <summary>Ends a replay before its time. False: it is not under way.</summary>
    public bool CancelReplay(string id, long nowMs)
    {
        if (_replay is not { } job || job.Id != id) return false;
        foreach (var channel in job.Channels) CloseAll(channel);
        _writes.Add(new WebhookEffect.ReplayEnded(id, job.Progress, Cancelled: true), nowMs, atOnce: true);
        _replay = null;
        return true;
    }

    private void EndReplayIfDone(long nowMs)
    {
        if (_replay is not { } job) return;
        _writes.Changed(nowMs);
        job.Channels.RemoveAll(c => c.Backlog == 0);
        if (job.Channels.Count > 0) return;
        _writes.Add(new WebhookEffect.ReplayEnded(job.Id, job.Progress, Cancelled: false), nowMs);
        _replay = null;
    }

    private void LetReplayGo(ReplayJob job)
    {
        while (job.Ready.TryDequeue(out var entry))
        {
            if (entry.State != EntryState.Queued) continue;
            Close(entry);
            entry.Channel.Rewind(entry.Ref.Offset - 1);
        }
    }
}

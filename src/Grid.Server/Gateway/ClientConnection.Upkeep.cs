using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Gateway;

/// <content>Heartbeat, expiry, checkpoints and close.</content>
internal sealed partial class ClientConnection
{
    private static readonly TimeSpan FlushPatience = TimeSpan.FromSeconds(2);

    /// <summary>How long the answer to a client's close waits for the session's last report.</summary>
    private static readonly TimeSpan ReportPatience = TimeSpan.FromSeconds(1);

    private const long ClosePatienceMs = 3000;

    private readonly long _openedAt = Environment.TickCount64;
    private volatile bool _closing;
    private int _closeSent;

    /// <summary>Whether the peer's close is to be answered: no close of the server's own went out before it.</summary>
    private bool _answers;
    private long _closeDeadline;
    private long _pingedAt;

    /// <summary>When the next checkpoint is due, by <see cref="Environment.TickCount64"/>; 0: there is nothing to report.</summary>
    private long _reportAt;
    private bool _warnedOfExpiry;

    /// <inheritdoc/>
    public void Tick(long now)
    {
        if (_closing)
        {
            if (now > Volatile.Read(ref _closeDeadline)) _abort();
            return;
        }

        if (!_welcomed)
        {
            // That a hello is answered late is not its client's fault: it may come again.
            var limit = _services.Options.HelloTimeout * (_helloCame ? 2 : 1);
            if (now - _openedAt <= limit.TotalMilliseconds) return;
            if (_helloCame) Close(CloseCode.ServerFault, "The session cannot be taken up right now; try again.");
            else Close(CloseCode.Unauthorized, "No hello came in time.");
            return;
        }

        CheckHeartbeat(now);
        CheckExpiry();
        if (Volatile.Read(ref _reportAt) is > 0 and var reportAt && now >= reportAt)
        {
            Volatile.Write(ref _reportAt, 0);
            _link!.Checkpoint();
        }
    }

    /// <inheritdoc/>
    public void GoAway(TimeSpan reconnectIn) => Send(new GoAwayFrame("drain", (long)reconnectIn.TotalMilliseconds));

    /// <inheritdoc/>
    public void ReportWithin(TimeSpan delay)
    {
        var at = Environment.TickCount64 + (long)delay.TotalMilliseconds;
        for (var planned = Volatile.Read(ref _reportAt); planned == 0 || planned > at;)
        {
            var seen = Interlocked.CompareExchange(ref _reportAt, at, planned);
            if (seen == planned) return;
            planned = seen;
        }
    }

    /// <inheritdoc/>
    public void CloseForDrain() => Close(CloseCode.Drain, "The silo is leaving.");

    /// <inheritdoc/>
    public void Close(CloseCode code, string reason)
    {
        if (Interlocked.Exchange(ref _closeSent, 1) != 0) return;
        _services.Metrics.Closed(code);

        // A peer that was silent for two heartbeats will not answer a close either.
        Volatile.Write(ref _closeDeadline, Environment.TickCount64 + (code == CloseCode.HeartbeatMissed ? 0 : ClosePatienceMs));
        _closing = true;
        _stream.Outbound.Write(WebSocketFraming.CloseFrame((int)code, reason));
    }

    /// <inheritdoc/>
    public ConnectedSession Describe()
    {
        lock (_subscriptions) return new ConnectedSession(Session, User, [.. _subscriptions.Keys]);
    }

    /// <summary>All that the session's grain needs to know of this socket.</summary>
    public SessionCheckpoint MakeCheckpoint(bool detached)
    {
        // A connection that ends while it takes its session up says nothing of what it had not joined yet: all of it stays.
        var cursors = _resuming is null
            ? new Dictionary<string, Position>(StringComparer.Ordinal) : new Dictionary<string, Position>(_resuming, StringComparer.Ordinal);
        lock (_subscriptions)
        {
            foreach (var (channel, subscription) in _subscriptions) cursors[channel] = subscription.Acked;
        }

        return new SessionCheckpoint
        {
            Generation = Generation, User = User, Silo = _services.Silo, Cursors = cursors, Detached = detached,
        };
    }

    /// <summary>What is stored is behind: the next checkpoint is due an interval from the first change on.</summary>
    public void MarkDirty() => Interlocked.CompareExchange(
        ref _reportAt, Environment.TickCount64 + (long)_services.Options.CheckpointInterval.TotalMilliseconds, 0);

    /// <summary>
    /// The peer has closed, or is gone: nothing is sent to it any more but the answer to its close, whatever else would now close it.
    /// </summary>
    private void OnPeerClosed()
    {
        _peerClosed = true;
        _answers = Interlocked.Exchange(ref _closeSent, 1) == 0;
        if (_answers) Volatile.Write(ref _closeDeadline, Environment.TickCount64 + ClosePatienceMs);
        _closing = true;
    }

    /// <summary>Waits until the session's last report has ended, somehow; but for no longer than patience.</summary>
    private async Task AwaitReportAsync(Task report)
    {
        if (report.IsCompleted) return;
        var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // It ends with the wait: many connections may end at once, and none should leave a timer behind.
        await using var timer = _services.Time.CreateTimer(
            static s => ((TaskCompletionSource)s!).TrySetResult(), enough, ReportPatience, Timeout.InfiniteTimeSpan);
        _ = EndWithAsync();
        await enough.Task;

        async Task EndWithAsync()
        {
            await report.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            enough.TrySetResult();
        }
    }

    /// <summary>RFC 6455 section 5.5.1: a close is answered by a close, typically with the same code.</summary>
    private void AnswerClose(int? code)
    {
        if (_answers && code is not null) _stream.Outbound.Write(WebSocketFraming.CloseFrame(code.Value, string.Empty));
    }

    private void CheckHeartbeat(long now)
    {
        var heartbeat = (long)_services.Options.Heartbeat.TotalMilliseconds;
        var idle = now - Math.Max(_stream.LastReceived, _stream.Outbound.LastProgress);
        if (idle < heartbeat) return;
        if (_pingedAt == 0 || _stream.LastReceived >= _pingedAt)
        {
            _pingedAt = now;
            _stream.Outbound.Write(WebSocketFraming.Ping);
        }
        else if (idle >= 2 * heartbeat)
        {
            Close(CloseCode.HeartbeatMissed, "Nothing was heard for two heartbeats.");
        }
    }

    private void CheckExpiry()
    {
        if (_warnedOfExpiry || _caller.ExpiresAt is not { } expiresAt || expiresAt > _services.Time.GetUtcNow()) return;
        _warnedOfExpiry = true;
        Send(new ErrorFrame(null, ErrorCode.Unauthorized, "The token has expired."));
        Close(CloseCode.Unauthorized, "The token has expired.");
    }
}

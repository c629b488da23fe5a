using Grid.Protocol;

namespace Grid.Client;

/// <content>What frames mean, what is sent next, and what is due when.</content>
public sealed partial class GridClient
{
    /// <summary>What a gap counts for in the bounds of a queue, in bytes.</summary>
    private const int GapSize = 128;

    /// <summary>How long the receive loop waits for a consumer without room, and how long when an answer is awaited meanwhile.</summary>
    private static readonly TimeSpan MaxBlock = TimeSpan.FromSeconds(2), MaxBlockAwaited = TimeSpan.FromMilliseconds(100);

    private static readonly string DefaultName = $"grid-dotnet/{typeof(GridClient).Assembly.GetName().Version?.ToString(3)}";

    /// <summary>Takes up a welcomed connection: what goes on by itself is live, all else is asked for again.</summary>
    private Link Attach(IGridConnection connection, WelcomeFrame welcome)
    {
        Link link;
        SessionExpiredEventArgs? expired = null;
        ConnectionState previous;
        lock (Gate)
        {
            link = new Link(connection, welcome, Options.HeartbeatMisses, Now);
            _link = link;
            _reconnect.Connected(Now);
            _acks.Clear();
            if (_session is { } old && welcome.State != WelcomeState.Resumed) expired = new SessionExpiredEventArgs(old, welcome.Session);
            (_session, _resumeToken, _maxFrameBytes) = (welcome.Session, welcome.ResumeToken, welcome.MaxFrameBytes);
            foreach (var listed in welcome.Subscriptions)
            {
                var server = new Position(listed.Epoch, listed.Cursor);
                if (_subscriptions.TryGetValue(listed.Channel, out var subscription) && !subscription.Paused
                    && (subscription.Tracker.Received is not null || (_importing && subscription.Options.UseResumed(subscription.From))))
                {
                    GoLive(subscription, server);
                    continue;
                }

                // Of another process whose session this is, and not asked for here yet: its cursor is kept for when it is. Else ended
                // or paused while the server could not be told.
                if (_importing && subscription is null && _restored.Count < WireLimits.MaxCursors) _restored.TryAdd(listed.Channel, server);
                Unsubscribe(link, listed.Channel);
            }

            _importing = false;
            foreach (var subscription in _subscriptions.Values) Ask(subscription);
            link.Outgoing.Set();
            ScheduleAt(link.Heartbeat.NextAt);
            (previous, _state) = (_state, ConnectionState.Connected);
        }

        Raise(StateChanged, new StateChangedEventArgs(ConnectionState.Connected, previous, null));
        if (expired is not null) Raise(SessionExpired, expired);
        _welcomed.TrySetResult();
        return link;
    }

    /// <summary>A connection is gone, and with it every answer that was on its way.</summary>
    private void Detach(Link link)
    {
        lock (Gate)
        {
            _link = null;
            _publishes.Disconnected(Now);
            AfterPublishes();
            foreach (var request in link.Requests.Values) request.Done?.TrySetResult(null);
            foreach (var subscription in _subscriptions.Values)
            {
                subscription.Wire = Subscription.WireState.Off;
                subscription.RetryAt = null;
            }
        }
    }

    /// <summary>
    /// Takes in a message or a gap. While the consumer's queue is full it waits, which stops the reading of the socket; past its
    /// patience it leaves the channel instead, to be asked for again when the consumer has caught up. Without that, a handler that
    /// waits for an answer on this very connection would wait for ever.
    /// </summary>
    private async ValueTask<ConnectionEnd?> AcceptAsync(Link link, ServerFrame frame, int size, CancellationToken cancellationToken)
    {
        var channel = frame is MessageFrame { Channel: var c } ? c : ((GapFrame)frame).Channel;
        TimeSpan? since = null;
        while (true)
        {
            lock (Gate)
            {
                link.BlockedUntil = null;
                var now = Now;
                // After a wait here, the silence was the client's own.
                if (since is not null) link.Heartbeat.Received(now);

                // What is not live is of an older subscription, on its way since before the server knew.
                if (link.Closing is not null
                    || !_subscriptions.TryGetValue(channel, out var subscription)
                    || subscription is not { Wire: Subscription.WireState.Live, Ended: false })
                    return null;
                if (subscription.HasRoom(size) || (frame is MessageFrame early && !subscription.Tracker.IsNext(early.Message.Offset)))
                    return Take(subscription, frame, size);

                since ??= now;
                var patience = _publishes.Count > 0 || link.Requests.Count > 0 ? MaxBlockAwaited : MaxBlock;
                if (now - since >= patience)
                {
                    subscription.Paused = true;
                    subscription.Wire = Subscription.WireState.Off;
                    _acks.Forget(channel);
                    Unsubscribe(link, channel);
                    return null;
                }

                link.BlockedUntil = since + patience;
                ScheduleAt(link.BlockedUntil.Value);
            }

            await _unblocked.WaitAsync(cancellationToken);
        }
    }

    private static ConnectionEnd? Take(Subscription subscription, ServerFrame frame, int size)
    {
        var tracker = subscription.Tracker;
        Arrival arrival;
        if (frame is MessageFrame { Message: var message })
        {
            arrival = tracker.Message(message.Offset);
            if (arrival == Arrival.Deliver) subscription.Enqueue(tracker.Received!.Value, message, null, size);
        }
        else
        {
            var gap = (GapFrame)frame;
            arrival = tracker.Gap(ref gap);
            if (arrival == Arrival.Deliver) subscription.Enqueue(tracker.Received!.Value, null, gap, GapSize);
        }

        return arrival != Arrival.Hole ? null : new ConnectionEnd
        {
            Reason = $"Messages of {subscription.Channel} are missing after {tracker.Received}.",
            Fault = Broken($"a hole in {subscription.Channel} after {tracker.Received}"),
        };
    }

    /// <summary>Takes in any other frame. A result ends the connection.</summary>
    private ConnectionEnd? Handle(Link link, ServerFrame frame)
    {
        GridException? tell = null;
        GoAwayEventArgs? goAway = null;
        lock (Gate)
        {
            switch (frame)
            {
                case PublishedFrame { Id: { } id } published when _publishes.TryStored(id, Now, out var publish):
                    publish.Answer.TrySetResult(new PublishReceipt(published.Epoch, published.Offset, published.Duplicate));
                    AfterPublishes();
                    break;
                case SubscribedFrame { Id: { } id } subscribed when link.Requests.Remove(id, out var request):
                    if (request.Subscription is { Ended: false, Wire: Subscription.WireState.Asked } subscription)
                        GoLive(subscription, new Position(subscribed.Epoch, subscribed.Cursor));
                    break;
                case UnsubscribedFrame { Id: { } id } when link.Requests.Remove(id, out var request):
                    request.Done?.TrySetResult(frame);
                    break;
                case AuthorizedFrame { Id: { } id } when link.Requests.Remove(id, out var request):
                    request.Done?.TrySetResult(frame);
                    break;
                case ErrorFrame error:
                    tell = OnError(link, error);
                    break;
                case GoAwayFrame away:
                    var delay = TimeSpan.FromMilliseconds(Math.Clamp(away.ReconnectInMs, 0, (long)ReconnectPolicy.MaxGoAwayDelay.TotalMilliseconds));
                    _reconnect.GoAway(delay, Now);
                    ScheduleAt(_reconnect.GoAwayAt!.Value);
                    goAway = new GoAwayEventArgs(away.Reason, delay);
                    break;
            }
        }

        if (tell is not null) Raise(Error, new GridErrorEventArgs(tell));
        if (goAway is not null) Raise(GoAway, goAway);
        return null;
    }

    private GridException? OnError(Link link, ErrorFrame frame)
    {
        if (frame.Code == ErrorCode.Unauthorized) link.Refresh.Set();
        if (frame.Id is not { } id) return GridException.From(frame);
        if (link.Requests.Remove(id, out var request))
        {
            request.Done?.TrySetResult(frame);
            return request.Subscription is { } subscription ? OnSubscribeRefused(subscription, frame) : null;
        }

        if (_publishes.Find(id) is not { } publish) return null;
        var error = GridException.From(frame, publish.Channel);
        if (MayPass(frame.Code)) _publishes.TryRefuse(id, error, Now);
        else if (_publishes.TryRemove(id, Now, out _)) publish.Answer.TrySetException(error);
        AfterPublishes();
        return null;
    }

    /// <summary>The next frame to send: requests, then acks, then publishes, then those without an answer.</summary>
    private ReadOnlyMemory<byte>? TakeNext(Link link)
    {
        lock (Gate)
        {
            var closing = link.Closing is not null;
            if (!closing && link.Control.TryDequeue(out var control)) return Encode(control);
            while (closing ? _acks.DueAt is not null : _acks.IsDue(Now))
            {
                var cursors = new Dictionary<string, long>(StringComparer.Ordinal);
                _acks.Take(cursors, link.MaxFrameBytes / 2);
                if (cursors.Count > 0) return Encode(new AckFrame { Cursors = cursors });
            }

            if (closing) return null;
            while (_publishes.TryTakeNext(out var publish))
            {
                if (publish.Frame.Length <= link.MaxFrameBytes) return publish.Frame;
                // Queued when the limit was not known yet. Sent, it would end the client for good.
                if (_publishes.TryRemove(publish.Id, Now, out _)) publish.Answer.TrySetException(TooLarge(publish.Channel));
            }

            // Not a conditional expression: its null would be an empty frame, because arrays convert to memory.
            if (link.Ephemeral.TryDequeue(out var ephemeral)) return ephemeral;
            return null;
        }
    }

    private static void Send(Link link, ClientFrame frame)
    {
        link.Control.Enqueue(frame);
        link.Outgoing.Set();
    }

    private void BeginClose(Link link, ConnectionEnd end)
    {
        link.Closing ??= end;
        link.Outgoing.Set();
        _unblocked.Set();
    }

    /// <summary>Everything that is due by the clock, in one place.</summary>
    private void OnTimer()
    {
        lock (Gate)
        {
            if (_end is not null) return;
            var now = Now;
            _timerAt = TimeSpan.MaxValue;
            ExpirePublishes(now);
            _publishes.Release(now);
            AfterPublishes();
            ScheduleAfter(_publishes.NextDeadline, now);
            if (_link is not { } link) return;

            if (link.BlockedUntil is { } blockedUntil && blockedUntil <= now) _unblocked.Set();
            if (link.BlockedUntil is null) CheckHeartbeat(link, now);
            if (_acks.IsDue(now)) link.Outgoing.Set();
            if (_reconnect.GoAwayAt <= now) BeginClose(link, new ConnectionEnd { Reason = "goaway" });
            foreach (var subscription in _subscriptions.Values)
            {
                if (subscription.RetryAt <= now)
                {
                    subscription.RetryAt = null;
                    Ask(subscription);
                }

                ScheduleAfter(subscription.RetryAt, now);
            }

            ScheduleAfter(link.BlockedUntil, now);
            // At a time that has passed while the receive loop waits, look again a little later.
            ScheduleAt(link.Heartbeat.NextAt > now ? link.Heartbeat.NextAt : now + MaxBlock);
            ScheduleAfter(_acks.DueAt, now);
            ScheduleAfter(_reconnect.GoAwayAt, now);
        }
    }

    private static void CheckHeartbeat(Link link, TimeSpan now)
    {
        switch (link.Heartbeat.Check(now))
        {
            case HeartbeatAction.Ping:
                Send(link, PingFrame.Instance);
                break;
            case HeartbeatAction.Dead:
                link.Aborted.TrySetResult(new ConnectionEnd
                {
                    Reason = "Nothing was heard from the server.",
                    Fault = new GridException(GridErrorCodes.Connection, "Nothing was heard from the server."),
                });
                break;
        }
    }

    /// <summary>What is due already has been acted upon: only later times need the timer.</summary>
    private void ScheduleAfter(TimeSpan? at, TimeSpan now)
    {
        if (at > now) ScheduleAt(at.Value);
    }

    /// <summary>Has <see cref="OnTimer"/> run at <paramref name="at"/> or before. Under <see cref="Gate"/>.</summary>
    private void ScheduleAt(TimeSpan at)
    {
        if (at >= _timerAt || _end is not null) return;
        _timerAt = at;
        // Timers count whole milliseconds and cut off the rest: rounded up, nothing is found not quite due.
        var delay = Math.Clamp(Math.Ceiling((at - Now).TotalMilliseconds), 0, int.MaxValue);
        _timer.Change(TimeSpan.FromMilliseconds(delay), Timeout.InfiniteTimeSpan);
    }

    private void SetState(ConnectionState state, GridException? error)
    {
        ConnectionState previous;
        lock (Gate) (previous, _state) = (_state, state);
        if (previous != state) Raise(StateChanged, new StateChangedEventArgs(state, previous, error));
    }

    /// <summary>The end: nobody is left waiting.</summary>
    private void Shut(GridException end)
    {
        bool byCaller;
        lock (Gate)
        {
            byCaller = _stopping;
            _end = end;
            FailPublishes(end);
            // They stay in the table, for ExportSession.
            foreach (var subscription in _subscriptions.Values) subscription.End(byCaller ? null : end);
        }

        SetState(ConnectionState.Closed, byCaller ? null : end);
        _welcomed.TrySetException(end);
        _ = _welcomed.Task.Exception;
    }

    /// <summary>Events are the application's code: what they throw must not end a loop.</summary>
    private void Raise<T>(EventHandler<T>? handlers, T args)
    {
        try
        {
            handlers?.Invoke(this, args);
        }
        catch (Exception e) when (args is not GridErrorEventArgs)
        {
            Raise(Error, new GridErrorEventArgs(new GridException(GridErrorCodes.HandlerFailed, $"An event handler failed: {e.Message}", e)));
        }
        catch (Exception)
        {
            // The handler of Error itself failed: there is nobody left to tell.
        }
    }
}

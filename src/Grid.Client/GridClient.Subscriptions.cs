using Grid.Protocol;

namespace Grid.Client;

/// <content>Subscribing, and handing messages to consumers.</content>
public sealed partial class GridClient
{
    /// <summary>Notes that a consumer finished with something. Under <see cref="Gate"/>.</summary>
    internal void OnFinished(Subscription subscription)
    {
        if (subscription.Wire == Subscription.WireState.Live)
        {
            _acks.Finished(subscription.Channel, subscription.Tracker, Now);
            if (_acks.IsDue(Now)) _link?.Outgoing.Set();
            else if (_acks.DueAt is { } due) ScheduleAt(due);
        }

        if (subscription.Paused && subscription.Tracker.IsDrained)
        {
            subscription.Paused = false;
            Ask(subscription);
        }
    }

    /// <summary>A queue has more room than before. Under <see cref="Gate"/>.</summary>
    internal void OnRoom()
    {
        if (_link?.BlockedUntil is not null) _unblocked.Set();
    }

    /// <summary>A consumer comes to a gap.</summary>
    internal async ValueTask OnGapReachedAsync(Subscription subscription, GridGap gap)
    {
        if (subscription.Options.OnGap is { } onGap) await onGap(gap, _handlers.Token);
        Raise(Gap, new GapEventArgs(gap));
    }

    /// <summary>See <see cref="Subscription.UnsubscribeAsync"/>.</summary>
    internal async Task LeaveAsync(Subscription subscription, CancellationToken cancellationToken)
    {
        Task<ServerFrame?>? confirmed;
        lock (Gate) confirmed = Leave(subscription, null);
        if (confirmed is null) return;
        try
        {
            await confirmed.WaitAsync(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        }
        catch (TimeoutException e)
        {
            throw Late("unsubscribe", subscription.Channel, e);
        }
    }

    private Subscription Add(string channel, StartPoint from, SubscribeOptions options)
    {
        CheckChannel(channel);
        lock (Gate)
        {
            if (_end is not null || _stopping) throw Ended(channel);
            if (_subscriptions.ContainsKey(channel))
                throw new GridException(GridErrorCodes.AlreadySubscribed, $"{channel}: this client has a subscription already.") { Channel = channel };
            Position? cursor = _restored.Remove(channel, out var restored) && options.UseResumed(from) ? restored
                : from.Kind == StartKind.Position ? from.Position
                : null;
            var attempts = new Backoff(PublishQueue.RetryMin, PublishQueue.RetryMax, Options.Random);
            var subscription = new Subscription(this, channel, from, options, cursor, attempts);
            _subscriptions.Add(channel, subscription);
            Ask(subscription);
            return subscription;
        }
    }

    private async Task ReadyAsync(Subscription subscription, CancellationToken cancellationToken)
    {
        try
        {
            await subscription.Ready.Task.WaitAsync(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            lock (Gate) Leave(subscription, null);
            if (e is TimeoutException) throw Late("subscribe", subscription.Channel, e);
            throw;
        }
    }

    private GridException Late(string what, string channel, Exception inner) =>
        new(GridErrorCodes.Timeout, $"The server did not answer {what} within {Options.RequestTimeout}.", inner) { Channel = channel };

    /// <summary>
    /// Ends a subscription, for the application or because of <paramref name="error"/>. The task tells when the server has confirmed;
    /// null when there is nothing to confirm. Under <see cref="Gate"/>.
    /// </summary>
    private Task<ServerFrame?>? Leave(Subscription subscription, GridException? error)
    {
        if (subscription.Ended) return null;
        subscription.End(error);
        _subscriptions.Remove(subscription.Channel);
        _acks.Forget(subscription.Channel);
        OnRoom();
        if (_link is not { Closing: null } link || subscription.Wire == Subscription.WireState.Off) return null;
        subscription.Wire = Subscription.WireState.Off;
        return Unsubscribe(link, subscription.Channel);
    }

    private Task<ServerFrame?> Unsubscribe(Link link, string channel)
    {
        var done = new TaskCompletionSource<ServerFrame?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var id = ++_lastId;
        link.Requests.Add(id, new Request(null, done));
        Send(link, new UnsubscribeFrame { Id = id, Channel = channel });
        return done.Task;
    }

    /// <summary>Asks the server for a subscription that it does not send. Under <see cref="Gate"/>.</summary>
    private void Ask(Subscription subscription)
    {
        if (_link is not { Closing: null } link || subscription is not { Wire: Subscription.WireState.Off, Paused: false, Ended: false, RetryAt: null })
            return;
        var from = subscription.Tracker.Processed is { } cursor ? StartPoint.After(cursor) : subscription.From;
        var id = ++_lastId;
        subscription.Wire = Subscription.WireState.Asked;
        link.Requests.Add(id, new Request(subscription, null));
        Send(link, new SubscribeFrame { Id = id, Channel = subscription.Channel, From = from, HasFrom = from.Kind != StartKind.Now });
    }

    /// <summary>The server sends from after <paramref name="server"/> on. Under <see cref="Gate"/>.</summary>
    private static void GoLive(Subscription subscription, Position server)
    {
        subscription.Wire = Subscription.WireState.Live;
        subscription.Attempts.Reset();
        if (subscription.Tracker.Resumed(subscription.Channel, server) is { } gap)
            subscription.Enqueue(subscription.Tracker.Received!.Value, null, gap, GapSize);
        subscription.Ready.TrySetResult();
    }

    /// <summary>The server refused a <c>subscribe</c>. Returns what is to be told. Under <see cref="Gate"/>.</summary>
    private GridException? OnSubscribeRefused(Subscription subscription, ErrorFrame frame)
    {
        if (subscription.Ended || subscription.Wire != Subscription.WireState.Asked) return null;
        subscription.Wire = Subscription.WireState.Off;
        var error = GridException.From(frame, subscription.Channel);
        if (MayPass(frame.Code))
        {
            var delay = subscription.Attempts.Next(Now);
            subscription.RetryAt = Now + (error.RetryAfter is { } after && after > delay ? after : delay);
            ScheduleAt(subscription.RetryAt.Value);
            return null;
        }

        var wasReady = subscription.Ready.Task.IsCompletedSuccessfully;
        Leave(subscription, error);
        return wasReady ? error : null;
    }

    /// <summary>Whether a refusal is worth another try, without the application's doing.</summary>
    private bool MayPass(ErrorCode code) =>
        code is ErrorCode.Unavailable or ErrorCode.RateLimited || (code == ErrorCode.Unauthorized && _tokens.CanRefresh);

    private void StartPump(Subscription subscription, Func<GridMessage, CancellationToken, ValueTask> handler)
    {
        lock (Gate)
        {
            Task? self = null;
            self = Task.Run(async () =>
            {
                await PumpAsync(subscription, handler);
                lock (Gate) _pumps.Remove(self!);
            });
            _pumps.Add(self);
        }
    }

    /// <summary>Hands one message after the other to a handler, until the subscription ends. Throws nothing.</summary>
    private async Task PumpAsync(Subscription subscription, Func<GridMessage, CancellationToken, ValueTask> handler)
    {
        _inHandler.Value = true;
        while (true)
        {
            try
            {
                if (await subscription.NextAsync(_handlers.Token) is not { } message) return;
                await handler(message, _handlers.Token);
            }
            catch (OperationCanceledException) when (_handlers.IsCancellationRequested)
            {
                return;
            }
            catch (GridException e) when (subscription.EndedWith(e))
            {
                return;
            }
            catch (Exception e)
            {
                // The handler is the application's: whatever it throws is its own to judge.
                if (!Skips(subscription, e)) return;
            }
        }
    }

    private bool Skips(Subscription subscription, Exception thrown)
    {
        var error = new GridException(GridErrorCodes.HandlerFailed, $"A handler of {subscription.Channel} failed: {thrown.Message}", thrown)
        {
            Channel = subscription.Channel,
        };
        var next = HandlerFailure.End;
        try
        {
            next = subscription.Options.OnError?.Invoke(error) ?? HandlerFailure.End;
        }
        catch (Exception e)
        {
            Raise(Error, new GridErrorEventArgs(new GridException(GridErrorCodes.HandlerFailed, $"OnError failed: {e.Message}", e)));
        }

        if (next == HandlerFailure.Skip) return true;
        lock (Gate) Leave(subscription, error);
        Raise(Error, new GridErrorEventArgs(error));
        return false;
    }
}

using Grid.Protocol;

namespace Grid.Client;

/// <content>The client's life, and the life of each of its connections.</content>
public sealed partial class GridClient
{
    private static readonly TimeSpan CloseHandshake = TimeSpan.FromSeconds(1);

    /// <summary>The whole life: connection after connection, until the application or the server ends it for good.</summary>
    private async Task RunAsync()
    {
        var end = new GridException(GridErrorCodes.Closed, "The client was closed.");
        try
        {
            SetState(ConnectionState.Connecting, null);
            while (true)
            {
                var ended = await RunConnectionAsync();
                if (ended.CloseCode == (int)CloseCode.Unauthorized) _tokens.Refused();
                NextStep next;
                lock (Gate) next = _reconnect.Ended(ended, Now);
                if (next.Fatal is { } fatal)
                {
                    end = fatal;
                    return;
                }

                var cause = ended.Fault as GridException
                    ?? new GridException(GridErrorCodes.Connection, ended.Reason, ended.Fault) { CloseCode = ended.CloseCode };
                if (State != ConnectionState.Connecting) SetState(ConnectionState.Reconnecting, cause);
                Raise(Error, new GridErrorEventArgs(cause));
                await Task.Delay(next.Delay, Options.TimeProvider, _stop.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Closed by the application while waiting.
        }
        catch (Exception e)
        {
            // A fault of this library must not leave callers waiting for ever.
            end = new GridException(ErrorCode.Internal.Name(), $"The client failed: {e.Message}", e);
        }
        finally
        {
            Shut(end);
        }
    }

    /// <summary>
    /// One connection: open it, say hello, run the loops until the first of them ends, put everything back. It throws nothing.
    /// </summary>
    private async Task<ConnectionEnd> RunConnectionAsync()
    {
        using var life = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        IGridConnection? connection = null;
        Link? link = null;
        List<Task<ConnectionEnd>> loops = [];
        try
        {
            using (var limit = new CancellationTokenSource(Options.ConnectTimeout, Options.TimeProvider))
            using (var opening = CancellationTokenSource.CreateLinkedTokenSource(life.Token, limit.Token))
            {
                var token = await _tokens.GetAsync(opening.Token);
                connection = await Options.Transport.ConnectAsync(Options.WebSocketUri, Options.Codec.Subprotocol, opening.Token);
                await connection.SendAsync(Encode(Hello(token)), Options.Codec.IsText, opening.Token);
                var (welcome, refused) = await ReceiveWelcomeAsync(connection, opening.Token);
                if (welcome is null) return refused!;
                link = Attach(connection, welcome);
            }

            var receiving = ReceiveLoopAsync(link, life.Token);
            loops.AddRange([receiving, SendLoopAsync(link, life.Token), link.Aborted.Task]);
            if (_tokens.CanRefresh) loops.Add(RefreshLoopAsync(link, life.Token));

            var first = await Task.WhenAny(loops);
            if (first != receiving && first != link.Aborted.Task)
            {
                // A close that was sent waits for its echo; a send that failed, for the close code that tells why.
                try
                {
                    var close = await receiving.WaitAsync(CloseHandshake, Options.TimeProvider, life.Token);
                    if (link.Closing is null) return close;
                }
                catch (Exception) when (first.IsCompletedSuccessfully || !life.IsCancellationRequested)
                {
                    // Nothing was to be learned: the first end stands.
                }
            }

            return await first;
        }
        catch (OperationCanceledException e)
        {
            return _stop.IsCancellationRequested
                ? new ConnectionEnd { Reason = "closed", ByCaller = true }
                : new ConnectionEnd { Reason = $"No welcome within {Options.ConnectTimeout}.", Fault = e };
        }
        catch (Exception e)
        {
            // Sockets, name resolution, TLS, the token provider: whatever it was, the answer is to try again.
            return new ConnectionEnd { Reason = e.Message, Fault = e };
        }
        finally
        {
            // First the loops, then the state: a loop still running could take a publish that was just put back for the next
            // connection, and lose it with this one.
            await life.CancelAsync();
            link?.Aborted.TrySetResult(new ConnectionEnd { Reason = "ended" });
            await ((Task)Task.WhenAll(loops)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (link is not null) Detach(link);
            if (connection is not null) await connection.DisposeAsync();
        }
    }

    private async ValueTask<(WelcomeFrame? Welcome, ConnectionEnd? Refused)> ReceiveWelcomeAsync(
        IGridConnection connection, CancellationToken cancellationToken)
    {
        var said = "";
        while (true)
        {
            var incoming = await connection.ReceiveAsync(cancellationToken);
            if (incoming.CloseCode is { } code)
                return (null, new ConnectionEnd { CloseCode = code, Reason = incoming.CloseReason.Length > 0 ? incoming.CloseReason : said });
            switch (Options.Codec.DecodeServer(incoming.Frame).Frame)
            {
                case WelcomeFrame welcome:
                    return (welcome, null);
                case ErrorFrame error:
                    said = $"{error.Code.Name()}: {error.Message}";
                    break;
                default:
                    return (null, new ConnectionEnd { Reason = "The server's first frame was no welcome.", Fault = Broken("no welcome") });
            }
        }
    }

    private async Task<ConnectionEnd> ReceiveLoopAsync(Link link, CancellationToken cancellationToken)
    {
        while (true)
        {
            var incoming = await link.Connection.ReceiveAsync(cancellationToken);
            if (incoming.CloseCode is { } code) return new ConnectionEnd { CloseCode = code, Reason = incoming.CloseReason };
            var decoded = Options.Codec.DecodeServer(incoming.Frame);
            if (decoded.Status == DecodeStatus.NoFrame)
                return new ConnectionEnd { Reason = "Bytes that are no frame.", Fault = Broken(decoded.Error ?? "no frame") };
            lock (Gate) link.Heartbeat.Received(Now);

            // A frame of an unknown type is one of a later version: what it says is not for this client.
            if (decoded.Frame is not { } frame) continue;
            var end = frame is MessageFrame or GapFrame
                ? await AcceptAsync(link, frame, incoming.Frame.Length, cancellationToken)
                : Handle(link, frame);
            if (end is not null) return end;
        }
    }

    private async Task<ConnectionEnd> SendLoopAsync(Link link, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (TakeNext(link) is { } frame)
            {
                await link.Connection.SendAsync(frame, Options.Codec.IsText, cancellationToken);
            }
            else if (link.Closing is { } closing)
            {
                await link.Connection.CloseAsync(CloseCode.Normal, closing.Reason, cancellationToken);
                return closing;
            }
            else
            {
                await link.Outgoing.WaitAsync(cancellationToken);
            }
        }
    }

    /// <summary>Replaces the token before it expires, or when the server says that it is about to be useless.</summary>
    private async Task<ConnectionEnd> RefreshLoopAsync(Link link, CancellationToken cancellationToken)
    {
        var attempts = new Backoff(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(30), Options.Random);
        var delay = _tokens.RefreshIn;
        while (true)
        {
            using (var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                await Task.WhenAny(
                    link.Refresh.WaitAsync(waiting.Token),
                    Task.Delay(Bounded(delay) ?? Timeout.InfiniteTimeSpan, Options.TimeProvider, waiting.Token));
                await waiting.CancelAsync();
            }

            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                var token = await _tokens.FetchAsync(cancellationToken);
                var answer = new TaskCompletionSource<ServerFrame?>(TaskCreationOptions.RunContinuationsAsynchronously);
                lock (Gate)
                {
                    var id = ++_lastId;
                    link.Requests.Add(id, new Request(null, answer));
                    Send(link, new AuthFrame { Id = id, Token = token });
                }

                switch (await answer.Task.WaitAsync(Options.RequestTimeout, Options.TimeProvider, cancellationToken))
                {
                    case AuthorizedFrame authorized:
                        _tokens.Keep(token, authorized.ExpiresAt);
                        attempts.Reset();
                        delay = _tokens.RefreshIn;
                        continue;
                    case ErrorFrame error:
                        throw GridException.From(error);
                }
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                var error = e as GridException ?? new GridException(GridErrorCodes.Timeout, "The server did not answer auth.", e);
                Raise(Error, new GridErrorEventArgs(error));
            }

            delay = attempts.Next(Now);
        }
    }

    /// <summary>No longer than a timer takes; waking early only asks for the next token early.</summary>
    private static TimeSpan? Bounded(TimeSpan? delay) => delay > TimeSpan.FromDays(20) ? TimeSpan.FromDays(20) : delay;

    private static GridException Broken(string what) => new(GridErrorCodes.Protocol, $"The server broke the protocol: {what}");

    private HelloFrame Hello(string? token)
    {
        lock (Gate)
        {
            return new HelloFrame
            {
                Token = token,
                Client = Options.ClientName ?? DefaultName,
                Resume = _session is null || _resumeToken is null
                    ? null
                    : new ResumeRequest { Session = _session, Token = _resumeToken, Cursors = Cursors() },
            };
        }
    }

    /// <summary>
    /// The cursors for a resume, as many as fit the frame. For those left out the server's own, which are never later, serve: what
    /// comes again is dropped by its offset. They are what was processed, not what was received, because the server may keep them:
    /// were this process to die with messages in its queues, another one that takes the session up must get these.
    /// </summary>
    private Dictionary<string, Position> Cursors()
    {
        var cursors = new Dictionary<string, Position>(StringComparer.Ordinal);
        var room = _maxFrameBytes / 2;
        foreach (var subscription in _subscriptions.Values)
        {
            if (subscription.Paused || subscription.Tracker.Processed is not { } position) continue;
            room -= subscription.Channel.Length + (position.Epoch.Length * FrameSize.EscapedChar) + FrameSize.CursorOverhead;
            if (room < 0 || cursors.Count == WireLimits.MaxCursors) break;
            cursors.Add(subscription.Channel, position);
        }

        return cursors;
    }

    private async Task CloseCoreAsync(bool inHandler)
    {
        Task[] pumps;
        Task? run;
        lock (Gate)
        {
            _stopping = true;
            foreach (var subscription in _subscriptions.Values) subscription.End(null);
            _unblocked.Set();
            (pumps, run) = ([.. _pumps], _run);
        }

        if (!inHandler)
        {
            // Handlers under way may finish, so that what they did is acknowledged.
            await Task.WhenAll(pumps).WaitAsync(Options.CloseTimeout, Options.TimeProvider).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await _handlers.CancelAsync();
        bool connected;
        lock (Gate)
        {
            connected = _link is not null;
            if (_link is { } link) BeginClose(link, new ConnectionEnd { Reason = "closed", ByCaller = true });
        }

        if (!connected) await _stop.CancelAsync();
        if (run is null)
        {
            Shut(new GridException(GridErrorCodes.Closed, "The client was closed."));
        }
        else
        {
            await run.WaitAsync(Options.CloseTimeout, Options.TimeProvider).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _stop.CancelAsync();
            await run;
        }

        await _timer.DisposeAsync();
    }
}

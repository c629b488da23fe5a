using System.Buffers;
using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Grid.Server.Telemetry;
using Grid.Server.Tenancy;

namespace Grid.Server.Gateway;

/// <content>What a client can ask for.</content>
internal sealed partial class ClientConnection
{
    private const int SessionIdBytes = 16;
    private const int KeptLanes = 64;

    /// <summary>For so many more frames publishes are held back at most: what decides about them can work while others are read.</summary>
    private const int MostGathered = 64;

    /// <summary>Null until the first publish: most connections only listen.</summary>
    private Dictionary<string, PublishLane>? _lanes;

    /// <summary>The lanes that <see cref="StartLanes"/> will start. Only the read loop uses it.</summary>
    private List<PublishLane>? _gathering;
    private int _gathered;
    private long _publishBytes;
    private TaskCompletionSource? _publishRoom;

    /// <summary>Answers of a lane; called on any thread.</summary>
    public void OnPublished(ChannelId channel, List<MessageDraft> drafts, List<long?> ids, PublishReceipt[] receipts)
    {
        var output = new ArrayBufferWriter<byte>(128 * drafts.Count);
        var bytes = 0L;
        for (var i = 0; i < receipts.Length; i++)
        {
            bytes += Cost(drafts[i]);
            if (ids[i] is not { } id) continue;
            var receipt = receipts[i];
            _encoder.Encode(
                receipt.Error is { } error
                    ? new ErrorFrame(id, error, Describe(error), receipt.RetryAfterMs)
                    : new PublishedFrame(id, channel.Name, receipt.Position.Epoch, receipt.Position.Offset, receipt.Duplicate),
                output);
        }

        if (!_closing && output.WrittenCount > 0) _stream.Outbound.Write(output.WrittenMemory);
        if (Interlocked.Add(ref _publishBytes, -bytes) <= _services.Options.MaxInFlightPublishBytes / 2)
            Interlocked.Exchange(ref _publishRoom, null)?.TrySetResult();
    }

    private ValueTask HandleAsync(ClientFrame frame)
    {
        // Whatever the frames are: a client that never stops sending must not hold back what it published.
        if (_gathering is { Count: > 0 } && ++_gathered >= MostGathered) StartLanes();
        switch (frame)
        {
            case PublishFrame publish:
                Publish(publish);
                return ValueTask.CompletedTask;
            case AckFrame ack:
                Ack(ack);
                return ValueTask.CompletedTask;
            case PingFrame:
                Send(PongFrame.Instance);
                return ValueTask.CompletedTask;
        }

        // What follows may take its time; what was published before it must not wait for that.
        StartLanes();
        switch (frame)
        {
            case SubscribeFrame subscribe:
                return SubscribeAsync(subscribe);
            case UnsubscribeFrame unsubscribe:
                return UnsubscribeAsync(unsubscribe);
            case AuthFrame auth:
                return RefreshAsync(auth);
            default:
                Send(new ErrorFrame(null, ErrorCode.BadFrame, "A hello is only the first frame."));
                return ValueTask.CompletedTask;
        }
    }

    private async Task<bool> TakeUpSessionAsync(ResumeRequest? resume)
    {
        SessionAttached? attached = null;
        ISessionGrain? grain = null;
        if (resume is not null)
        {
            var claims = _services.ResumeTokens.Verify(resume.Token);
            if (claims is not null && claims.Session == resume.Session && claims.Tenant == Tenant && claims.User == User)
            {
                Session = claims.Session;
                grain = SessionGrain();
                attached = await AttachAsync(grain, resume: true, claims.Generation, new Dictionary<string, Position>(resume.Cursors));
            }
        }

        var state = attached?.State ?? WelcomeState.Expired;
        if (state != WelcomeState.Resumed)
        {
            state = resume is null ? WelcomeState.New : WelcomeState.Expired;
            Session = "s_" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(SessionIdBytes));
            grain = SessionGrain();
            attached = await AttachAsync(grain, resume: false, 0, []);
        }

        Generation = attached!.Generation;
        _resuming = attached.Subscriptions;
        _link = new SessionLink(
            this, grain!, _services.Patience, _services.Metrics, _services.Logger);

        // Known to the relay before the client knows its session: whoever takes the session up next finds this socket to close.
        _services.Hub.Register(this);
        var joined = await Task.WhenAll(attached.Subscriptions.Select(
            s => ResumeSubscriptionAsync(s.Key, s.Value, attached.Known.TryGetValue(s.Key, out var known) ? known : null)));
        Send(new WelcomeFrame
        {
            Session = Session,
            ResumeToken = _services.ResumeTokens.Issue(new ResumeClaims(Tenant, Session, User, Generation)),
            State = state,
            ResumeWindowMs = (long)_services.Options.ResumeWindow.TotalMilliseconds,
            HeartbeatMs = (long)_services.Options.Heartbeat.TotalMilliseconds,
            MaxFrameBytes = _services.Options.MaxFrameBytes,
            Subscriptions = [.. joined.Where(j => j.State is not null).Select(j => j.State!)],
        });
        _services.Metrics.Welcomed(
            state,
            state != WelcomeState.Resumed ? CursorSource.None
            : attached.Rebuilt ? CursorSource.Token
            : resume!.Cursors.Count > 0 ? CursorSource.Client
            : CursorSource.Server);
        _welcomed = true;
        _resuming = null;
        if (state == WelcomeState.Resumed)
        {
            foreach (var channel in resume!.Cursors.Keys.Where(c => !attached.Subscriptions.ContainsKey(c))) SendTooMany(null, channel);
        }

        foreach (var (_, follows, subscription) in joined)
        {
            SendFollowing(follows);
            if (subscription is not null) subscription.Channel.Start(subscription);
        }

        return true;
    }

    private Task<SessionAttached> AttachAsync(
        ISessionGrain grain, bool resume, long tokenGeneration, Dictionary<string, Position> cursors) =>
        _services.Patience.CallAsync(
            () => grain.AttachAsync(new SessionAttach
            {
                User = User, Silo = _services.Silo, Resume = resume, TokenGeneration = tokenGeneration, Cursors = cursors,
            }),
            Patience.ForClient);

    /// <summary>The session's grain. To find it costs as much as a part of the call, so it is found once.</summary>
    private ISessionGrain SessionGrain() => _services.Grains.GetGrain<ISessionGrain>($"{Tenant}/{Session}");

    private async Task<(SubscriptionState? State, ServerFrame? Follows, Subscription? Subscription)> ResumeSubscriptionAsync(
        string channel, Position cursor, Position? known)
    {
        if (!ChannelName.IsValid(channel)) return default;
        if (!_caller.Capabilities.Allows(channel, Capability.Subscribe))
            return (null, new ErrorFrame(null, ErrorCode.Forbidden, $"The token no longer allows to subscribe to {channel}."), null);
        var id = new ChannelId(Tenant, channel);
        var believed = MayReadPast(channel) || cursor == known || await _services.Past.IsResumeAsync(id, cursor, known);
        ServerFrame? follows = null;
        var (subscription, head) = await _services.Hub.JoinAsync(id, this, head =>
        {
            (var start, follows) = believed ? StartResolver.Resume(channel, cursor, head) : StartResolver.Skip(channel, cursor, head);
            return start;
        });
        if (follows is GapFrame) subscription!.AnnouncedFrom(cursor);
        lock (_subscriptions) _subscriptions[subscription!.Id.Name] = subscription;
        return (new SubscriptionState(channel, head.Epoch, head.Head, subscription!.Cursor.Offset), follows, subscription);
    }

    private async ValueTask SubscribeAsync(SubscribeFrame frame)
    {
        if (!Check(frame.Id, frame.Channel, Capability.Subscribe)) return;
        await _arrivals.WaitAsync(frame.Channel);
        var seesHistory = MayReadPast(frame.Channel);
        Subscription? known;
        int count;
        lock (_subscriptions) (known, count) = (_subscriptions.GetValueOrDefault(frame.Channel), _subscriptions.Count + _arrivals.CountNew);
        if (known is null && count >= _services.Options.MaxSubscriptionsPerSession)
        {
            SendTooMany(frame.Id, frame.Channel);
            return;
        }

        StartResolution start = default;
        Subscription? subscription;
        ChannelHead head;
        var keep = known is not null && (!frame.HasFrom || frame.From.Kind == StartKind.Now);
        try
        {
            (subscription, head) = await _services.Hub.JoinAsync(new ChannelId(Tenant, frame.Channel), this, head =>
            {
                start = keep
                    ? new StartResolution(known!.Cursor.Epoch == head.Epoch ? known.Cursor : null, null, null)
                    : StartResolver.Subscribe(frame.Channel, frame.From, head, seesHistory);
                return keep ? null : start.Cursor;
            });
        }
        catch (Exception e) when (Outage.Is(e))
        {
            Send(new ErrorFrame(frame.Id, ErrorCode.Unavailable, "The channel cannot be reached right now.", 500));
            return;
        }

        if (keep)
        {
            Send(new SubscribedFrame(frame.Id, frame.Channel, known!.Cursor.Epoch, head.Head, known.Cursor.Offset));
            return;
        }

        if (subscription is null)
        {
            Send(new ErrorFrame(frame.Id, start.Error!.Value, start.Error == ErrorCode.Forbidden
                ? $"Reading the past of {frame.Channel} is not allowed." : "The position lies after the channel's head."));
            return;
        }

        if (start.Follows is not null) subscription.AnnouncedFrom(frame.From.Position);
        lock (_subscriptions) _arrivals.Add(subscription, isNew: known is null);
        _link!.Change(new LinkChange(frame.Channel, subscription.Acked, stored =>
        {
            // A change that failed may be stored yet, and reports only raise a cursor: a session that was moved forward would skip the
            // rest when it is resumed. Before anybody who waits for the outcome can ask for more.
            if (!stored && known is not null) _link!.Change(new LinkChange(frame.Channel, known.Acked, static _ => { }));
            lock (_subscriptions)
            {
                _arrivals.Remove(subscription);
                if (stored) _subscriptions[subscription.Id.Name] = subscription;
            }

            if (!stored)
            {
                // One that was there before goes on as if nothing had been asked.
                subscription.Channel.Leave(subscription);
                Send(new ErrorFrame(frame.Id, ErrorCode.Unavailable, "The session cannot be reached right now.", 500));
                return;
            }

            known?.Channel.Leave(known);
            Send(new SubscribedFrame(frame.Id, frame.Channel, head.Epoch, head.Head, subscription.Cursor.Offset));
            SendFollowing(start.Follows);
            subscription.Channel.Start(subscription);
        }));
    }

    private async ValueTask UnsubscribeAsync(UnsubscribeFrame frame)
    {
        await _arrivals.WaitAsync(frame.Channel);
        Subscription? subscription;
        lock (_subscriptions) _subscriptions.Remove(frame.Channel, out subscription);
        if (subscription is null)
        {
            Send(new ErrorFrame(frame.Id, ErrorCode.NotSubscribed, $"The session has no subscription to {frame.Channel}."));
            return;
        }

        subscription.Channel.Leave(subscription);

        // Confirmed even if the grain cannot be reached: no message follows, and the next checkpoint carries it.
        _link!.Change(new LinkChange(frame.Channel, null, _ => Send(new UnsubscribedFrame(frame.Id, frame.Channel))));
    }

    private void Publish(PublishFrame frame)
    {
        if (!Check(frame.Id, frame.Channel, Capability.Publish)) return;
        if (frame.Payload.Bytes.Length > _services.Policies.For(frame.Channel).MaxMessageBytes)
        {
            if (frame.Id is not null) Send(new ErrorFrame(frame.Id, ErrorCode.TooLarge, "The message is larger than its namespace allows."));
            return;
        }

        // The frame's buffer is used again for the next one; the message lives on in the log's and the relay's hands.
        var draft = new MessageDraft
        {
            Data = frame.Payload.Bytes.ToArray(),
            IsBinary = frame.Payload.IsBinary,
            Key = frame.Key,
            Event = frame.Event,
            IfOffset = frame.IfOffset,
        };
        Interlocked.Add(ref _publishBytes, Cost(draft));
        var lane = Lane(frame.Channel);
        if (lane.Add(draft, frame.Id)) (_gathering ??= []).Add(lane);
    }

    /// <summary>
    /// Sends the publishes that have gathered. They do until the socket has nothing more to give: a burst so becomes one call, one
    /// append, and one write to each subscriber, where its first alone would cost as much as all the others.
    /// </summary>
    private void StartLanes()
    {
        _gathered = 0;
        if (_gathering is null or { Count: 0 }) return;
        foreach (var lane in _gathering) lane.Start();
        _gathering.Clear();
    }

    private void Ack(AckFrame frame)
    {
        foreach (var (channel, offset) in frame.Cursors)
        {
            Subscription? subscription;
            lock (_subscriptions) subscription = _subscriptions.GetValueOrDefault(channel);

            // An ack may cross an unsubscribe on the wire: that is no fault.
            if (subscription is null) continue;
            if (subscription.Channel.Ack(subscription, offset)) MarkDirty();
            else Send(new ErrorFrame(null, ErrorCode.InvalidPosition, $"{channel} was not delivered up to {offset}."));
        }
    }

    private async ValueTask RefreshAsync(AuthFrame frame)
    {
        var (caller, _) = await AuthenticateAsync(frame.Token);
        if (caller is null || caller.Tenant != Tenant || (caller.User ?? UserName.Server) != User)
        {
            Send(new ErrorFrame(frame.Id, ErrorCode.Unauthorized, "The token is unknown, expired, or somebody else's."));
            return;
        }

        _caller = caller;
        Send(new AuthorizedFrame(frame.Id, caller.ExpiresAt ?? DateTimeOffset.MaxValue));
        await _arrivals.WaitAsync();
        foreach (var subscription in Subscriptions())
        {
            var channel = subscription.Id.Name;
            if (caller.Capabilities.Allows(channel, Capability.Subscribe)) continue;
            await UnsubscribeAsync(new UnsubscribeFrame { Channel = channel });
            Send(new ErrorFrame(null, ErrorCode.Forbidden, $"The token no longer allows to subscribe to {channel}."));
        }
    }

    private bool Check(long? id, string channel, Capability wanted)
    {
        if (_caller.ExpiresAt is { } expiresAt && expiresAt <= _services.Time.GetUtcNow())
        {
            // The sweep closes the connection within a second.
            Send(new ErrorFrame(id, ErrorCode.Unauthorized, "The token has expired."));
            return false;
        }

        if (_caller.Capabilities.Allows(channel, wanted)) return true;
        if (wanted != Capability.Publish || id is not null)
            Send(new ErrorFrame(id, ErrorCode.Forbidden, $"The token does not allow this on {channel}."));
        return false;
    }

    /// <summary>Sends what is to be known before a subscription's first message, if anything.</summary>
    private void SendFollowing(ServerFrame? frame)
    {
        if (frame is null) return;
        if (frame is GapFrame gap) _services.Hub.Metrics.Gap(gap.Reason);
        Send(frame);
    }

    private void SendTooMany(long? id, string channel) => Send(new ErrorFrame(
        id,
        ErrorCode.QuotaExceeded,
        $"A session has at most {_services.Options.MaxSubscriptionsPerSession} subscriptions: {channel} is not among them."));

    private bool MayReadPast(string channel) =>
        _caller.Capabilities.Allows(channel, Capability.History) && _services.Policies.For(channel).History;

    private PublishLane Lane(string channel)
    {
        _lanes ??= new Dictionary<string, PublishLane>(StringComparer.Ordinal);
        if (_lanes.TryGetValue(channel, out var lane)) return lane;
        if (_lanes.Count >= KeptLanes)
        {
            foreach (var (name, idle) in _lanes)
            {
                if (idle.IsIdle) _lanes.Remove(name);
            }
        }

        var holds = _services.Policies.For(channel).KeyWindow > TimeSpan.Zero;
        return _lanes[channel] = new PublishLane(this, new ChannelId(Tenant, channel), _services.Publisher, _caller.User, holds, _services.Time);
    }

    private async ValueTask WaitForPublishRoomAsync()
    {
        while (Interlocked.Read(ref _publishBytes) > _services.Options.MaxInFlightPublishBytes)
        {
            var room = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _publishRoom = room;
            Interlocked.MemoryBarrier();
            if (Interlocked.Read(ref _publishBytes) <= _services.Options.MaxInFlightPublishBytes / 2) return;
            StartLanes();
            await room.Task;
        }
    }

    /// <summary>What a draft counts against the limit of unanswered publishes: its payload, and what else it holds.</summary>
    private static long Cost(MessageDraft draft) => draft.Data.Length + 256;

    private static string Describe(ErrorCode error) => error switch
    {
        ErrorCode.Conflict => "The channel's head is not the offset named by ifOffset.",
        ErrorCode.Unavailable => "The message may or may not be stored; publish again with the same key.",
        _ => "The publish was refused.",
    };
}

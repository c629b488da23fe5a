using System.Text;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Simulation;

/// <summary>Whose cursors a client resumes with.</summary>
internal enum CursorSource
{
    Client,
    Server,

    /// <summary>It starts a new session each time, and subscribes from its own positions.</summary>
    NoSession,
}

/// <summary>A client that does what the SDKs do: pipelined publishes with keys, retries, cursors, acks, reconnects anywhere.</summary>
internal sealed partial class SimClient : SimNode
{
    /// <summary>The most that passes, with faults on the way, until a session that the store lost is stored again.</summary>
    private const long ReportMicros = 12_000_000;

    private readonly SimWorld _world;
    private readonly Dictionary<string, SimView> _views = new(StringComparer.Ordinal);
    private readonly CursorSource _source;
    private readonly bool _slow;
    private string? _session;
    private string? _token;
    private SimSocket? _socket;
    private bool _wasStored;
    private bool _broughtCursors;
    private long _lastAlive;
    private long _request;
    private int _connection;
    private bool _leaving;

    public SimClient(SimWorld world, int number)
        : base(world.Scheduler, FormattableString.Invariant($"client{number}"))
    {
        _world = world;
        _source = (CursorSource)Scheduler.Chance.Next(3);
        _slow = Scheduler.Happens(0.3);
        foreach (var channel in world.Channels) _views[channel] = new SimView(this, world, channel);
        Trace($"{_source} cursors{(_slow ? ", slow" : "")}");
    }

    public List<SimPublish> Publishes { get; } = [];

    public IEnumerable<SimView> Views => _views.Values;

    public bool Connected { get; private set; }

    public bool Settled => Connected && _views.Values.All(v => v.Pending == PendingRequest.None && v.Wanted == v.Active)
        && Publishes.All(p => p.Done);

    /// <summary>What is not settled, for a message.</summary>
    public string State =>
        $"{Name} connected {Connected}, {string.Join(", ", _views.Values.Select(v => $"{v.Channel} wanted {v.Wanted} active {v.Active} pending {v.Pending}"))}, "
        + $"unanswered {string.Join(' ', Publishes.Where(p => !p.Done).Select(p => p.Text))}";

    /// <summary>Connects, and again whenever the connection ended, until it leaves.</summary>
    public void Start() => Run(async () =>
    {
        while (!_leaving)
        {
            Connect();
            while (_socket is { Ended: false }) await Delay(50_000);
            await Delay(Scheduler.Span(1_000, _world.FaultsOver ? 500_000 : 3_000_000));
        }
    });

    /// <summary>Does something that a client may do.</summary>
    public void Act()
    {
        var view = _views.Values.ElementAt(Scheduler.Chance.Next(_views.Count));
        switch (Scheduler.Chance.Next(20))
        {
            case < 5:
                Subscribe(view);
                break;
            case < 6:
                Unsubscribe(view);
                break;
            case < 15:
                for (var i = Scheduler.Chance.Next(1, 7); i > 0; i--) Publish(view);
                break;
            case < 17:
                Ack();
                break;
            case < 18 when Connected:
                Trace("its connection is cut");
                _socket!.Cut();
                break;
            case < 19 when Connected:
                Trace("closes its connection");
                _socket!.Close();
                break;
            case < 20 when Connected && _source != CursorSource.NoSession:
                Trace("connects again beside its connection");
                Connect();
                break;
        }
    }

    /// <summary>Says goodbye in an orderly way, for good.</summary>
    public void Leave()
    {
        _leaving = true;
        _socket?.Close();
    }

    private void Connect()
    {
        var silos = _world.LiveSilos;
        if (silos.Count == 0) return;
        var silo = silos[Scheduler.Chance.Next(silos.Count)];
        var socket = new SimSocket(
            silo, this, () => _slow && !_world.FaultsOver ? Scheduler.Span(1_000, 200_000) : Scheduler.Span(50, 3_000), _slow ? 200 : 64 * 1024);
        var connection = ++_connection;

        // An older socket that the server does not end first is not kept for ever.
        if (_socket is { Ended: false } older) Scheduler.In(Scheduler.Span(0, 6_000_000), this, older.Close);
        Detached();
        _socket = socket;
        socket.OnFrame = frame =>
        {
            if (_socket == socket) Receive(frame, connection);
        };
        socket.OnEnd = code =>
        {
            if (_socket != socket) return;
            Trace($"connection {connection} ended with {code}");
            Detached();
        };
        ResumeRequest? resume = null;
        if (_session is not null && _source != CursorSource.NoSession)
        {
            var cursors = _source == CursorSource.Client
                ? _views.Values.Where(v => v is { Cursor: not null, Confirmed: true, Ambiguous: false }).ToDictionary(v => v.Channel, v => v.Cursor!.Value)
                : [];
            resume = new ResumeRequest { Session = _session, Token = _token!, Cursors = cursors };
        }

        _broughtCursors = resume?.Cursors.Count > 0;
        Trace($"connects to {silo.Name} as connection {connection}{(resume is null ? "" : $", resuming {_session}")}");
        silo.Run(socket.ServeAsync);
        socket.Send(new HelloFrame { Token = Name, Resume = resume });
    }

    private void Detached()
    {
        if (Connected) _lastAlive = Scheduler.Now;
        Connected = false;
        foreach (var view in _views.Values) view.ConnectionEnded();
    }

    private void Receive(ServerFrame frame, int connection)
    {
        Trace($"<- {Describe(frame)}");
        switch (frame)
        {
            case WelcomeFrame welcome:
                Welcome(welcome);
                break;
            case SubscribedFrame subscribed:
                var view = _views[subscribed.Channel];
                if (view.PendingId != subscribed.Id) Scheduler.Fail($"{Name}: an answer to nothing: {frame}");
                _wasStored = true;
                view.Pending = PendingRequest.None;
                view.Subscribed(subscribed);
                Align(view);
                break;
            case UnsubscribedFrame unsubscribed:
                _views[unsubscribed.Channel].Pending = PendingRequest.None;
                _views[unsubscribed.Channel].Unsubscribed();
                Align(_views[unsubscribed.Channel]);
                break;
            case MessageFrame message:
                _views[message.Channel].Message(message.Message);
                break;
            case GapFrame gap:
                _views[gap.Channel].Gap(gap);
                break;
            case PublishedFrame published:
                Published(published);
                break;
            case ErrorFrame error:
                Failed(error);
                break;
        }
    }

    private void Welcome(WelcomeFrame welcome)
    {
        // After a loss, too, whoever brings cursors is known again: by the rebuild, or since the silo reported the session anew.
        var mayBeLost = _world.Sessions.LostAt is not null;
        if (welcome.State == WelcomeState.Expired && _wasStored && (!mayBeLost || _broughtCursors)
            && Scheduler.Now - _lastAlive < SimWorld.ResumeWindowMicros - (mayBeLost ? ReportMicros : 2_000_000))
            Scheduler.Fail($"{Name}: its session expired before its time.");
        (Connected, _session, _token) = (true, welcome.Session, welcome.ResumeToken);
        if (welcome.State == WelcomeState.Resumed)
        {
            _wasStored = true;
            foreach (var state in welcome.Subscriptions) _views[state.Channel].Resumed(state, _source);
            foreach (var view in _views.Values.Where(v => welcome.Subscriptions.All(s => s.Channel != v.Channel))) view.NotResumed();
        }
        else
        {
            _wasStored = false;
            foreach (var view in _views.Values) view.SessionGone();
        }

        foreach (var publish in Publishes.Where(p => p.IsOpen && !p.MayRetry)) publish.Done = true;
        foreach (var view in _views.Values)
        {
            // What was refused, and overtaken by one that may have been stored, cannot be sent again in order.
            GiveUpBefore(view.Channel, Publishes.LastOrDefault(p => p.Channel == view.Channel && p.IsOpen)?.Number ?? 0);
            SendAll(view.Channel);
            Align(view);
        }
    }

    /// <summary>Asks for what is wanted and not so.</summary>
    private void Align(SimView view)
    {
        if (!Connected || view.Pending != PendingRequest.None || view.Wanted == view.Active) return;
        if (!view.Wanted) Unsubscribe(view);
        else Request(view, view.Cursor is { } cursor ? StartPoint.After(cursor) : view.From);
    }

    private void Subscribe(SimView view)
    {
        view.Wanted = true;
        if (!Connected || view.Pending != PendingRequest.None) return;
        var last = view.Record.Now.Messages.Count;
        Request(view, Scheduler.Chance.Next(4) switch
        {
            0 => StartPoint.Start,
            1 => StartPoint.Last(Scheduler.Chance.Next(1, 6)),
            2 when view.IsDurable => StartPoint.After(new Position(view.Record.Epoch, Scheduler.Chance.Next(0, last + 1))),
            _ => StartPoint.Now,
        });
    }

    private void Request(SimView view, StartPoint from)
    {
        (view.From, view.Pending, view.PendingId) = (from, PendingRequest.Subscribe, ++_request);
        Trace($"-> subscribe {view.Channel} from {from.Kind} {from.Position} {from.Count} as {_request}");
        _socket!.Send(new SubscribeFrame { Id = _request, Channel = view.Channel, From = from, HasFrom = from.Kind != StartKind.Now });
    }

    private void Unsubscribe(SimView view)
    {
        view.Wanted = false;
        if (!Connected || view.Pending != PendingRequest.None || !view.Active) return;
        (view.Pending, view.PendingId) = (PendingRequest.Unsubscribe, ++_request);
        Trace($"-> unsubscribe {view.Channel} as {_request}");
        _socket!.Send(new UnsubscribeFrame { Id = _request, Channel = view.Channel });
    }

    private void Ack()
    {
        var cursors = _views.Values.Where(v => v is { Active: true, Pending: PendingRequest.None }).ToDictionary(v => v.Channel, v => v.Cursor!.Value.Offset);
        if (!Connected || cursors.Count == 0) return;
        Trace($"-> ack {string.Join(' ', cursors)}");
        _socket!.Send(new AckFrame { Cursors = cursors });
    }

    private void Failed(ErrorFrame error)
    {
        if (Publishes.FirstOrDefault(p => p.Request == error.Id && error.Id is not null) is { } publish)
        {
            NotPublished(publish, error);
        }
        else if (_views.Values.FirstOrDefault(v => v.PendingId == error.Id && error.Id is not null) is { } view)
        {
            view.Pending = PendingRequest.None;
            if (error.Code == ErrorCode.Unavailable) view.Refused();
            else if (view.IsDurable && !_world.Purges) Scheduler.Fail($"{Name}: {view.Channel} was refused: {error}");
            else view.From = StartPoint.Start;
            Again(() => Align(view));
        }
        else if (error.Code == ErrorCode.InvalidPosition && !_world.Purges && _world.AllDurable)
        {
            Scheduler.Fail($"{Name}: {error}");
        }
    }

    private void Again(Action action, long atLeastMicros = 10_000)
    {
        var connection = _connection;
        Scheduler.In(atLeastMicros + Scheduler.Span(0, 490_000), this, () =>
        {
            if (Connected && connection == _connection) action();
        });
    }

    private static string Describe(ServerFrame frame) => frame switch
    {
        MessageFrame m => $"message {m.Channel} {m.Message.Offset} {Encoding.UTF8.GetString(m.Message.Payload.Bytes.Span)}",
        WelcomeFrame w => $"welcome {w.State} {w.ResumeToken} {string.Join(' ', w.Subscriptions)}",
        _ => frame.ToString(),
    };
}

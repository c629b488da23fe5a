using Grid.Client;
using Grid.Protocol;

namespace Grid.UnitTests.Client;

/// <summary>
/// A small server in memory that keeps the contract: ordered channels, keys, sessions with cursors, generations. It cuts each
/// connection after a random number of frames, at any point between taking a frame in and answering it, and resumes a little before
/// the client's cursor.
/// </summary>
internal sealed class ContractServer(int seed, int cutEvery) : IGridTransport
{
    private readonly Lock _gate = new();
    private readonly Random _random = new(seed);
    private readonly Dictionary<string, List<Message>> _channels = [];
    private readonly Dictionary<string, Session> _sessions = [];
    private int _nextSession;

    public int Cuts { get; private set; }

    public List<int> Stored(string channel)
    {
        lock (_gate) return [.. _channels[channel].Select(m => int.Parse(m.Payload.Bytes.Span, System.Globalization.CultureInfo.InvariantCulture))];
    }

    public Task<IGridConnection> ConnectAsync(Uri uri, string subprotocol, CancellationToken cancellationToken)
    {
        var peer = new FakePeer();
        _ = Task.Run(() => ServeAsync(peer), CancellationToken.None);
        return Task.FromResult<IGridConnection>(peer);
    }

    private async Task ServeAsync(FakePeer peer)
    {
        Session? session = null;
        while (await peer.ReadAsync() is { } frame)
        {
            lock (_gate)
            {
                if (session is not null && session.Peer != peer) return;
                if (!Survives(peer)) return;
                if (frame is HelloFrame hello) session = Welcome(peer, hello);
                else Serve(peer, session!, frame);
            }
        }
    }

    /// <summary>Each call is a place where the connection may break.</summary>
    private bool Survives(FakePeer peer)
    {
        if (_random.Next(cutEvery) != 0) return true;
        Cuts++;
        peer.Cut();
        return false;
    }

    private Session Welcome(FakePeer peer, HelloFrame hello)
    {
        Session? session = null;
        var state = WelcomeState.New;
        // Now and then a session is gone.
        if (hello.Resume is { } resume)
        {
            state = _random.Next(6) > 0 && _sessions.TryGetValue(resume.Session, out session) ? WelcomeState.Resumed : WelcomeState.Expired;
            if (state == WelcomeState.Resumed)
            {
                session!.Peer?.Close(4500);
                foreach (var (channel, position) in resume.Cursors) session.Cursors[channel] = position.Offset;
            }
        }

        if (state != WelcomeState.Resumed)
        {
            session = new Session($"s-{++_nextSession}");
            _sessions.Add(session.Id, session);
        }

        session!.Peer = peer;
        session.Sent.Clear();
        foreach (var (channel, cursor) in session.Cursors) session.Sent[channel] = Math.Max(0, cursor - _random.Next(3));
        peer.Welcome(state, session.Id, [.. session.Sent.Select(s => new SubscriptionState(s.Key, "e", Log(s.Key).Count, s.Value))]);
        foreach (var channel in session.Sent.Keys.ToList()) Deliver(session, channel);
        return session;
    }

    private void Serve(FakePeer peer, Session session, ClientFrame frame)
    {
        switch (frame)
        {
            case SubscribeFrame subscribe:
                var log = Log(subscribe.Channel);
                var cursor = subscribe.From.Kind switch
                {
                    StartKind.Position => subscribe.From.Position.Offset, StartKind.Start => 0, _ => log.Count,
                };
                session.Cursors[subscribe.Channel] = session.Sent[subscribe.Channel] = cursor;
                if (!Survives(peer)) return;
                peer.Send(new SubscribedFrame(subscribe.Id, subscribe.Channel, "e", log.Count, cursor));
                Deliver(session, subscribe.Channel);
                break;
            case UnsubscribeFrame unsubscribe:
                session.Cursors.Remove(unsubscribe.Channel);
                session.Sent.Remove(unsubscribe.Channel);
                peer.Send(new UnsubscribedFrame(unsubscribe.Id, unsubscribe.Channel));
                break;
            case PublishFrame publish:
                var messages = Log(publish.Channel);
                var known = messages.Find(m => m.Key == publish.Key);
                if (known is null)
                {
                    messages.Add(new Message { Offset = messages.Count + 1, At = 1, Payload = publish.Payload, Key = publish.Key });
                    foreach (var other in _sessions.Values) Deliver(other, publish.Channel);
                }

                if (!Survives(peer)) return;
                peer.Send(new PublishedFrame(publish.Id, publish.Channel, "e", known?.Offset ?? messages.Count, known is not null));
                break;
            case AckFrame ack:
                foreach (var (channel, offset) in ack.Cursors)
                {
                    Assert.True(session.Cursors.TryGetValue(channel, out var before), $"Ack of {channel}, which is not subscribed.");
                    Assert.InRange(offset, 0, session.Sent[channel]);
                    session.Cursors[channel] = Math.Max(before, offset);
                }

                break;
            case PingFrame:
                peer.Send(PongFrame.Instance);
                break;
        }
    }

    private void Deliver(Session session, string channel)
    {
        if (session.Peer is not { } peer || !session.Sent.TryGetValue(channel, out var sent)) return;
        foreach (var message in Log(channel).Skip((int)sent)) peer.Send(new MessageFrame(channel, message));
        session.Sent[channel] = Log(channel).Count;
    }

    private List<Message> Log(string channel) => _channels.TryGetValue(channel, out var log) ? log : _channels[channel] = [];

    private sealed class Session(string id)
    {
        public string Id { get; } = id;

        public FakePeer? Peer { get; set; }

        public Dictionary<string, long> Cursors { get; } = [];

        public Dictionary<string, long> Sent { get; } = [];
    }
}

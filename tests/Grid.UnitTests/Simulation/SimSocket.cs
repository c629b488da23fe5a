using System.Buffers;
using System.Net.WebSockets;
using Grid.Protocol;
using Grid.Server.Gateway;

namespace Grid.UnitTests.Simulation;

/// <summary>
/// A socket between a client and a silo's real connection: bytes in order, at a pace, until it is closed or cut. What is on its way
/// when it is cut may be lost.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "The connection that reads from it disposes of it.")]
internal sealed class SimSocket
{
    private static readonly Form Json = new(JsonWireCodec.Instance);
    private readonly SimScheduler _scheduler;
    private readonly SimNode _client;
    private readonly ServerEnd _server;
    private readonly List<byte> _received = [];
    private readonly Func<long> _pace;
    private long _lastUp;
    private long _lastDown;
    private bool _cutForClient;

    public SimSocket(SimSilo silo, SimNode client, Func<long> pace, int window)
    {
        (_scheduler, _client, _pace, Silo) = (silo.Scheduler, client, pace, silo);
        _server = new ServerEnd(this, window);
        var pipe = new Pipe(_server);
        var stream = new SocketStream(pipe, new OutboundBuffer(pipe, silo.Gateway.Options.MaxOutboundBytes, _server.Break));
        silo.Opening.Add(this);
        Connection = new ClientConnection(
            silo.Gateway, _server, stream, Json, Compression.None, null, null, () => silo.Post(_ => _server.Break(), null));
    }

    public SimSilo Silo { get; }

    public ClientConnection Connection { get; }

    /// <summary>A frame reached the client.</summary>
    public Action<ServerFrame> OnFrame { get; set; } = null!;

    /// <summary>The client knows that the socket is over.</summary>
    public Action<int?> OnEnd { get; set; } = null!;

    public bool Ended { get; private set; }

    /// <summary>The silo accepts the socket and serves it to its end.</summary>
    public async Task ServeAsync()
    {
        Silo.Opening.Remove(this);
        Silo.Sockets.Add(this);
        try
        {
            await Connection.RunAsync();
        }
        finally
        {
            Silo.Sockets.Remove(this);
            _server.Break();
            Down(() => End(null));
        }
    }

    public void Send(ClientFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        JsonWireCodec.Instance.Encode(frame, output);
        var bytes = output.WrittenSpan.ToArray();
        Up(() => _server.Arrive(bytes));
    }

    /// <summary>The client closes in an orderly way.</summary>
    public void Close() => Up(() => _server.Arrive(null));

    /// <summary>The connection is gone: each side hears of it in its own time, or the silo never, if it is the one that died.</summary>
    public void Cut(bool bothHear = true)
    {
        if (bothHear)
        {
            _cutForClient = true;
            _scheduler.In(_scheduler.Span(0, 4_000_000), Silo, _server.Break);
            _client.Post(_ => End(null), null);
        }
        else
        {
            _scheduler.In(_scheduler.Span(0, 500_000), _client, () => End(null));
        }
    }

    private void End(int? code)
    {
        if (Ended) return;
        Ended = true;
        _cutForClient = true;
        OnEnd(code);
    }

    private void Up(Action arrive)
    {
        if (Ended) return;
        _lastUp = Math.Max(_lastUp, _scheduler.Now + _scheduler.Span(50, 3_000));
        _scheduler.In(_lastUp - _scheduler.Now, Silo, arrive);
    }

    private void Down(Action arrive)
    {
        _lastDown = Math.Max(_lastDown, _scheduler.Now + _pace());
        _scheduler.In(_lastDown - _scheduler.Now, _client, arrive);
    }

    private void ClientReceives(byte[] bytes)
    {
        if (_cutForClient) return;
        _received.AddRange(bytes);
        while (_received.Count >= 2)
        {
            var (header, length) = (2, _received[1] & 0x7F);
            if (length == 126)
            {
                if (_received.Count < 4) return;
                (header, length) = (4, (_received[2] << 8) | _received[3]);
            }

            if (_received.Count < header + length) return;
            var payload = _received.GetRange(header, length).ToArray();
            var opcode = _received[0] & 0x0F;
            _received.RemoveRange(0, header + length);
            if (opcode == (int)WebSocketFraming.Opcode.Close)
            {
                End((payload[0] << 8) | payload[1]);

                // The client's answer to the close.
                _scheduler.In(_scheduler.Span(50, 3_000), Silo, () => _server.Arrive(null));
                return;
            }

            if (opcode != (int)WebSocketFraming.Opcode.Text) continue;
            var frame = JsonWireCodec.Instance.DecodeServer(payload);
            if (frame.Frame is null) _scheduler.Fail($"A client got bytes that are no frame: {frame.Error}");
            else OnFrame(frame.Frame);
        }
    }

    /// <summary>The silo's end as the library shows it.</summary>
    private sealed class ServerEnd(SimSocket owner, int window) : WebSocket
    {
        private readonly Queue<byte[]?> _inbox = new();
        private TaskCompletionSource? _waiting;
        private bool _broken;
        private int _unread;
        private TaskCompletionSource? _full;

        public override WebSocketCloseStatus? CloseStatus => WebSocketCloseStatus.NormalClosure;

        public override string? CloseStatusDescription => null;

        public override WebSocketState State => WebSocketState.Open;

        public override string? SubProtocol => null;

        public void Arrive(byte[]? frame)
        {
            _inbox.Enqueue(frame);
            _waiting?.TrySetResult();
        }

        public void Break()
        {
            _broken = true;
            _waiting?.TrySetResult();
            _full?.TrySetException(new IOException("The socket is gone."));
        }

        public override async ValueTask<ValueWebSocketReceiveResult> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken)
        {
            while (_inbox.Count == 0 && !_broken)
            {
                _waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                await _waiting.Task;
            }

            if (_broken) throw new WebSocketException(WebSocketError.ConnectionClosedPrematurely);
            if (_inbox.Peek() is not { } frame) return new ValueWebSocketReceiveResult(0, WebSocketMessageType.Close, true);
            if (buffer.Length == 0) return new ValueWebSocketReceiveResult(0, WebSocketMessageType.Text, false);
            _inbox.Dequeue();
            frame.CopyTo(buffer);
            return new ValueWebSocketReceiveResult(frame.Length, WebSocketMessageType.Text, true);
        }

        public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
        {
            if (_broken) return ValueTask.FromException(new IOException("The socket is gone."));
            var copy = bytes.ToArray();
            _unread += copy.Length;
            owner.Down(() =>
            {
                owner.ClientReceives(copy);
                owner._scheduler.In(0, owner.Silo, () =>
                {
                    _unread -= copy.Length;
                    if (_unread <= window) _full?.TrySetResult();
                });
            });
            if (_unread <= window && !owner._scheduler.Happens(0.1)) return ValueTask.CompletedTask;
            _full = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new ValueTask(_full.Task);
        }

        public override void Abort() => Break();

        public override Task CloseAsync(WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public override Task CloseOutputAsync(
            WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken) => throw new NotSupportedException();

        public override void Dispose()
        {
        }

        public override Task<WebSocketReceiveResult> ReceiveAsync(ArraySegment<byte> buffer, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public override Task SendAsync(
            ArraySegment<byte> buffer, WebSocketMessageType messageType, bool endOfMessage, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }

    /// <summary>The transport below the silo's outbound buffer.</summary>
    private sealed class Pipe(ServerEnd server) : MemoryStream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            server.WriteAsync(buffer);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => ValueTask.FromResult(0);
    }
}

using System.Buffers;
using System.Net;
using System.Net.WebSockets;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Gateway;

/// <summary>
/// One client's socket: reads its frames, carries out its commands, and takes what its channels deliver. It outlives the activation of
/// its session's grain, and tells the grain everything again when that was lost.
/// </summary>
/// <remarks>
/// The life of a connection is in <see cref="RunAsync"/>; commands in ClientConnection.Commands.cs; heartbeat, expiry and close in
/// ClientConnection.Upkeep.cs. The read loop handles one frame at a time; publishes and session calls go on behind it in
/// <see cref="PublishLane"/> and <see cref="SessionLink"/>. Delivery does not pass through it at all: channels write to
/// <see cref="OutboundBuffer"/>.
/// </remarks>
internal sealed partial class ClientConnection : IConsumer, ISessionSocket, IGatewayConnection
{
    /// <summary>For so long a socket may go unread before what comes next counts as old.</summary>
    private static readonly TimeSpan PauseInReading = TimeSpan.FromMilliseconds(100);

    private readonly GatewayServices _services;
    private readonly SocketStream _stream;
    private readonly FrameReader _reader;
    private readonly Form _form;
    private readonly Compression _compression;
    private WebSocketEncoder _encoder;
    private readonly Action _abort;
    private readonly Dictionary<string, Subscription> _subscriptions = new(StringComparer.Ordinal);
    private readonly Arrivals _arrivals;
    private Caller _caller = null!;
    private SessionLink? _link;
    private CatchUpPump? _catchUp;
    private readonly IPAddress? _address;
    private string? _presentedToken;

    private bool _welcomed;
    private volatile bool _helloCame;
    private long _lastReadAt;
    private long _readingSince;

    /// <summary>Where the session stood when it was taken up; null once all of it is among the subscriptions.</summary>
    private Dictionary<string, Position>? _resuming;
    private bool _peerClosed;
    private bool _readsBytes;

    /// <summary>Makes the connection of an accepted socket.</summary>
    /// <param name="services">The silo's services.</param>
    /// <param name="socket">The library's socket, reading from <paramref name="stream"/>.</param>
    /// <param name="stream">The connection's stream.</param>
    /// <param name="form">The codec agreed on.</param>
    /// <param name="compression">What was agreed on about compression.</param>
    /// <param name="token">The token of the header or the query string, if any.</param>
    /// <param name="address">Where the client is, for the limits on bad credentials.</param>
    /// <param name="abort">Ends the transport at once; must not wait.</param>
    public ClientConnection(
        GatewayServices services,
        WebSocket socket,
        SocketStream stream,
        Form form,
        Compression compression,
        string? token,
        IPAddress? address,
        Action abort)
    {
        _address = address;
        _services = services;
        _stream = stream;
        _form = form;
        _compression = compression;
        _encoder = form.Plain;
        _presentedToken = token;
        _abort = abort;
        _arrivals = new Arrivals(_subscriptions);
        _reader = new FrameReader(
            socket, form.Codec.IsText ? WebSocketMessageType.Text : WebSocketMessageType.Binary, services.Options.MaxFrameBytes);
    }

    /// <summary>
    /// Since when the socket is read without a longer pause: what comes soon after that may have been sent long before. A timestamp of
    /// the services' clock.
    /// </summary>
    public long ReadingSince => Volatile.Read(ref _readingSince);

    /// <inheritdoc/>
    public string Tenant => _caller.Tenant;

    /// <inheritdoc/>
    public string Session { get; private set; } = string.Empty;

    /// <inheritdoc/>
    public string User { get; private set; } = string.Empty;

    /// <inheritdoc/>
    public long Generation { get; private set; }

    /// <inheritdoc/>
    public IDeliveryEncoder Encoder => _encoder;

    /// <inheritdoc/>
    public int Room => _closing ? 0 : _stream.Outbound.Room;

    /// <inheritdoc/>
    public bool IsEnding => _closing;

    /// <summary>The whole life of the connection: hello, frames until it ends, and in any case the farewell.</summary>
    public async Task RunAsync()
    {
        _services.Registry.Add(this);
        _services.Metrics.Opened();
        try
        {
            // 1. Who is there, and which session. 2. Frame after frame. 3. Below: nothing of the connection stays behind.
            if (!await HelloAsync()) return;
            while (await NextFrameAsync() is { } frame) await HandleAsync(frame);
        }
        catch (Exception e)
        {
            LogFault(_services.Logger, Session, e);
            Close(CloseCode.ServerFault, "The server had a fault.");
        }
        finally
        {
            await EndAsync();
        }
    }

    /// <inheritdoc/>
    public bool TryDeliver(ReadOnlyMemory<byte> bytes) => !_closing && _stream.Outbound.TryWrite(bytes);

    /// <inheritdoc/>
    public void OnBehind(Subscription subscription)
    {
        if (_closing) return;
        var pump = _catchUp;
        if (pump is null)
        {
            var made = new CatchUpPump(_stream.Outbound, _services.Work, _services.Time, _services.Logger);
            pump = Interlocked.CompareExchange(ref _catchUp, made, null) ?? made;
        }

        pump.Add(subscription);
    }

    /// <inheritdoc/>
    public void OnTooSlow(Subscription subscription) =>
        Close(CloseCode.TooSlow, $"The connection could not keep up with {subscription.Id.Name}.");

    /// <summary>Writes a frame to the client.</summary>
    public void Send(ServerFrame frame)
    {
        if (_closing) return;
        var output = new ArrayBufferWriter<byte>(256);
        _encoder.Encode(frame, output);
        _stream.Outbound.Write(output.WrittenMemory);
    }

    /// <summary>The next valid frame; null when the connection is over. What is wrong with others is answered here.</summary>
    private async ValueTask<ClientFrame?> NextFrameAsync()
    {
        while (true)
        {
            // A client that asks without reading its answers is not read from either.
            await Paused(_stream.Outbound.WaitForRoomAsync());
            await WaitForPublishRoomAsync();
            if (_link is not null) await Paused(_link.WaitForRoomAsync());
            if (_services.Time.GetElapsedTime(_lastReadAt) > PauseInReading) Volatile.Write(ref _readingSince, _services.Time.GetTimestamp());
            var reading = _reader.ReadAsync(CancellationToken.None);
            if (!reading.IsCompleted) StartLanes();
            var outcome = await reading;
            _lastReadAt = _services.Time.GetTimestamp();
            switch (outcome)
            {
                case ReadOutcome.Closed:
                    OnPeerClosed();
                    return null;
                case ReadOutcome.TooLarge:
                    // What inflates past the limit is not inflated any further.
                    _readsBytes = _compression != Compression.None;
                    Close(CloseCode.FrameTooLarge, $"Frames are limited to {_services.Options.MaxFrameBytes} bytes.");
                    return null;
                case ReadOutcome.Violation:
                    Close(CloseCode.ProtocolViolation, "The bytes received are no frames of this protocol.");
                    return null;
            }

            if (_closing) continue;
            var decoded = _encoder.Codec.DecodeClient(_reader.Frame);
            _services.Metrics.Received(decoded.Status == DecodeStatus.Ok);
            switch (decoded.Status)
            {
                case DecodeStatus.Ok:
                    return decoded.Frame;
                case DecodeStatus.BadFrame:
                    Send(new ErrorFrame(decoded.Id, ErrorCode.BadFrame, decoded.Error!));
                    if (_welcomed) continue;
                    Close(CloseCode.ProtocolViolation, "The first frame must be a hello.");
                    return null;
                default:
                    Close(CloseCode.ProtocolViolation, decoded.Error ?? "No frame.");
                    return null;
            }
        }
    }

    /// <summary>What is waited for before the next read, for which nothing that was read already may wait.</summary>
    private Task Paused(Task wait)
    {
        if (!wait.IsCompleted) StartLanes();
        return wait;
    }

    private async Task<bool> HelloAsync()
    {
        var entered = _services.Registry.TryEnterHello(_services.Options.MaxPendingHellos);
        try
        {
            if (!entered)
            {
                Close(CloseCode.ServerFault, "Too many connections are waiting to say hello; try again.");
                return false;
            }

            if (await NextFrameAsync() is not { } first) return false;
            if (first is not HelloFrame hello)
            {
                Close(CloseCode.ProtocolViolation, "The first frame must be a hello.");
                return false;
            }

            _helloCame = true;
            var (caller, problem) = await AuthenticateAsync(hello.Token ?? _presentedToken);
            _presentedToken = null;
            if (caller is null)
            {
                Send(new ErrorFrame(null, problem!.Code, problem.Detail));
                Close(problem.Code == ErrorCode.Unauthorized ? CloseCode.Unauthorized : CloseCode.ServerFault, problem.Detail);
                return false;
            }

            // From here on it is no stranger: the place is for the next one, however long the session takes.
            _services.Registry.LeaveHello();
            entered = false;
            _caller = caller;
            if (_compression == Compression.Both && _services.Options.Compression.Allows(caller.Tenant)) _encoder = _form.Deflating;
            User = caller.User ?? UserName.Server;
            return await TakeUpSessionAsync(hello.Resume);
        }
        catch (Exception e) when (Outage.Is(e))
        {
            // The session is whole, only out of reach: the client tries again.
            var level = Outage.LevelOf(e);
            LogHelloFailed(_services.Logger, level, Session, e);
            Close(CloseCode.ServerFault, "The session cannot be taken up right now; try again.");
            return false;
        }
        finally
        {
            if (entered) _services.Registry.LeaveHello();
        }
    }

    private ValueTask<(Caller? Caller, GridProblem? Problem)> AuthenticateAsync(string? token) =>
        _services.Credentials.CheckAsync(token ?? string.Empty, _address);

    private async Task EndAsync()
    {
        try
        {
            StartLanes();
            _closing = true;

            // In this order: one moves from the arrivals to the others at any time, and leaving twice does no harm.
            foreach (var subscription in (Subscription[])[.. _arrivals.All, .. Subscriptions()]) subscription.Channel.Leave(subscription);
            if (_link is not null) _services.Hub.Unregister(this);
            var detached = _link?.DetachAsync() ?? Task.CompletedTask;
            if (_peerClosed)
            {
                // Who resumes when its close is answered finds what it acknowledged, unless the store takes too long over the report.
                if (_reader.PeerCloseCode is not null) await AwaitReportAsync(detached);
                AnswerClose(_reader.PeerCloseCode);
            }

            // What was written last, the close frame with it, should arrive before the transport goes.
            await AwaitPeerCloseAsync();
            await _stream.Outbound.FlushAsync(FlushPatience, _services.Time);
            _stream.Outbound.Close();
            await detached;
        }
        catch (Exception e)
        {
            LogFault(_services.Logger, Session, e);
        }
        finally
        {
            _stream.Outbound.Close();
            _reader.Release();
            _services.Registry.Remove(this);
            _services.Metrics.Ended();
        }
    }

    /// <summary>
    /// After a close of ours: discards what still comes until the peer has closed too. Ending the transport with bytes unread would
    /// reset it, and the peer might never see the close code. <see cref="Tick"/> aborts a peer that takes too long.
    /// </summary>
    private async Task AwaitPeerCloseAsync()
    {
        while (!_peerClosed)
        {
            switch (_readsBytes ? ReadOutcome.Violation : await _reader.ReadAsync(CancellationToken.None))
            {
                case ReadOutcome.Closed:
                    return;
                case ReadOutcome.TooLarge when _compression != Compression.None:
                    _readsBytes = true;
                    break;
                case ReadOutcome.Violation:
                    // The library reads no further; the bytes themselves can still be taken.
                    var rest = new byte[1024];
                    try
                    {
                        while (await _stream.ReadAsync(rest) > 0)
                        {
                        }
                    }
                    catch (Exception e) when (e is IOException or OperationCanceledException)
                    {
                    }

                    return;
            }
        }
    }

    private Subscription[] Subscriptions()
    {
        lock (_subscriptions) return [.. _subscriptions.Values];
    }

    [LoggerMessage("Session {Session} could not be taken up")]
    private static partial void LogHelloFailed(ILogger logger, LogLevel level, string session, Exception exception);

    [LoggerMessage(LogLevel.Error, "The connection of session {Session} had a fault")]
    private static partial void LogFault(ILogger logger, string session, Exception exception);
}

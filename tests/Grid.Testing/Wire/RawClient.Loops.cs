using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Google.Protobuf;

namespace Grid.Testing.Wire;

// Opening the socket, and the two loops that read and write it.
public sealed partial class RawClient
{
    private async Task OpenSocketAsync(Uri host)
    {
        using var deadline = new TestDeadline(_options.Timeout);
        var uri = new UriBuilder(host) { Scheme = host.Scheme == "https" ? "wss" : "ws", Path = "/v1/ws" };
        _socket.Options.KeepAliveInterval = TimeSpan.Zero;
        if (_options.Subprotocol is { } subprotocol) _socket.Options.AddSubProtocol(subprotocol);
        if (_options.Compression) _socket.Options.DangerousDeflateOptions = new WebSocketDeflateOptions();
        if (_options.Token is { } token && _options.TokenPlace == TokenPlace.Query) uri.Query = "token=" + Uri.EscapeDataString(token);
        if (_options.Token is { } bearer && _options.TokenPlace == TokenPlace.Header)
        {
            _socket.Options.SetRequestHeader("Authorization", "Bearer " + bearer);
        }

        using var handler = new SocketsHttpHandler { ConnectCallback = ConnectTcpAsync, UseProxy = false };
        var invoker = new HttpMessageInvoker(handler, disposeHandler: false);
        await _socket.ConnectAsync(uri.Uri, invoker, deadline.Token).ConfigureAwait(false);
        _reading = Task.Run(ReadAsync);
        _writing = Task.Run(WriteAsync);
        if (_options.Silence is { } silence) _watching = WatchAsync(silence);
    }

    private async Task WatchAsync(TimeSpan silence)
    {
        using var timer = new PeriodicTimer(silence / 8);
        _ = _closed.Task.ContinueWith(static (_, t) => ((PeriodicTimer)t!).Dispose(), timer, TaskScheduler.Default);
        var (seen, heard) = (0L, Environment.TickCount64);
        while (!_closed.Task.IsCompleted && await timer.WaitForNextTickAsync().ConfigureAwait(false))
        {
            var count = Interlocked.Read(ref _count);
            if (count != seen) (seen, heard) = (count, Environment.TickCount64);
            var quiet = Environment.TickCount64 - heard;
            if (quiet > silence.TotalMilliseconds) Abort();
            else if (quiet > silence.TotalMilliseconds / 2) Send(ClientFrames.Ping);
        }
    }

    private async ValueTask<Stream> ConnectTcpAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var tcp = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            // Must be set before connecting: it decides the window that is offered.
            if (_options.ReceiveBufferBytes is { } bytes) tcp.ReceiveBufferSize = bytes;
            await tcp.ConnectAsync(context.DnsEndPoint, cancellationToken).ConfigureAwait(false);
            _tcp = tcp;
            return new NetworkStream(tcp, ownsSocket: true);
        }
        catch
        {
            tcp.Dispose();
            throw;
        }
    }

    private async Task ReadAsync()
    {
        var close = new RawClose(1006, "the socket ended without a close frame");
        var buffer = new byte[16 * 1024];
        var length = 0;
        try
        {
            while (true)
            {
                await _mayRead.Task.ConfigureAwait(false);
                if (length == buffer.Length) Array.Resize(ref buffer, buffer.Length * 2);
                var read = await _socket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None).ConfigureAwait(false);
                if (read.MessageType == WebSocketMessageType.Close)
                {
                    close = new RawClose((int)(_socket.CloseStatus ?? WebSocketCloseStatus.Empty), _socket.CloseStatusDescription ?? "");
                    if (_socket.State == WebSocketState.CloseReceived)
                    {
                        await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None).ConfigureAwait(false);
                    }

                    break;
                }

                length += read.Count;
                if (!read.EndOfMessage) continue;
                if ((read.MessageType == WebSocketMessageType.Binary) != IsBinary)
                {
                    throw new TestFailedException($"The server sent a {read.MessageType} message on {_options.Subprotocol}.");
                }

                Received(IsBinary ? ProtoFrames.ToJson(buffer.AsSpan(0, length)) : Encoding.UTF8.GetString(buffer, 0, length));
                length = 0;
            }
        }
        catch (Exception e)
        {
            // Whatever ends the loop, a lost socket or a frame that the test could not read, is told by how the connection closed.
            var unreadable = e is JsonException or InvalidProtocolBufferException or TestFailedException;
            if (close.Code == 1006) close = new RawClose(1006, unreadable ? $"a frame was not readable: {e.Message}" : e.Message);
            _socket.Abort();
        }

        Ended(close);
    }

    private void Received(string text)
    {
        var frame = new RawFrame(_count, text);
        TaskCompletionSource<RawFrame>? reply = null;
        List<TaskCompletionSource<RawFrame>>? found = null;
        lock (_gate)
        {
            _count++;
            _frames.Add(frame);
            if (_options.KeptFrames != int.MaxValue && _frames.Count > 2 * _options.KeptFrames)
            {
                _frames.RemoveRange(0, _frames.Count - _options.KeptFrames);
            }

            if (frame.Type is not "message" && frame.Id is { } id) _replies.Remove(id, out reply);
            for (var i = _waiters.Count - 1; i >= 0; i--)
            {
                if (!_waiters[i].Match(frame)) continue;
                (found ??= []).Add(_waiters[i].Found);
                _waiters.RemoveAt(i);
            }
        }

        _options.OnFrame?.Invoke(frame);
        reply?.TrySetResult(frame);
        found?.ForEach(f => f.TrySetResult(frame));
    }

    private void Ended(RawClose close)
    {
        List<TaskCompletionSource<RawFrame>> open;
        lock (_gate)
        {
            _end = close;
            open = [.. _waiters.Select(w => w.Found), .. _replies.Values];
            _waiters.Clear();
            _replies.Clear();
        }

        _outgoing.Writer.TryComplete();
        foreach (var waiter in open) waiter.TrySetCanceled();
        _options.OnEnd?.Invoke(close);
        _closed.TrySetResult(close);
    }

    private async Task WriteAsync()
    {
        try
        {
            var type = IsBinary ? WebSocketMessageType.Binary : WebSocketMessageType.Text;
            await foreach (var (bytes, note) in _outgoing.Reader.ReadAllAsync().ConfigureAwait(false))
            {
                if (_options.KeptFrames == int.MaxValue)
                {
                    lock (_gate) _notes.Add(RawFrame.Shorten(note, 200));
                }

                await _socket.SendAsync(bytes, type, true, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is WebSocketException or ObjectDisposedException or IOException or InvalidOperationException or SocketException or OperationCanceledException)
        {
            // The reading loop says how the connection ended.
        }
    }
}

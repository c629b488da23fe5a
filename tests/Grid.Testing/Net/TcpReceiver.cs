using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Grid.Testing.Net;

/// <summary>
/// An endpoint, on loopback unless told otherwise, that does with its connections what a test says, byte by byte. It can be closed, so that connections are
/// refused, and opened again on the same port.
/// </summary>
public sealed class TcpReceiver : IAsyncDisposable
{
    private readonly Func<TcpReceiverConnection, Task> _serve;
    private readonly X509Certificate2? _certificate;
    private readonly IPAddress _address;
    private readonly Lock _gate = new();
    private readonly HashSet<Task> _serving = [];
    private readonly List<string> _serverNames = [];
    private TcpListener? _listener;
    private CancellationTokenSource _stop = new();
    private Task _accepting = Task.CompletedTask;
    private int _connections;

    /// <summary>Starts one.</summary>
    /// <param name="serve">Called for each connection, which is closed afterwards.</param>
    /// <param name="certificate">For TLS.</param>
    /// <param name="address">Where it listens; null for loopback.</param>
    public TcpReceiver(Func<TcpReceiverConnection, Task> serve, X509Certificate2? certificate = null, IPAddress? address = null)
    {
        (_serve, _certificate, _address) = (serve, certificate, address ?? IPAddress.Loopback);
        Port = FreePort.Next();
        Open();
    }

    /// <summary>One that answers each request with the same text.</summary>
    public static TcpReceiver Answering(string answer) => new(async connection =>
    {
        while (await connection.ReadRequestAsync() is not null) await connection.SendAsync(answer);
    });

    /// <summary>Where it listens, also while it is closed.</summary>
    public int Port { get; }

    /// <summary>The connections that it accepted.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>The server names that TLS clients asked for.</summary>
    public IReadOnlyList<string> ServerNames
    {
        get
        {
            lock (_gate) return [.. _serverNames];
        }
    }

    /// <summary>Listens again, after <see cref="CloseAsync"/>.</summary>
    public void Open()
    {
        if (_listener is not null) throw new InvalidOperationException("It is open.");
        _listener = new TcpListener(_address, Port);
        _listener.Start(backlog: 4096);
        _stop = new CancellationTokenSource();
        _accepting = AcceptAsync(_listener, _stop.Token);
    }

    /// <summary>Closes: connections are reset, and new ones refused.</summary>
    public async Task CloseAsync()
    {
        if (_listener is null) return;
        await _stop.CancelAsync();
        await _accepting;
        _listener.Stop();
        _listener = null;
        Task[] serving;
        lock (_gate) serving = [.. _serving];
        await Task.WhenAll(serving);
        _stop.Dispose();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await CloseAsync();

    private async Task AcceptAsync(TcpListener listener, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                var socket = await listener.AcceptSocketAsync(stop);
                socket.NoDelay = true;
                Interlocked.Increment(ref _connections);
                var serving = ServeAsync(socket, stop);
                lock (_gate) _serving.Add(serving);
                _ = serving.ContinueWith(
                    done =>
                    {
                        lock (_gate) _serving.Remove(done);
                    },
                    CancellationToken.None,
                    TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Closed.
        }
    }

    private async Task ServeAsync(Socket socket, CancellationToken stop)
    {
        using var owned = socket;
        try
        {
            Stream stream = new NetworkStream(socket);
            if (_certificate is not null) stream = await SecureAsync(stream, _certificate, stop);
            await using (stream) await _serve(new TcpReceiverConnection(socket, stream, stop));
        }
        catch (Exception e) when (
            e is IOException or SocketException or OperationCanceledException or System.Security.Authentication.AuthenticationException or ObjectDisposedException)
        {
            // The other end left, or this one was closed: then without a goodbye.
            if (stop.IsCancellationRequested && socket.Connected) socket.LingerState = new LingerOption(true, 0);
        }
    }

    private async Task<Stream> SecureAsync(Stream stream, X509Certificate2 certificate, CancellationToken stop)
    {
        var tls = new SslStream(stream);

        // Offline: the certificate alone is sent, and its issuer is not looked for at this end either.
        var context = SslStreamCertificateContext.Create(certificate, additionalCertificates: null, offline: true);
        await tls.AuthenticateAsServerAsync(
            (_, hello, _, _) =>
            {
                lock (_gate) _serverNames.Add(hello.ServerName);
                return ValueTask.FromResult(new SslServerAuthenticationOptions { ServerCertificateContext = context });
            },
            null,
            stop);
        return tls;
    }
}

using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Grid.UnitTests.Webhooks.Network;

/// <summary>An endpoint on loopback that does with its connections what a test says, byte by byte.</summary>
internal sealed class Receiver : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;
    private readonly List<Task> _serving = [];
    private int _connections;

    /// <summary>Starts one.</summary>
    /// <param name="serve">Called for each connection, which is closed afterwards.</param>
    /// <param name="certificate">For TLS.</param>
    public Receiver(Func<Connection, Task> serve, X509Certificate2? certificate = null)
    {
        _listener.Start();
        _accepting = AcceptAsync(serve, certificate);
    }

    /// <summary>One that answers each request with the same text.</summary>
    public static Receiver Answering(string answer) => new(async connection =>
    {
        while (await connection.ReadRequestAsync() is not null) await connection.SendAsync(answer);
    });

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>The connections that it accepted.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>The server names that TLS clients asked for.</summary>
    public List<string> ServerNames { get; } = [];

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Stop();
        await Task.WhenAll(_serving);
        _stop.Dispose();
    }

    private async Task AcceptAsync(Func<Connection, Task> serve, X509Certificate2? certificate)
    {
        try
        {
            while (true)
            {
                var socket = await _listener.AcceptSocketAsync(_stop.Token);
                Interlocked.Increment(ref _connections);
                _serving.Add(ServeAsync(socket, serve, certificate));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Stopped.
        }
    }

    private async Task ServeAsync(Socket socket, Func<Connection, Task> serve, X509Certificate2? certificate)
    {
        using var owned = socket;
        try
        {
            Stream stream = new NetworkStream(socket);
            if (certificate is not null)
            {
                var tls = new SslStream(stream);

                // Offline: the certificate alone is sent, and its issuer is not looked for at this end either.
                var context = SslStreamCertificateContext.Create(certificate, additionalCertificates: null, offline: true);
                await tls.AuthenticateAsServerAsync(
                    (_, hello, _, _) =>
                    {
                        lock (ServerNames) ServerNames.Add(hello.ServerName);
                        return ValueTask.FromResult(new SslServerAuthenticationOptions { ServerCertificateContext = context });
                    },
                    null,
                    _stop.Token);
                stream = tls;
            }

            await using (stream) await serve(new Connection(socket, stream, _stop.Token));
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or System.Security.Authentication.AuthenticationException or ObjectDisposedException)
        {
            // The other end left, or the test is over.
        }
    }

    /// <summary>A connection that was accepted.</summary>
    public sealed class Connection(Socket socket, Stream stream, CancellationToken stop)
    {
        private readonly byte[] _buffer = new byte[64 * 1024];
        private int _length;

        public Stream Stream => stream;

        /// <summary>Cancelled when the test is over.</summary>
        public CancellationToken Stop => stop;

        /// <summary>Reads a request: its head and body as they came; null at the end.</summary>
        public async Task<string?> ReadRequestAsync()
        {
            while (true)
            {
                var text = Encoding.Latin1.GetString(_buffer, 0, _length);
                var head = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
                if (head >= 0)
                {
                    var length = text[..head].Split("\r\n").Where(l => l.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))
                        .Select(l => int.Parse(l[15..], System.Globalization.CultureInfo.InvariantCulture)).FirstOrDefault();
                    var whole = head + 4 + length;
                    if (_length >= whole)
                    {
                        _buffer.AsSpan(whole, _length - whole).CopyTo(_buffer);
                        _length -= whole;
                        return text[..whole];
                    }
                }

                var read = await stream.ReadAsync(_buffer.AsMemory(_length), stop);
                if (read == 0) return null;
                _length += read;
            }
        }

        public async Task SendAsync(string text) => await stream.WriteAsync(Encoding.Latin1.GetBytes(text), stop);

        /// <summary>Waits until the test is over.</summary>
        public Task HangAsync() => Task.Delay(Timeout.Infinite, stop);

        /// <summary>Closes with a reset.</summary>
        public void Reset()
        {
            socket.LingerState = new LingerOption(true, 0);
            socket.Close();
        }
    }
}

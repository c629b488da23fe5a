using Grid.Client;
using Grid.Protocol;

namespace Grid.Testing.Sdk;

/// <summary>
/// Real WebSockets that a test can break beneath the client: without a close frame, and with whatever is on its way lost. While
/// <see cref="Offline"/>, attempts to connect fail, as in a network without a route.
/// </summary>
public sealed class CuttableTransport : IGridTransport
{
    private readonly WebSocketTransport _inner = new();
    private readonly Lock _gate = new();
    private readonly List<Connection> _open = [];
    private bool _offline;
    private int _connects;

    /// <summary>How many connections were made.</summary>
    public int Connects => Volatile.Read(ref _connects);

    /// <summary>Picks the host of each connection, in the place of a balancer; null for the address that the client was given.</summary>
    public Func<Uri>? Pick { get; init; }

    /// <summary>Called with each frame received, before the client gets it.</summary>
    public Action<ReadOnlyMemory<byte>>? OnReceived { get; init; }

    /// <summary>Whether no connection can be made. Turning it on cuts what is open.</summary>
    public bool Offline
    {
        get
        {
            lock (_gate) return _offline;
        }

        set
        {
            lock (_gate) _offline = value;
            if (value) Cut();
        }
    }

    /// <summary>Breaks what is open.</summary>
    public void Cut()
    {
        Connection[] open;
        lock (_gate)
        {
            open = [.. _open];
            _open.Clear();
        }

        foreach (var connection in open) connection.Break();
    }

    public async Task<IGridConnection> ConnectAsync(Uri uri, string subprotocol, CancellationToken cancellationToken)
    {
        if (Offline) throw new IOException("There is no network.");
        if (Pick?.Invoke() is { } host) uri = new UriBuilder(uri) { Host = host.Host, Port = host.Port }.Uri;
        var connection = new Connection(this, await _inner.ConnectAsync(uri, subprotocol, cancellationToken));
        lock (_gate)
        {
            if (!_offline)
            {
                _open.Add(connection);
                _connects++;
                return connection;
            }
        }

        await connection.DisposeAsync();
        throw new IOException("There is no network.");
    }

    private sealed class Connection(CuttableTransport owner, IGridConnection inner) : IGridConnection
    {
        private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Break() => _broken.TrySetException(new IOException("The connection was cut."));

        public ValueTask SendAsync(ReadOnlyMemory<byte> frame, bool isText, CancellationToken cancellationToken) =>
            _broken.Task.IsFaulted ? ValueTask.FromException(_broken.Task.Exception.InnerException!) : inner.SendAsync(frame, isText, cancellationToken);

        public async ValueTask<Incoming> ReceiveAsync(CancellationToken cancellationToken)
        {
            var receiving = inner.ReceiveAsync(cancellationToken).AsTask();
            if (await Task.WhenAny(receiving, _broken.Task) != receiving)
            {
                // Nobody reads it any more: what it gets is lost, as it would be on its way.
                _ = receiving.ContinueWith(static t => t.Exception, TaskScheduler.Default);
                await _broken.Task;
            }

            var incoming = await receiving;
            if (incoming.CloseCode is null) owner.OnReceived?.Invoke(incoming.Frame);
            return incoming;
        }

        public ValueTask CloseAsync(CloseCode code, string reason, CancellationToken cancellationToken) => inner.CloseAsync(code, reason, cancellationToken);

        public ValueTask DisposeAsync()
        {
            lock (owner._gate) owner._open.Remove(this);
            _broken.TrySetResult();
            return inner.DisposeAsync();
        }
    }
}

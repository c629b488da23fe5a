using System.Net;
using System.Net.Sockets;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Makes every connection of a webhook, whether for a delivery, a test or a handshake:
/// <list type="number">
/// <item>the port is checked, and the name looked up, once;</item>
/// <item>if any of its addresses is refused, so is the host: a name that leads outside and inside is meant to be tried until it leads inside;</item>
/// <item>the checked addresses are tried in turn, by address, so that no second look-up can answer otherwise.</item>
/// </list>
/// TLS is the HTTP handler's, on the stream returned, for the name in the URL.
/// </summary>
/// <remarks>
/// The stream is never an <see cref="System.Net.Security.SslStream"/>: the handler takes one from its callback for the endpoint's own
/// TLS and would send the message without. This is why the proxy cannot be spoken to by TLS.
/// </remarks>
internal sealed class GuardedConnector(WebhookNetworkOptions options, IHostResolver resolver, TimeProvider time)
{
    /// <summary>A name may have many addresses; a caller waits for these at most.</summary>
    private const int MaxTried = 6;

    /// <summary>No address but the last is given less than this, or slow ones would never be reached.</summary>
    private static readonly TimeSpan LeastPatience = TimeSpan.FromSeconds(1);

    private readonly NetworkRules _rules = new(options);
    private readonly EgressProxy? _proxy = options.EgressProxy.Url is null ? null : new EgressProxy(options.EgressProxy, resolver, time);

    /// <summary>The handler's <see cref="SocketsHttpHandler.ConnectCallback"/>.</summary>
    /// <remarks>
    /// With HTTP/2 the handler makes one connection to a host at a time, for one request, and all others to that host wait meanwhile. So
    /// this waits for no look-ups of the tenant's other names: it fails as busy, and the request is made again after
    /// <see cref="LookUpAsync"/>, for which only its own tenant waits.
    /// </remarks>
    public ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        var request = context.InitialRequestMessage as Request;
        return new(ConnectAsync(context.DnsEndPoint, request?.Tenant ?? string.Empty, request?.Addresses, cancellation));
    }

    /// <summary>Connects to a host, for a tenant.</summary>
    /// <param name="target">The host.</param>
    /// <param name="tenant">The tenant.</param>
    /// <param name="addresses">What <see cref="LookUpAsync"/> told of the host just now; null: it was not called.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <exception cref="WebhookConnectException">It is refused, or no connection could be made.</exception>
    public async Task<Stream> ConnectAsync(DnsEndPoint target, string tenant, IPAddress[]? addresses, CancellationToken cancellation)
    {
        // 1. Port and name.
        if (!_rules.AllowsPort(target.Port)) throw new AddressRefusedException(target.Host, null, AddressKind.Global);
        addresses ??= await ResolveAsync(target.Host, tenant, resolver.ResolveAtOnceAsync, cancellation);

        // 2. All of the addresses.
        foreach (var address in addresses)
        {
            if (_rules.Addresses.Refusal(address) is { } kind) throw new AddressRefusedException(target.Host, address, kind);
        }

        // 3. Those very addresses.
        if (addresses.Length == 0) return await _proxy!.ConnectAsync(target, cancellation);
        return _proxy is null
            ? await InTurnAsync(addresses, (address, stop) => DialAsync(new IPEndPoint(address, target.Port), stop), cancellation)
            : options.EgressProxy.ResolveAtProxy
                ? await _proxy.ConnectAsync(target, cancellation)
                : await InTurnAsync(addresses, (address, stop) => _proxy.ConnectAsync(new DnsEndPoint(address.ToString(), target.Port), stop), cancellation);
    }

    /// <summary>Looks up a host for a request that is made afterwards (<see cref="Request.Addresses"/>), when it is the tenant's turn.</summary>
    /// <returns>The host's addresses; none only if the proxy is to look up a name that is unknown here.</returns>
    /// <exception cref="WebhookConnectException">There are none, or it did not become the tenant's turn.</exception>
    public Task<IPAddress[]> LookUpAsync(string host, string tenant, CancellationToken cancellation) =>
        ResolveAsync(host, tenant, resolver.ResolveAsync, cancellation);

    /// <summary>Connects to an address, without delay for small writes.</summary>
    internal static async Task<Stream> DialAsync(IPEndPoint address, CancellationToken cancellation)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task<IPAddress[]> ResolveAsync(
        string host, string tenant, Func<string, string, Task<IPAddress[]>> lookUp, CancellationToken cancellation)
    {
        if (IPAddress.TryParse(host, out var literal)) return [literal];
        try
        {
            var addresses = await lookUp(host, tenant).WaitAsync(options.ResolveTimeout, time, cancellation);
            if (addresses.Length > 0) return addresses;
        }
        catch (Exception e) when (e is SocketException or TimeoutException or ArgumentException or WebhookConnectException)
        {
            // The proxy must check names itself: what it looks up later can differ from what is found here.
            if (!options.EgressProxy.ResolveAtProxy || _proxy is null) throw NotResolved(e);
            return [];
        }

        return _proxy is not null && options.EgressProxy.ResolveAtProxy ? [] : throw NotResolved(null);
    }

    private static WebhookConnectException NotResolved(Exception? e) => e as WebhookConnectException ?? new(
        WebhookErrorClass.Dns,
        e is TimeoutException ? "The host's name could not be looked up in time." : "The host's name has no address.",
        e);

    private async Task<Stream> InTurnAsync(
        IPAddress[] addresses, Func<IPAddress, CancellationToken, Task<Stream>> connect, CancellationToken cancellation)
    {
        var tries = Math.Min(addresses.Length, MaxTried);
        var patience = options.ConnectTimeout / tries;
        if (patience < LeastPatience) patience = LeastPatience;
        for (var i = 0; ; i++)
        {
            // The last has whatever the handler leaves: what is over then is the time for the connection, not for this address.
            using var limit = i < tries - 1 ? new CancellationTokenSource(patience, time) : new CancellationTokenSource();
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
            try
            {
                return await connect(addresses[i], stop.Token);
            }
            catch (OperationCanceledException) when (limit.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                continue;
            }
            catch (Exception e) when (e is SocketException or WebhookConnectException { Error: WebhookErrorClass.Connect })
            {
                if (i < tries - 1) continue;
                throw e as WebhookConnectException ?? new WebhookConnectException(WebhookErrorClass.Connect, Text((SocketException)e), e);
            }
        }
    }

    /// <summary>The system's own texts may tell the address.</summary>
    private static string Text(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.ConnectionRefused => "The connection was refused.",
        SocketError.TimedOut => "Nobody answered at the host's address.",
        SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.HostDown => "The host cannot be reached.",
        SocketError.ConnectionReset => "The connection was reset.",
        _ => "No connection could be made.",
    };

    /// <summary>A request that tells for which tenant its connection is made. Its options would do, for a dictionary each.</summary>
    internal sealed class Request(HttpMethod method, Uri url, string tenant) : HttpRequestMessage(method, url)
    {
        /// <summary>The tenant.</summary>
        public string Tenant => tenant;

        /// <summary>The host's addresses, if they were looked up beforehand; they are still to be checked.</summary>
        public IPAddress[]? Addresses { get; init; }
    }
}

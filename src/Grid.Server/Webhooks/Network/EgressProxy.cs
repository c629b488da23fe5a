using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Makes tunnels through a proxy by <c>CONNECT</c> (RFC 9110, 9.3.6). The HTTP handler's own support for proxies looks the endpoint's
/// name up at the proxy and, for plain http, sends no <c>CONNECT</c>; here the target is the address that was checked.
/// </summary>
/// <param name="options">The proxy's settings, with its URL.</param>
/// <param name="resolver">Looks up the proxy's own name.</param>
/// <param name="time">The clock.</param>
internal sealed class EgressProxy(EgressProxyOptions options, IHostResolver resolver, TimeProvider time)
{
    /// <summary>The most bytes of the proxy's answer up to its empty line.</summary>
    private const int MaxHead = 8 * 1024;

    private readonly byte[] _credentials = options.UserName is null
        ? []
        : Encoding.ASCII.GetBytes($"Proxy-Authorization: Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes($"{options.UserName}:{options.Password}"))}\r\n");

    /// <summary>Makes a tunnel.</summary>
    /// <returns>A stream to the target; nothing of the proxy's is left in it.</returns>
    /// <exception cref="WebhookConnectException">
    /// <see cref="WebhookErrorClass.Proxy"/> if the proxy could not be reached or refuses; <see cref="WebhookErrorClass.Connect"/> if it
    /// answers 502, 503 or 504, by which proxies say that they could not reach the target.
    /// </exception>
    public async Task<Stream> ConnectAsync(DnsEndPoint target, CancellationToken cancellation)
    {
        var stream = await DialAsync(cancellation);
        try
        {
            await stream.WriteAsync(Request(target), cancellation);
            Judge(await ReadStatusAsync(stream, cancellation));
            return stream;
        }
        catch (Exception e)
        {
            await stream.DisposeAsync();
            if (e is IOException and not WebhookConnectException) throw Failed("The egress proxy closed the connection.", e);
            throw;
        }
    }

    private static WebhookConnectException Failed(string message, Exception? inner = null) => new(WebhookErrorClass.Proxy, message, inner);

    private static void Judge(int status)
    {
        if (status is >= 200 and < 300) return;
        throw status switch
        {
            502 or 503 or 504 => new WebhookConnectException(
                WebhookErrorClass.Connect, string.Create(CultureInfo.InvariantCulture, $"The egress proxy could not reach the host ({status}).")),
            _ => Failed(string.Create(CultureInfo.InvariantCulture, $"The egress proxy answered {status}.")),
        };
    }

    private async Task<Stream> DialAsync(CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(options.ConnectTimeout, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
        try
        {
            SocketException? last = null;
            foreach (var address in await AddressesAsync(stop.Token))
            {
                try
                {
                    return await GuardedConnector.DialAsync(new IPEndPoint(address, options.Url!.Port), stop.Token);
                }
                catch (SocketException e)
                {
                    last = e;
                }
            }

            throw Failed("The egress proxy cannot be reached.", last);
        }
        catch (Exception e) when (e is SocketException or TimeoutException)
        {
            throw Failed("The egress proxy cannot be found.", e);
        }
        catch (OperationCanceledException e) when (limit.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw Failed("The egress proxy cannot be reached in time.", e);
        }
    }

    private async Task<IPAddress[]> AddressesAsync(CancellationToken cancellation)
    {
        var host = options.Url!.IdnHost;
        return IPAddress.TryParse(host, out var literal) ? [literal] : await resolver.ResolveAsync(host, tenant: string.Empty).WaitAsync(cancellation);
    }

    private ReadOnlyMemory<byte> Request(DnsEndPoint target)
    {
        var host = target.Host.Contains(':', StringComparison.Ordinal) && target.Host[0] != '[' ? $"[{target.Host}]" : target.Host;
        var authority = string.Create(CultureInfo.InvariantCulture, $"{host}:{target.Port}");
        return (byte[])[.. Encoding.ASCII.GetBytes($"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"), .. _credentials, (byte)'\r', (byte)'\n'];
    }

    private static async Task<int> ReadStatusAsync(Stream stream, CancellationToken cancellation)
    {
        var head = new byte[MaxHead];
        var length = 0;
        while (true)
        {
            var read = length < MaxHead ? await stream.ReadAsync(head.AsMemory(length), cancellation) : 0;
            if (read == 0) throw Failed("The egress proxy's answer is not HTTP.");
            length += read;
            var end = head.AsSpan(0, length).IndexOf("\r\n\r\n"u8);
            if (end < 0) continue;
            var status = Status(head.AsSpan(0, end));

            // The endpoint speaks only when spoken to, so what follows a success is not its.
            if (status is >= 200 and < 300 && end + 4 != length) throw Failed("The egress proxy's answer is not HTTP.");
            return status;
        }
    }

    /// <summary>The status of a head like <c>HTTP/1.1 200 Connection established</c>.</summary>
    private static int Status(ReadOnlySpan<byte> head)
    {
        if (head.Length >= 12 && head.StartsWith("HTTP/1."u8) && head[8] == (byte)' '
            && int.TryParse(head.Slice(9, 3), NumberStyles.None, CultureInfo.InvariantCulture, out var status))
        {
            return status;
        }

        throw Failed("The egress proxy's answer is not HTTP.");
    }
}

using System.Net;
using System.Net.Sockets;
using Grid.Server.Hosting;

namespace Grid.Host;

/// <summary>
/// Looks at the addresses to listen on before anything starts: the web server binds them last, and a start that is refused only then
/// has to stop a silo that just came up.
/// </summary>
internal static class ListenAddresses
{
    /// <summary>What to do about an address that is taken.</summary>
    public const string Advice = "Stop what uses it, or choose another with --urls http://localhost:8081.";

    /// <summary>Checks every address of a list separated by semicolons.</summary>
    /// <exception cref="GridStartupException">One is no address, is taken, or may not be used.</exception>
    public static void CheckFree(string? urls)
    {
        foreach (var url in (urls ?? string.Empty).Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            BindingAddress address;
            try
            {
                address = BindingAddress.Parse(url);
            }
            catch (Exception e) when (e is FormatException or ArgumentException or InvalidOperationException)
            {
                throw new GridStartupException($"'{url}' in --urls is no address. Write it like http://localhost:8080.");
            }

            if (address.IsUnixPipe || address.IsNamedPipe || address.Port == 0) continue;
            var ip = string.Equals(address.Host, "localhost", StringComparison.OrdinalIgnoreCase) ? IPAddress.Loopback
                : IPAddress.TryParse(address.Host, out var literal) ? literal
                : IPAddress.Any;
            Probe(url, new IPEndPoint(ip, address.Port));
        }
    }

    private static void Probe(string url, IPEndPoint endpoint)
    {
        try
        {
            using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);

            // As the web server does, so that connections of a process that just ended do not count.
            socket.Bind(endpoint);
            socket.Listen();
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            throw new GridStartupException($"The address {url} is in use by another program. {Advice}");
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AccessDenied)
        {
            throw new GridStartupException($"Not allowed to listen on {url}: ports below 1024 need special rights. {Advice}");
        }
    }
}

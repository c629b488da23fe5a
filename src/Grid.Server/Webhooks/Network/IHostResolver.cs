using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>Looks up the addresses of names.</summary>
internal interface IHostResolver
{
    /// <summary>Looks up a name. How long to wait for the answer is the caller's to limit.</summary>
    /// <returns>Its addresses, in the order in which to try them.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The name does not exist, has no address, or nobody answered.</exception>
    /// <exception cref="TimeoutException">Too many other look-ups are under way.</exception>
    Task<IPAddress[]> ResolveAsync(string host);
}

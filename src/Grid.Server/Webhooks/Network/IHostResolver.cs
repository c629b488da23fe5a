using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>Looks up the addresses of names.</summary>
internal interface IHostResolver
{
    /// <summary>Looks up a name. How long to wait for the answer is the caller's to limit.</summary>
    /// <param name="host">The name.</param>
    /// <param name="tenant">For whom; empty for Grid itself. Tenants share no limits.</param>
    /// <returns>Its addresses, in the order in which to try them.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The name does not exist, has no address, or nobody answered.</exception>
    /// <exception cref="WebhookConnectException">
    /// Too many other look-ups are under way (<see cref="WebhookErrorClass.Busy"/>), which says nothing about the name.
    /// </exception>
    Task<IPAddress[]> ResolveAsync(string host, string tenant);

    /// <summary>
    /// The same for a caller whom others wait behind, of other tenants among them: where it would have to wait until the tenant's other
    /// look-ups are over, it fails at once, by <see cref="WebhookErrorClass.Busy"/>.
    /// </summary>
    Task<IPAddress[]> ResolveAtOnceAsync(string host, string tenant) => ResolveAsync(host, tenant);
}

using Grid.Server.Api;
using Grid.Server.Gateway;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Hosting;

/// <summary>Maps Grid's endpoints on an ASP.NET application.</summary>
public static class GridEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps the WebSocket endpoint, the HTTP API, the event streams, health, the API's description and the dashboard.
    /// </summary>
    /// <param name="endpoints">The application.</param>
    /// <param name="configureSocket">
    /// Adds conventions to the WebSocket endpoint. With <c>socket => socket.ShortCircuit()</c> no middleware after routing sees sockets:
    /// it spares about a kilobyte for each, in which else that of authentication and authorization waits for their end. Only where none
    /// of it matters to them: forwarded headers, whose addresses the limits on bad credentials count, have to be read before.
    /// </param>
    public static IEndpointRouteBuilder MapGrid(
        this IEndpointRouteBuilder endpoints, Action<IEndpointConventionBuilder>? configureSocket = null)
    {
        var socket = endpoints.MapGridWebSocket();
        configureSocket?.Invoke(socket);
        endpoints.MapGridApi();
        endpoints.MapGridEventStream();
        endpoints.MapGridDashboard();
        return endpoints;
    }
}

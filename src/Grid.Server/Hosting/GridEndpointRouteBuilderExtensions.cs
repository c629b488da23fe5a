using Grid.Server.Api;
using Grid.Server.Gateway;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Hosting;

/// <summary>Maps Grid's endpoints on an ASP.NET application.</summary>
public static class GridEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps the WebSocket endpoint, the HTTP API, the event streams, health, the API's description and the dashboard.
    /// </summary>
    public static IEndpointRouteBuilder MapGrid(this IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGridWebSocket();
        endpoints.MapGridApi();
        endpoints.MapGridEventStream();
        endpoints.MapGridDashboard();
        return endpoints;
    }
}

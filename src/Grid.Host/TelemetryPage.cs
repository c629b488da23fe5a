using System.Net;
using Grid.Server.Hosting;

namespace Grid.Host;

/// <summary>Decides who may read <c>/metrics</c>.</summary>
/// <param name="access">By the settings.</param>
internal sealed class TelemetryPage(MetricsAccess access)
{
    /// <summary>Private IPv4 networks (RFC 1918), and link-local addresses, which no router passes on (RFC 3927).</summary>
    private static readonly IPNetwork[] PrivateNetworks =
        [IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("172.16.0.0/12"), IPNetwork.Parse("192.168.0.0/16"), IPNetwork.Parse("169.254.0.0/16")];

    /// <summary>By the settings.</summary>
    public MetricsAccess Access => access;

    /// <summary>Lets a request pass, or answers it with 403.</summary>
    public Task CheckAsync(HttpContext context, RequestDelegate next)
    {
        context.Response.Headers.CacheControl = "no-store";
        if (access == MetricsAccess.Everybody || (IsPrivate(context.Connection.RemoteIpAddress) && !IsForwarded(context.Request.Headers)))
            return next(context);
        context.Response.StatusCode = StatusCodes.Status403Forbidden;
        return context.Response.WriteAsync(
            "Metrics are for callers from a private network, not through a proxy. The operator can open them by Grid__Metrics__Access.\n");
    }

    /// <summary>Whether an address is of this machine or of a private network.</summary>
    public static bool IsPrivate(IPAddress? address)
    {
        if (address is null) return false;
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        return IPAddress.IsLoopback(address) || address.IsIPv6LinkLocal || address.IsIPv6UniqueLocal
            || Array.Exists(PrivateNetworks, network => network.Contains(address));
    }

    /// <summary>
    /// Whether a proxy passed the request on: its own address is private, but whom it asks for may be anybody. ASP.NET's own handling
    /// of forwarded headers, where it is turned on, leaves X-Original-… in their place.
    /// </summary>
    private static bool IsForwarded(IHeaderDictionary headers)
    {
        foreach (var (name, _) in headers)
        {
            if (name.StartsWith("X-Forwarded-", StringComparison.OrdinalIgnoreCase)
                || name.StartsWith("X-Original-", StringComparison.OrdinalIgnoreCase)
                || name.Equals("Forwarded", StringComparison.OrdinalIgnoreCase)
                || name.Equals("X-Real-IP", StringComparison.OrdinalIgnoreCase)
                || name.Equals("Via", StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }

        return false;
    }
}

using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Grid.Server.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// The one place on this machine that webhooks may be sent to: the playground's sample receiver, <c>/playground/receiver/{name}</c> on the
/// host's own plain http address.
/// </summary>
/// <remarks>
/// <para>It is no exception to the rules for endpoints (<see cref="GuardedConnector"/>), which do not know of it, but a door of its own:
/// subscriptions of the tenant <c>playground</c> go through this alone, those of every other tenant never do. Behind the door is one
/// address, whatever a subscription's URL says: connections are made to where this process listens, and the request's path is made here of
/// a name that was checked. So the worst that a visitor can have the server do is what a visitor's browser can do: post to the sample
/// receiver, which believes signed requests only.</para>
/// <para>Nothing is open where the playground is off, or where the host listens on no plain http address.</para>
/// </remarks>
/// <param name="options">Whether the playground is on.</param>
/// <param name="server">The web server; null in a silo without one.</param>
internal sealed class OwnReceiver(IOptions<GridOptions> options, IServer? server)
{
    /// <summary>The path before the name.</summary>
    public const string Path = "/playground/receiver/";

    /// <summary>The most characters of a name.</summary>
    public const int MaxName = 32;

    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>Whether a text can be a receiver's name.</summary>
    public static bool IsName(ReadOnlySpan<char> name) => name.Length is > 0 and <= MaxName && !name.ContainsAnyExcept(NameCharacters);

    /// <summary>The URL of a receiver; null when none can be reached.</summary>
    public Uri? UrlOf(string name) => IsName(name) && Listening() is { } at
        ? new Uri(string.Create(CultureInfo.InvariantCulture, $"http://{at.Host}:{at.Port}{Path}{name}"))
        : null;

    /// <summary>
    /// Where a subscription's request goes: the receiver that its URL names, at where this process listens now; null when the URL names
    /// none, or none can be reached.
    /// </summary>
    public Uri? Redirect(Uri url) =>
        url.AbsolutePath.StartsWith(Path, StringComparison.Ordinal) && url.Query.Length == 0 && url.Scheme == Uri.UriSchemeHttp
            ? UrlOf(url.AbsolutePath[Path.Length..])
            : null;

    /// <summary>Connects to this process, whoever is named.</summary>
    /// <exception cref="WebhookConnectException">It cannot be reached.</exception>
    public async ValueTask<Stream> ConnectAsync(CancellationToken cancellation)
    {
        SocketException? last = null;
        foreach (var address in Listening()?.Addresses ?? [])
        {
            try
            {
                return await GuardedConnector.DialAsync(address, cancellation);
            }
            catch (SocketException e)
            {
                last = e;
            }
        }

        throw new WebhookConnectException(WebhookErrorClass.Connect, "The sample receiver cannot be reached.", last);
    }

    private Listener? Listening()
    {
        if (options.Value.Playground.Enabled == false) return null;
        foreach (var text in server?.Features.Get<IServerAddressesFeature>()?.Addresses ?? [])
        {
            if (text.StartsWith("http://", StringComparison.OrdinalIgnoreCase) && Read(BindingAddress.Parse(text)) is { } listener) return listener;
        }

        return null;
    }

    private static Listener? Read(BindingAddress address)
    {
        if (address.IsUnixPipe || address.IsNamedPipe || address.Port == 0) return null;
        var port = address.Port;
        if (address.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase))
            return new("localhost", port, [new(IPAddress.Loopback, port), new(IPAddress.IPv6Loopback, port)]);

        // Whoever listens everywhere listens on the loopback interface too.
        if (!IPAddress.TryParse(address.Host, out var ip) || ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any))
            return new("127.0.0.1", port, [new(IPAddress.Loopback, port), new(IPAddress.IPv6Loopback, port)]);
        return new(ip.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{ip}]" : ip.ToString(), port, [new(ip, port)]);
    }

    private sealed record Listener(string Host, int Port, IPEndPoint[] Addresses);
}

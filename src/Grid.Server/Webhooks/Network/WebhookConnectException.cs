using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// A connection that was not made, and why. Its message is for the tenant: it tells no address and nothing else of the inside.
/// </summary>
/// <param name="error">The class of the failure.</param>
/// <param name="message">What to tell the tenant.</param>
/// <param name="inner">The cause.</param>
internal class WebhookConnectException(WebhookErrorClass error, string message, Exception? inner = null) : IOException(message, inner)
{
    /// <summary>The class of the failure.</summary>
    public WebhookErrorClass Error => error;
}

/// <summary>A host with an address that must not be connected to. No connection was tried, to none of its addresses.</summary>
/// <param name="host">The host.</param>
/// <param name="address">The refused address; null when it was the port. For the operator's log, not for the tenant.</param>
/// <param name="kind">What the address is for.</param>
internal sealed class AddressRefusedException(string host, IPAddress? address, AddressKind kind)
    : WebhookConnectException(
        WebhookErrorClass.RefusedAddress,
        address is null ? "The port is not one that webhooks may be sent to." : "The host's address is not one that webhooks may be sent to.")
{
    /// <summary>The host.</summary>
    public string Host => host;

    /// <summary>The refused address; null when it was the port.</summary>
    public IPAddress? Address => address;

    /// <summary>What the address is for.</summary>
    public AddressKind Kind => kind;
}

namespace Grid.Server.Webhooks.Network;

/// <summary>What became of a request, as attempts record it. The numbers are stored: they keep their meaning for ever.</summary>
internal enum WebhookErrorClass
{
    /// <summary>Delivered: a 2xx, wholly or up to the limit read, within the time limit.</summary>
    None = 0,

    /// <summary>The host's name could not be looked up in time, or has no address.</summary>
    Dns = 1,

    /// <summary>The URL, or an address of its host, is not one that webhooks may be sent to. Nothing was sent.</summary>
    RefusedAddress = 2,

    /// <summary>No connection was made: refused, or nobody there.</summary>
    Connect = 3,

    /// <summary>TLS failed: the certificate is not trusted, is another host's, or no common version.</summary>
    Tls = 4,

    /// <summary>The exchange, or the making of its connection, took longer than its limit.</summary>
    Timeout = 5,

    /// <summary>The connection broke before the answer was whole.</summary>
    Reset = 6,

    /// <summary>The answer is no HTTP, or its headers are beyond the limit.</summary>
    Protocol = 7,

    /// <summary>A redirect, which is not followed.</summary>
    Redirect = 8,

    /// <summary>A status that is neither 2xx nor 3xx.</summary>
    Status = 9,

    /// <summary>The egress proxy failed or refused; says nothing about the endpoint.</summary>
    Proxy = 10,

    /// <summary>The caller gave up, as at a shutdown; says nothing about the endpoint.</summary>
    Cancelled = 11,

    /// <summary>This process has too much of the kind to do at the moment; says nothing about the endpoint.</summary>
    Busy = 12,
}

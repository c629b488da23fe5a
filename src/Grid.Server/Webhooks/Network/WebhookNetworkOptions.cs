namespace Grid.Server.Webhooks.Network;

/// <summary>
/// What webhooks may connect to and how long they wait; bound from the configuration section <c>Grid:Webhooks</c>
/// (environment: <c>Grid__Webhooks__Name</c>).
/// </summary>
public sealed class WebhookNetworkOptions
{
    /// <summary>The configuration section.</summary>
    public const string Section = "Grid:Webhooks";

    /// <summary>
    /// For development: whether loopback, private, link-local, shared and unique local addresses, plain http and every port are
    /// allowed. Default: false, since tenants choose the URLs and could reach what only this network should. Metadata services of
    /// clouds stay closed.
    /// </summary>
    public bool AllowPrivateNetworks { get; set; }

    /// <summary>
    /// Ranges of addresses (CIDR, such as <c>10.20.0.0/16</c>) that webhooks may connect to although they are not global unicast, for
    /// receivers inside. Default: none. The address of a cloud's metadata service is opened only by a range of that address alone.
    /// With a range here, hosts may also have names that are used inside only, such as <c>hooks.corp.internal</c>.
    /// </summary>
    public IList<string> AllowedNetworks { get; } = [];

    /// <summary>
    /// The ports that webhooks may connect to. Default, when empty: 443 and 8443, and 80 with <see cref="AllowHttp"/>. More ports let
    /// tenants aim at services that are not meant to be spoken to by HTTP.
    /// </summary>
    public IList<int> AllowedPorts { get; } = [];

    /// <summary>Whether URLs may be plain <c>http</c>. Default: false; anybody on the way could read the messages.</summary>
    public bool AllowHttp { get; set; }

    /// <summary>
    /// How long an exchange may take: from looking up the name to the last byte of the answer. Default: 15 s. Longer is kinder to
    /// slow endpoints, which hold their place among the requests under way for as long.
    /// </summary>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a connection may take to be made, with its name's look-up and TLS. Default: 10 s.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the look-up of a name may take. Default: 5 s.</summary>
    public TimeSpan ResolveTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The most names that are looked up at the same time. Default: 128. Each takes a thread until the system's resolver answers or gives
    /// up, which names of a hostile zone can draw out; further look-ups wait, and attempts that waited too long are made again.
    /// </summary>
    public int MaxLookups { get; set; } = 128;

    /// <summary>
    /// The most of one tenant among <see cref="MaxLookups"/>. Default: 8. It takes <see cref="MaxLookups"/> divided by this many tenants,
    /// each with a zone that never answers, to take all look-ups; where it is not less, one is enough.
    /// </summary>
    public int MaxLookupsPerTenant { get; set; } = 8;

    /// <summary>
    /// The most bytes read of an answer's body. Default: 65,536. The rest stays unread and costs the connection; whether the message
    /// counts as delivered does not depend on it.
    /// </summary>
    public int MaxAnswerBytes { get; set; } = 64 * 1024;

    /// <summary>The most bytes of an answer's body that are kept for the attempt's record. Default: 16,384.</summary>
    public int KeptAnswerBytes { get; set; } = 16 * 1024;

    /// <summary>
    /// The most HTTP/1.1 connections to one host and port. Default: 1,024, which is what the sender has under way by default
    /// (<see cref="WebhookOptions.FastSlots"/> and <see cref="WebhookOptions.SlowSlots"/>). What is beyond waits for one within its time limit,
    /// and may belong to another tenant with an endpoint on the same host.
    /// </summary>
    public int MaxConnectionsPerHost { get; set; } = 1_024;

    /// <summary>How long an unused connection is kept. Default: 60 s. Longer saves handshakes and costs a socket on both sides.</summary>
    public TimeSpan IdleConnectionTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a connection is used at most. Default: 5 minutes. A change of a name's addresses shows after at most this.</summary>
    public TimeSpan ConnectionLifetime { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Whether HTTP/2 is used where an endpoint offers it. Default: true.</summary>
    public bool Http2 { get; set; } = true;

    /// <summary>
    /// Whether requests carry the headers of the trace they belong to (<c>traceparent</c>), and are traced themselves. Default: false:
    /// they tell tenants' endpoints about the inside, and spans tell whoever reads them the tenants' URLs, which often hold secrets.
    /// </summary>
    public bool PropagateTrace { get; set; }

    /// <summary>
    /// A file of certificates (PEM) whose holders are trusted to sign endpoints' certificates, beside those that the system trusts.
    /// Default: none. Endpoints must send their intermediate certificates: none is fetched, since the address would be of their choice.
    /// </summary>
    public string? TrustedCertificates { get; set; }

    /// <summary>The proxy through which all webhooks leave.</summary>
    public EgressProxyOptions EgressProxy { get; } = new();
}

/// <summary>A proxy that speaks <c>CONNECT</c> (RFC 9110, 9.3.6), through which all webhooks leave. None unless <see cref="Url"/> is set.</summary>
public sealed class EgressProxyOptions
{
    /// <summary>
    /// Where it is: <c>http://host:port</c>. Default: none. Its address is not subject to the rules for endpoints; theirs are.
    /// </summary>
    public Uri? Url { get; set; }

    /// <summary>The user name for basic authentication. Default: none.</summary>
    public string? UserName { get; set; }

    /// <summary>The password for basic authentication. Default: none.</summary>
    public string? Password { get; set; }

    /// <summary>How long connecting to the proxy itself may take. Default: 3 s; it must be below <see cref="WebhookNetworkOptions.ConnectTimeout"/>.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// Whether the proxy is given the endpoint's name rather than an address that was checked here. Default: false. For proxies that
    /// decide by names, or networks that cannot look up outside names. A name that can be looked up here is still checked, but the
    /// proxy looks it up again, so that it must itself refuse what must not be reached.
    /// </summary>
    public bool ResolveAtProxy { get; set; }
}

using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.Server.Gateway;

/// <summary>
/// <c>GET /v1/ws</c>: accepts sockets. The handshake (RFC 6455 over HTTP/1.1, RFC 8441 over HTTP/2) and reading are the framework's;
/// it is handed a stream of ours, so that writing can be too.
/// </summary>
internal static class WebSocketEndpoint
{
    /// <summary>One for each codec and for the whole process: consumers that share one share what it has encoded.</summary>
    private static readonly Form[] Forms = [new(JsonWireCodec.Instance), new(ProtoWireCodec.Instance)];

    /// <summary>Where it is.</summary>
    public const string Path = "/v1/ws";

    /// <summary>Maps the endpoint.</summary>
    public static IEndpointConventionBuilder MapGridWebSocket(this IEndpointRouteBuilder endpoints)
    {
        // The application's services, not the request's: those would be made for each socket, and kept as long as it.
        var services = endpoints.ServiceProvider;
        var pipeline = endpoints.CreateApplicationBuilder();
        pipeline.Use((context, next) => OwnTheStream(context, services.GetRequiredService<GatewayServices>(), next));
        pipeline.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.Zero });
        pipeline.Run(context => AcceptAsync(context, services.GetRequiredService<GatewayServices>()));

        // The credential may come in the first frame only, and the gateway checks it: an application's fallback policy must not
        // turn the socket away before.
        return endpoints.MapGet(Path, pipeline.Build()).AllowAnonymous().ExcludeFromDescription();
    }

    private static Task OwnTheStream(HttpContext context, GatewayServices services, RequestDelegate next)
    {
        var wrapper = new UpgradedStream(context, services.Options.MaxOutboundBytes);
        context.Features.Set(wrapper);
        context.Features.Set<IHttpUpgradeFeature>(wrapper);
        if (wrapper.HasConnect) context.Features.Set<IHttpExtendedConnectFeature>(wrapper);

        // An application that uses WebSockets itself has the feature already, over the stream as it was.
        context.Features.Set<IHttpWebSocketFeature>(null);
        return next(context);
    }

    private static async Task AcceptAsync(HttpContext context, GatewayServices services)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            context.Response.Headers.Upgrade = "websocket";
            return;
        }

        if (services.Registry.IsDraining)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            context.Response.Headers.RetryAfter = "1";
            return;
        }

        var agreed = Agree(context.WebSockets.WebSocketRequestedProtocols);
        var token = Token(context.Request);
        using var socket = await context.WebSockets.AcceptWebSocketAsync(new WebSocketAcceptContext
        {
            SubProtocol = agreed?.Codec.Subprotocol,
            // What makes it dangerous, secrets beside what an attacker chooses in one window, is kept apart by WebSocketEncoder for what
            // the server sends. What a client compresses together is the client's to decide (docs/protocol.md).
            DangerousEnableCompression = MayCompress(services.Options.Compression, token),
            DisableServerContextTakeover = true,
        });
        var upgraded = context.Features.Get<UpgradedStream>()!;
        var connection = new ClientConnection(
            services,
            socket,
            upgraded.Stream!,
            agreed ?? Forms[0],
            CompressionOf(context.Response),
            token,
            context.Connection.RemoteIpAddress,
            upgraded.Abort);
        await connection.RunAsync();
    }

    /// <summary>The first subprotocol known here, in the order in which the client prefers them; null for none.</summary>
    private static Form? Agree(IList<string> requested)
    {
        foreach (var name in requested)
        {
            if (Array.Find(Forms, f => f.Codec.Subprotocol == name) is { } form) return form;
        }

        return null;
    }

    /// <summary>
    /// Whether compression may be agreed on: where a tenant has it, unless the token says that it is another's. Who the client is
    /// turns out at hello, and then messages are compressed for those tenants alone.
    /// </summary>
    private static bool MayCompress(CompressionOptions options, string? token) =>
        options.Tenants.Count > 0
        && (token is null || !ClientTokens.TryRead(token, out _, out var tenant, out _) || options.Allows(tenant));

    /// <summary>What the answer to the upgrade says of compression.</summary>
    private static Compression CompressionOf(HttpResponse response)
    {
        var extensions = response.Headers.SecWebSocketExtensions.ToString();
        if (!extensions.Contains("permessage-deflate", StringComparison.OrdinalIgnoreCase)) return Compression.None;

        // A smaller window than the deflater's can't be promised: such a client gets its messages as they are.
        return extensions.Contains("server_max_window_bits", StringComparison.OrdinalIgnoreCase)
            && !extensions.Contains("server_max_window_bits=15", StringComparison.OrdinalIgnoreCase)
            ? Compression.FromClient
            : Compression.Both;
    }

    private static string? Token(HttpRequest request)
    {
        const string Scheme = "Bearer ";
        var header = request.Headers.Authorization.ToString();
        if (header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return header[Scheme.Length..].Trim();

        // Read in place: what the request keeps of a parsed query lives as long as the socket.
        foreach (var pair in new QueryStringEnumerable(request.QueryString.Value))
        {
            if (pair.DecodeName().Span.Equals("token", StringComparison.OrdinalIgnoreCase)) return pair.DecodeValue().ToString();
        }

        return null;
    }

    /// <summary>Hands the framework our stream where it would get the transport's.</summary>
    private sealed class UpgradedStream : IHttpUpgradeFeature, IHttpExtendedConnectFeature
    {
        private readonly HttpContext _context;
        private readonly int _maxOutboundBytes;
        private readonly IHttpUpgradeFeature? _upgrade;
        private readonly IHttpExtendedConnectFeature? _connect;

        public UpgradedStream(HttpContext context, int maxOutboundBytes)
        {
            (_context, _maxOutboundBytes) = (context, maxOutboundBytes);
            _upgrade = context.Features.Get<IHttpUpgradeFeature>();
            _connect = context.Features.Get<IHttpExtendedConnectFeature>();
            Abort = QueueAbort;
        }

        /// <summary>Ends the transport; does not wait.</summary>
        public Action Abort { get; }

        public SocketStream? Stream { get; private set; }

        public bool HasConnect => _connect is not null;

        public bool IsUpgradableRequest => _upgrade?.IsUpgradableRequest ?? false;

        public bool IsExtendedConnect => _connect?.IsExtendedConnect ?? false;

        public string? Protocol => _connect?.Protocol;

        public async Task<Stream> UpgradeAsync() => Wrap(await _upgrade!.UpgradeAsync());

        public async ValueTask<Stream> AcceptAsync() => Wrap(await _connect!.AcceptAsync());

        private SocketStream Wrap(Stream inner) => Stream = new SocketStream(inner, new OutboundBuffer(inner, _maxOutboundBytes, Abort));

        // Not inline: what an abort cancels may run on the thread that delivers to others.
        private void QueueAbort() => ThreadPool.UnsafeQueueUserWorkItem(static c => c.Abort(), _context, preferLocal: false);
    }
}

/// <summary>How a codec's frames are written, as they are and with messages deflated.</summary>
internal sealed class Form(IWireCodec codec)
{
    /// <summary>The codec.</summary>
    public IWireCodec Codec => codec;

    /// <summary>Frames as they are.</summary>
    public WebSocketEncoder Plain { get; } = new(codec);

    /// <summary>Messages deflated where that makes them smaller.</summary>
    public WebSocketEncoder Deflating { get; } = new(codec, deflates: true);
}

/// <summary>What was agreed on about compression.</summary>
internal enum Compression
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The client may compress; the server does not.</summary>
    FromClient,

    /// <summary>Both may.</summary>
    Both,
}

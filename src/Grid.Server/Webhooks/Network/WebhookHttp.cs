using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Sends requests to endpoints: pooled connections, all made by <see cref="GuardedConnector"/> (but those of the playground, which go through
/// <see cref="OwnReceiver"/> and nowhere else), and nothing followed, stored, unpacked
/// or trusted that an endpoint answers. Each instance has connections of its own.
/// </summary>
internal sealed class WebhookHttp : IDisposable
{
    /// <summary>The most of an answer's headers, in KiB.</summary>
    private const int MaxHeadersKiB = 32;

    /// <summary>The most bytes that are kept of a header's value.</summary>
    private const int MaxHeaderValue = 2048;

    private static readonly string Agent = $"Grid-Webhooks/{typeof(WebhookHttp).Assembly.GetName().Version?.ToString(3)}";

    private readonly WebhookNetworkOptions _options;
    private readonly Func<Uri, bool> _allows;
    private readonly TimeProvider _time;
    private readonly HttpMessageInvoker _invoker;
    private readonly GuardedConnector? _connector;
    private volatile bool _disposed;

    /// <summary>Makes a sender.</summary>
    public WebhookHttp(WebhookNetworkOptions options, IHostResolver resolver, TimeProvider time)
    {
        var rules = new NetworkRules(options);
        (_options, _time, _allows) = (options, time, url => rules.AllowsScheme(url.Scheme));
        _connector = new GuardedConnector(options, resolver, time);
        _invoker = new HttpMessageInvoker(Handler(options, _connector.ConnectAsync));
    }

    /// <summary>Makes a sender to the playground's sample receiver, and to nothing else.</summary>
    public WebhookHttp(WebhookNetworkOptions options, OwnReceiver receiver, TimeProvider time)
    {
        (_options, _time, _allows) = (options, time, url => url == receiver.Redirect(url));
        _invoker = new HttpMessageInvoker(Handler(options, (_, cancellation) => receiver.ConnectAsync(cancellation)));
    }

    /// <summary>
    /// Sends a request and reads the answer. Whatever an endpoint does is told by the response and not thrown; so is cancellation.
    /// </summary>
    public async Task<WebhookResponse> SendAsync(WebhookRequest request, CancellationToken cancellation = default)
    {
        var answer = new Answer(_time.GetUtcNow(), _time.GetTimestamp());

        // The settings may have become stricter since the subscription was made.
        if (!_allows(request.Url))
            return Response(answer, WebhookErrorClass.RefusedAddress, "The URL is not one that webhooks may be sent to.");

        var limit = request.TimeLimit ?? _options.RequestTimeout;
        using var expiry = new CancellationTokenSource(limit, _time);
        using var link = cancellation.UnsafeRegister(static expiry => ((CancellationTokenSource)expiry!).Cancel(), expiry);
        using var message = Message(request, addresses: null);
        try
        {
            HttpResponseMessage begun;
            try
            {
                begun = await _invoker.SendAsync(message, expiry.Token);
            }
            catch (Exception e) when (_connector is not null && WebhookFailure.Of(e) is { Error: WebhookErrorClass.Busy })
            {
                // The connection would have had to wait for the tenant's other look-ups. Here nobody else waits behind it.
                var addresses = await _connector.LookUpAsync(request.Url.IdnHost, request.Tenant, expiry.Token);
                begun = await _invoker.SendAsync(Message(request, addresses), expiry.Token);
            }

            using var response = begun;
            answer.Status = (int)response.StatusCode;
            ReadHeaders(request, response, answer);
            await answer.ReadBodyAsync(response.Content, _options, expiry.Token);
            return Judge(answer);
        }
        catch (Exception) when (cancellation.IsCancellationRequested || _disposed)
        {
            return Response(answer, WebhookErrorClass.Cancelled, "The request was given up.");
        }
        catch (Exception e) when (expiry.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            var detail = string.Create(CultureInfo.InvariantCulture, $"No whole answer within {limit.TotalSeconds:0.###} s.");
            return Response(answer, WebhookErrorClass.Timeout, detail);
        }
        catch (Exception e) when (WebhookFailure.Of(e) is { } failure)
        {
            return Response(answer, failure.Error, failure.Detail);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Requests under way break by it, which is not their endpoints' fault.
        _disposed = true;
        _invoker.Dispose();
    }

    private static SocketsHttpHandler Handler(
        WebhookNetworkOptions options, Func<SocketsHttpConnectionContext, CancellationToken, ValueTask<Stream>> connect) => new()
    {
        ConnectCallback = connect,
        ConnectTimeout = options.ConnectTimeout,
        MaxConnectionsPerServer = options.MaxConnectionsPerHost,
        PooledConnectionIdleTimeout = options.IdleConnectionTimeout,
        PooledConnectionLifetime = options.ConnectionLifetime,
        SslOptions = TlsTrust.Options(options.TrustedCertificates),

        // An endpoint that allows few requests at a time on a connection must not make others of the same host wait.
        EnableMultipleHttp2Connections = true,

        // A connection whose other end vanished would else fail every request on it until TCP gives up, after a quarter of an hour.
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        KeepAlivePingDelay = TimeSpan.FromSeconds(20),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(10),

        // The proxy is the connector's; the environment's would be asked for names that were never checked.
        UseProxy = false,
        AllowAutoRedirect = false,
        UseCookies = false,
        AutomaticDecompression = DecompressionMethods.None,

        // What is beyond the limit is not read to save the connection either.
        MaxResponseDrainSize = 0,
        MaxResponseHeadersLength = MaxHeadersKiB,
        ActivityHeadersPropagator = options.PropagateTrace ? DistributedContextPropagator.Current : null,
    };

    private GuardedConnector.Request Message(WebhookRequest request, IPAddress[]? addresses)
    {
        var message = new GuardedConnector.Request(request.Method, request.Url, request.Tenant)
        {
            Version = _options.Http2 ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
            Addresses = addresses,
        };
        if (request.Body.Length > 0)
        {
            message.Content = new ReadOnlyMemoryContent(request.Body);
            message.Content.Headers.TryAddWithoutValidation("Content-Type", request.ContentType);
        }
        else if (request.Method == HttpMethod.Post)
        {
            message.Content = new ByteArrayContent([]);
        }

        for (var i = 0; i < request.Headers.Count; i++)
        {
            // The handler would have TLS check the name in Host instead of the URL's.
            var (name, value) = request.Headers[i];
            if (name.Equals("Host", StringComparison.OrdinalIgnoreCase) || IsAmong(name, request.Headers, i)) continue;
            message.Headers.TryAddWithoutValidation(name, value);
        }

        const string UserAgent = "User-Agent";
        if (!IsAmong(UserAgent, request.Headers, request.Headers.Count)) message.Headers.TryAddWithoutValidation(UserAgent, Agent);
        return message;
    }

    /// <summary>Whether a name is among the first headers. Looked up here: the collection of the request parses a name each time.</summary>
    private static bool IsAmong(string name, IReadOnlyList<KeyValuePair<string, string>> headers, int count)
    {
        for (var i = 0; i < count; i++)
        {
            if (name.Equals(headers[i].Key, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    private void ReadHeaders(WebhookRequest request, HttpResponseMessage response, Answer answer)
    {
        if (!response.IsSuccessStatusCode && Lines(response, "Retry-After") is [var retry, ..]) answer.RetryAfter = RetryAfter.Parse(retry, _time.GetUtcNow());
        foreach (var name in request.AnswerHeaders)
        {
            if (Lines(response, name) is { Length: > 0 } values)
                answer.Add(name, [.. values.Select(static v => AnswerText.Make(v, MaxHeaderValue))]);
        }
    }

    private static string[] Lines(HttpResponseMessage response, string name) =>
        response.Headers.NonValidated.TryGetValues(name, out var values) || response.Content.Headers.NonValidated.TryGetValues(name, out values)
            ? [.. values]
            : [];

    private WebhookResponse Judge(Answer answer) => answer.Status switch
    {
        >= 200 and < 300 => Response(answer, WebhookErrorClass.None, null),
        >= 300 and < 400 => Response(answer, WebhookErrorClass.Redirect, "The endpoint answered with a redirect, which is not followed."),
        _ => Response(answer, WebhookErrorClass.Status, string.Create(CultureInfo.InvariantCulture, $"The endpoint answered {answer.Status}.")),
    };

    private WebhookResponse Response(Answer answer, WebhookErrorClass error, string? detail) => new()
    {
        Error = error,
        Detail = detail,
        Status = answer.Status,
        StartedAt = answer.StartedAt,
        Duration = _time.GetElapsedTime(answer.Started),
        Body = answer.Body,
        BodyClipped = answer.BodyClipped,
        BodyBytes = answer.BodyBytes,
        RetryAfter = answer.RetryAfter,
        Headers = answer.Headers ?? WebhookResponse.NoHeaders,
    };
}

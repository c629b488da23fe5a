using System.Net.Sockets;
using System.Security.Authentication;

namespace Grid.Server.Webhooks.Network;

/// <summary>Tells what kind of failure an exception of the HTTP handler stands for, and how to tell the tenant.</summary>
internal static class WebhookFailure
{
    /// <summary>
    /// The class and text of an exception, or null for one that no endpoint can cause. Who cancelled, if anybody did, is the caller's to know.
    /// </summary>
    public static (WebhookErrorClass Error, string Detail)? Of(Exception exception)
    {
        // What the connector threw comes wrapped.
        for (var e = exception; e is not null; e = e.InnerException)
        {
            if (e is WebhookConnectException known) return (known.Error, known.Message);
        }

        return exception switch
        {
            // Nobody cancelled the request, so it was its connection.
            OperationCanceledException => (WebhookErrorClass.Timeout, "No connection was made in time."),
            HttpRequestException e => OfRequest(e),

            // HTTP/2: the endpoint reset the stream, or closed the connection, on purpose.
            HttpProtocolException => (WebhookErrorClass.Reset, "The endpoint reset the request."),
            HttpIOException { HttpRequestError: not (HttpRequestError.ResponseEnded or HttpRequestError.Unknown) } => Malformed,
            IOException or SocketException => Broken,
            _ => null,
        };
    }

    private static (WebhookErrorClass, string) Malformed => (WebhookErrorClass.Protocol, "The answer is not HTTP, or its headers are too large.");

    private static (WebhookErrorClass, string) Broken => (WebhookErrorClass.Reset, "The connection broke before the answer was whole.");

    private static (WebhookErrorClass, string) OfRequest(HttpRequestException e) => e.HttpRequestError switch
    {
        HttpRequestError.NameResolutionError => (WebhookErrorClass.Dns, "The host's name has no address."),
        HttpRequestError.ConnectionError => (WebhookErrorClass.Connect, "No connection could be made."),
        HttpRequestError.SecureConnectionError => (WebhookErrorClass.Tls, Tls(e)),
        HttpRequestError.ResponseEnded => Broken,
        HttpRequestError.HttpProtocolError => (WebhookErrorClass.Reset, "The endpoint reset the request."),
        HttpRequestError.Unknown when e.InnerException is IOException or SocketException => Broken,
        _ => Malformed,
    };

    private static string Tls(HttpRequestException e)
    {
        // The library's own texts about certificates name their faults and nothing else.
        var cause = e.InnerException is AuthenticationException inner ? inner.Message : "the connection broke.";
        return $"TLS failed: {AnswerText.Make(cause, 300)}";
    }
}

using Grid.Protocol;

namespace Grid.Client;

/// <summary>The codes of <see cref="GridException"/> that the client itself gives; the server's are those of <see cref="ErrorCode"/>.</summary>
public static class GridErrorCodes
{
    /// <summary>The send queue is at its bound; nothing was queued.</summary>
    public const string QueueFull = "queue_full";

    /// <summary>No answer within the time allowed.</summary>
    public const string Timeout = "timeout";

    /// <summary>The client is closed.</summary>
    public const string Closed = "closed";

    /// <summary>The channel already has a subscription in this client.</summary>
    public const string AlreadySubscribed = "already_subscribed";

    /// <summary>A message or gap handler threw.</summary>
    public const string HandlerFailed = "handler_failed";

    /// <summary>The server broke the protocol; the client reconnects by itself.</summary>
    public const string Protocol = "protocol";

    /// <summary>The socket was lost or could not be opened; the client reconnects by itself.</summary>
    public const string Connection = "connection";

    /// <summary>The token provider failed; the client tries again by itself.</summary>
    public const string TokenProvider = "token_provider";
}

/// <summary>Every error of the client. Decide by <see cref="Code"/>; the message is for people.</summary>
public sealed class GridException : Exception
{
    /// <summary>Makes an error.</summary>
    /// <param name="code">A wire name of <see cref="ErrorCode"/> or one of <see cref="GridErrorCodes"/>.</param>
    /// <param name="message">For a person.</param>
    /// <param name="inner">The fault underneath.</param>
    public GridException(string code, string message, Exception? inner = null)
        : base(message, inner) => Code = code;

    /// <summary>Why: a wire name of <see cref="ErrorCode"/>, such as <c>forbidden</c>, or one of <see cref="GridErrorCodes"/>.</summary>
    public string Code { get; }

    /// <summary>The channel concerned, if any.</summary>
    public string? Channel { get; init; }

    /// <summary>When trying again makes sense; null when it does not or is unknown.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The WebSocket close code, when a close caused the error.</summary>
    public int? CloseCode { get; init; }

    /// <summary>
    /// For a failed publish: true when it may have been stored all the same, because it was sent and no answer came. Publishing again
    /// with the same <see cref="PublishOptions.Key"/> is then safe. False means that it certainly was not stored.
    /// </summary>
    public bool OutcomeUnknown { get; init; }

    internal static GridException From(ErrorFrame frame, string? channel = null) => new(frame.Code.Name(), frame.Message)
    {
        Channel = channel,
        RetryAfter = frame.RetryAfterMs is { } ms ? TimeSpan.FromMilliseconds(ms) : null,
        // The append may have happened although its answer was lost inside the server.
        OutcomeUnknown = frame.Code is ErrorCode.Unavailable or ErrorCode.Internal,
    };
}

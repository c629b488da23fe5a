namespace Grid.Protocol;

/// <summary>Why a request was refused. The wire name is the snake_case form (<see cref="ErrorCodes.Name"/>).</summary>
public enum ErrorCode
{
    /// <summary>The frame or request body is well-formed text but not a valid request.</summary>
    BadFrame,

    /// <summary>No credential, or one that is unknown, expired or revoked.</summary>
    Unauthorized,

    /// <summary>The credential is good, but its capabilities do not cover this action.</summary>
    Forbidden,

    /// <summary>The session has no subscription to the channel named.</summary>
    NotSubscribed,

    /// <summary>The payload or batch is larger than the namespace or the server allows.</summary>
    TooLarge,

    /// <summary>Too many requests in a span of time; try again after the time given.</summary>
    RateLimited,

    /// <summary>A standing limit is reached, such as the subscriptions of a session.</summary>
    QuotaExceeded,

    /// <summary>The channel's head is not the offset named by <c>ifOffset</c>.</summary>
    Conflict,

    /// <summary>The position named lies after the channel's head, or is no position.</summary>
    InvalidPosition,

    /// <summary>A part that the request needs is away. What was not acknowledged was not promised: retry with the same key.</summary>
    Unavailable,

    /// <summary>A fault in the server.</summary>
    Internal,
}

/// <summary>The wire names of <see cref="ErrorCode"/>.</summary>
public static class ErrorCodes
{
    private static readonly string[] Names =
    [
        "bad_frame", "unauthorized", "forbidden", "not_subscribed", "too_large", "rate_limited",
        "quota_exceeded", "conflict", "invalid_position", "unavailable", "internal",
    ];

    /// <summary>The name of <paramref name="code"/> on the wire, for example <c>bad_frame</c>.</summary>
    public static string Name(this ErrorCode code) => Names[(int)code];

    /// <summary>Finds a code by its wire name; a name this version does not know is <see cref="ErrorCode.Internal"/> and false.</summary>
    public static bool TryParse(string name, out ErrorCode code)
    {
        var index = Array.IndexOf(Names, name);
        code = index < 0 ? ErrorCode.Internal : (ErrorCode)index;
        return index >= 0;
    }
}

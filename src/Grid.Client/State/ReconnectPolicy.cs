using Grid.Protocol;

namespace Grid.Client;

/// <summary>How a connection, or an attempt to make one, ended.</summary>
internal sealed record ConnectionEnd
{
    /// <summary>The server's close code, if it sent one.</summary>
    public int? CloseCode { get; init; }

    /// <summary>Why, for a person.</summary>
    public required string Reason { get; init; }

    /// <summary>The fault, if the end was one.</summary>
    public Exception? Fault { get; init; }

    /// <summary>Whether the application asked for the end.</summary>
    public bool ByCaller { get; init; }
}

/// <summary>What follows the end of a connection.</summary>
/// <param name="Delay">How long to wait before the next attempt.</param>
/// <param name="Fatal">Why there is no next attempt; null when there is.</param>
internal readonly record struct NextStep(TimeSpan Delay, GridException? Fatal);

/// <summary>
/// Decides whether and when to connect again. Close codes from 4500 to 4599 end the client, with one exception: 4501 with a token
/// provider is tried once more, with a fresh token. After a <c>goaway</c> the server's own delay holds instead of the backoff.
/// Not thread-safe; no clock.
/// </summary>
internal sealed class ReconnectPolicy(Backoff backoff, bool canRefreshToken)
{
    /// <summary>The longest delay that a <c>goaway</c> can ask for.</summary>
    public static readonly TimeSpan MaxGoAwayDelay = TimeSpan.FromMinutes(5);

    private bool _unauthorizedBefore;
    private TimeSpan? _goAwayAt;

    /// <summary>When the present connection is to be left because of a <c>goaway</c>; null without one.</summary>
    public TimeSpan? GoAwayAt => _goAwayAt;

    /// <summary>A connection was welcomed.</summary>
    public void Connected(TimeSpan now)
    {
        backoff.Connected(now);
        _unauthorizedBefore = false;
        _goAwayAt = null;
    }

    /// <summary>The server asked to reconnect after <paramref name="delay"/>.</summary>
    public void GoAway(TimeSpan delay, TimeSpan now) =>
        _goAwayAt = now + (delay < TimeSpan.Zero ? TimeSpan.Zero : delay > MaxGoAwayDelay ? MaxGoAwayDelay : delay);

    /// <summary>A connection, or an attempt, ended.</summary>
    public NextStep Ended(ConnectionEnd end, TimeSpan now)
    {
        if (end.ByCaller) return new(default, new GridException(GridErrorCodes.Closed, "The client was closed."));
        if (end.CloseCode is { } code && !CloseCodes.MayReconnect(code))
        {
            if (code != (int)CloseCode.Unauthorized || !canRefreshToken || _unauthorizedBefore)
            {
                var kind = code == (int)CloseCode.Unauthorized ? ErrorCodes.Name(ErrorCode.Unauthorized) : GridErrorCodes.Closed;
                return new(default, new GridException(kind, $"The server closed the connection for good: {code} {end.Reason}")
                {
                    CloseCode = code,
                });
            }

            _unauthorizedBefore = true;
        }

        if (_goAwayAt is { } at)
        {
            _goAwayAt = null;
            backoff.Next(now);
            return new(at > now ? at - now : TimeSpan.Zero, null);
        }

        return new(backoff.Next(now), null);
    }
}

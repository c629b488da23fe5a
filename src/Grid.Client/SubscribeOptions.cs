using Grid.Protocol;

namespace Grid.Client;

/// <summary>What follows a handler that threw.</summary>
public enum HandlerFailure
{
    /// <summary>The subscription ends, its cursor before the message that failed.</summary>
    End,

    /// <summary>The message counts as handled, and the next one follows.</summary>
    Skip,
}

/// <summary>How to subscribe, beyond the start.</summary>
public sealed record SubscribeOptions
{
    /// <summary>Called when messages will never be delivered, at their place in the order; what follows waits for it.</summary>
    public Func<GridGap, CancellationToken, ValueTask>? OnGap { get; init; }

    /// <summary>
    /// Called when a handler threw (code <c>handler_failed</c>, the exception inside) and says what follows. Default: the subscription
    /// ends, so that no message is lost unnoticed.
    /// </summary>
    public Func<GridException, HandlerFailure>? OnError { get; init; }

    /// <summary>
    /// With <see cref="GridClientOptions.Resume"/>: whether to go on after what the exporting process had handled, in place of the start
    /// given. Default: true, unless the start is a position.
    /// </summary>
    public bool? Resume { get; init; }

    internal bool UseResumed(StartPoint from) => Resume ?? from.Kind != StartKind.Position;
}

using Grid.Protocol;

namespace Grid.Client;

/// <summary>What an answer belongs to.</summary>
/// <param name="Subscription">The subscription asked for, if it was a <c>subscribe</c>.</param>
/// <param name="Done">Completed by the answer, if it was an <c>unsubscribe</c> or <c>auth</c>; also when the connection ends.</param>
internal readonly record struct Request(Subscription? Subscription, TaskCompletionSource<ServerFrame?>? Done);

/// <summary>What lives as long as one welcomed connection. Guarded by the client's lock, but for the signals.</summary>
internal sealed class Link(IGridConnection connection, WelcomeFrame welcome, int heartbeatMisses, TimeSpan now)
{
    /// <summary>How many publishes without an answer may wait for the socket; more are dropped.</summary>
    public const int MaxEphemeral = 256;

    /// <summary>The connection.</summary>
    public IGridConnection Connection { get; } = connection;

    /// <summary>The largest frame that the server reads.</summary>
    public int MaxFrameBytes { get; } = welcome.MaxFrameBytes;

    /// <summary>Watches the silence.</summary>
    public HeartbeatMonitor Heartbeat { get; } = new(TimeSpan.FromMilliseconds(Math.Max(welcome.HeartbeatMs, 1)), heartbeatMisses, now);

    /// <summary>Requests, pings and unsubscribes to send, before anything else.</summary>
    public Queue<ClientFrame> Control { get; } = new();

    /// <summary>Publishes without an answer, encoded.</summary>
    public Queue<ReadOnlyMemory<byte>> Ephemeral { get; } = new();

    /// <summary>What is asked and not answered, by request number; publishes are in the <see cref="PublishQueue"/>.</summary>
    public Dictionary<long, Request> Requests { get; } = [];

    /// <summary>There is something to send, or the link is to be closed.</summary>
    public AsyncSignal Outgoing { get; } = new();

    /// <summary>The token is to be replaced now.</summary>
    public AsyncSignal Refresh { get; } = new();

    /// <summary>Set to leave in good order: the last acks are sent, then the close.</summary>
    public ConnectionEnd? Closing { get; set; }

    /// <summary>Completed to leave at once.</summary>
    public TaskCompletionSource<ConnectionEnd> Aborted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>When the receive loop stops waiting for a full queue; null while it does not wait.</summary>
    public TimeSpan? BlockedUntil { get; set; }
}

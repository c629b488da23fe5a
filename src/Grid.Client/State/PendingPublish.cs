namespace Grid.Client;

/// <summary>How far a publish has come.</summary>
internal enum PublishState
{
    /// <summary>To be sent.</summary>
    Waiting,

    /// <summary>On its way on the present connection.</summary>
    Sent,

    /// <summary>Refused for a while: to be sent again.</summary>
    Refused,
}

/// <summary>A publish that waits for its answer.</summary>
internal sealed class PendingPublish
{
    /// <summary>The request's number, the same on every connection it is sent on; rises in the order of the calls.</summary>
    public required long Id { get; init; }

    /// <summary>The channel.</summary>
    public required string Channel { get; init; }

    /// <summary>The whole frame, encoded once.</summary>
    public required ReadOnlyMemory<byte> Frame { get; init; }

    /// <summary>When its caller is told <c>timeout</c>.</summary>
    public required TimeSpan Deadline { get; init; }

    /// <summary>How far it has come. Only <see cref="PublishQueue"/> sets it.</summary>
    public PublishState State { get; set; }

    /// <summary>Whether it was handed to a connection at least once: its outcome is then unknown until it is answered.</summary>
    public bool WasSent { get; set; }

    /// <summary>Whether its caller no longer waits, while it is on its way.</summary>
    public bool Abandoned { get; set; }

    /// <summary>The last refusal.</summary>
    public GridException? Refusal { get; set; }

    /// <summary>The caller's answer. Continuations run elsewhere: it is completed under the client's lock.</summary>
    public TaskCompletionSource<PublishReceipt> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

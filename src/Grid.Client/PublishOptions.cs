namespace Grid.Client;

/// <summary>How to publish.</summary>
public sealed record PublishOptions
{
    /// <summary>
    /// Makes the publish idempotent: the same key on the same channel is stored once within the namespace's window (24 hours by
    /// default). At most 256 bytes in UTF-8. Default: the client makes a key of its own for each publish, which covers its own
    /// repeats; give one to cover those of the application.
    /// </summary>
    public string? Key { get; init; }

    /// <summary>The kind of event; at most 128 characters.</summary>
    public string? Event { get; init; }

    /// <summary>Publishes only if the channel's head is this offset; else the error is <c>conflict</c>.</summary>
    public long? IfOffset { get; init; }
}

/// <summary>The answer to a publish: on a durable channel, the message is on disk.</summary>
/// <param name="Epoch">The channel's epoch.</param>
/// <param name="Offset">The message's offset; for a duplicate, that of the first.</param>
/// <param name="Duplicate">Whether the key was stored before, and nothing was stored now.</param>
public sealed record PublishReceipt(string Epoch, long Offset, bool Duplicate);

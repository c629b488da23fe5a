namespace Grid.Testing.History;

/// <summary>A message as the store has it.</summary>
/// <param name="Offset">Its offset.</param>
/// <param name="Key">Its idempotency key, or null.</param>
/// <param name="Payload">Its payload, written as in a publish.</param>
public sealed record StoredMessage(long Offset, string? Key, string Payload);

/// <summary>All that the store has of a channel when everything is over.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Oldest">The oldest offset that is kept.</param>
/// <param name="Head">The last offset given.</param>
/// <param name="Messages">The messages in the order in which the store gave them.</param>
public sealed record StoredChannel(string Channel, string Epoch, long Oldest, long Head, IReadOnlyList<StoredMessage> Messages);
